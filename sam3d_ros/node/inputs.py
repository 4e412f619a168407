"""The node's subscriptions: image topics synchronised, camera_info kept, reliability matched to the publishers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from sam3d_ros.node import qos
from sam3d_ros.node.convert import stamp_ns
from sam3d_ros.node.diagnostics import InputState, input_problem
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.sync import ApproximateSync, SyncStats

Message = Any  # Image | CompressedImage | PointCloud2


@dataclass(frozen=True)
class FrameMessages:
    """One synchronised set, as it came. `geometry` is the depth image or the organised cloud."""

    rgb: Any
    geometry: Any
    mask: Any
    camera_info: CameraInfo


def topics(parameters: NodeParameters) -> dict[str, tuple[str, type]]:
    """Relative topic and type of every image input, by role."""
    if parameters.source == "points":
        geometry: tuple[str, type] = ("points", PointCloud2)
    elif parameters.transport == "compressed":
        geometry = ("depth/image/compressedDepth", CompressedImage)
    else:
        geometry = ("depth/image", Image)
    rgb: tuple[str, type] = ("rgb/image", Image)
    if parameters.transport == "compressed":
        rgb = ("rgb/image/compressed", CompressedImage)
    return {"rgb": rgb, "geometry": geometry, "mask": ("mask/image", Image)}


class Inputs:
    """Subscribes on creation; `on_frame` gets complete sets on the executor's thread. close() to end."""

    def __init__(
        self, node: Node, parameters: NodeParameters, on_frame: Callable[[FrameMessages], None]
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._on_frame = on_frame
        self._topics = topics(parameters)
        self._info_topic = ("rgb/camera_info", CameraInfo)
        self._sync: ApproximateSync[Message] = ApproximateSync(
            tuple(self._topics), int(parameters.slop_ms * 1e6), parameters.queue_size
        )
        self._subscriptions: dict[str, Any] = {}
        self._reliability: dict[str, ReliabilityPolicy] = {}
        self._incompatible: set[str] = set()
        self._problems: dict[str, str] = {}
        self.camera_info: CameraInfo | None = None
        self.latest: FrameMessages | None = None
        self._early: dict[str, Message] | None = None
        for role in [*self._topics, "camera_info"]:
            self._subscribe(role)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    @property
    def stats(self) -> SyncStats:
        return self._sync.stats

    def set_problem(self, role: str, problem: str) -> None:
        """Remember for the diagnostics what was wrong with an input of the last frame; ("", "") for nothing."""
        self._problems = {role: problem}

    def poll(self) -> None:
        """Hand out a set that waits in vain for better partners."""
        self._emit(self._sync.poll(time.monotonic_ns()))

    def match_publishers(self) -> None:
        """With qos.reliability auto: subscribe anew where publishers have come that offer something else."""
        if self._parameters.reliability != "auto":
            return
        for role, subscription in list(self._subscriptions.items()):
            topic = subscription.topic_name
            offered = qos.offered_reliability(self._node, topic)
            if offered is not None and offered != self._reliability[role]:
                self._node.destroy_subscription(subscription)
                self._subscribe(role)
                self._node.get_logger().info(
                    f"{topic}: subscribed as {offered.name}, as its publishers offer"
                )

    def states(self) -> dict[str, InputState]:
        """What the diagnostics need to know of every input."""
        return {
            role: InputState(
                subscription.topic_name,
                self._node.count_publishers(subscription.topic_name),
                role in self._incompatible,
                self._problems.get(role, ""),
            )
            for role, subscription in self._subscriptions.items()
        }

    def problem(self) -> str:
        """Why no frame is complete, or empty."""
        return input_problem(
            self.states(), self._sync.stats, self._sync.slop_ns, time.monotonic_ns(),
            int(self._parameters.late_after * 1e9), self.camera_info is not None,
        )  # fmt: skip

    def use(self, parameters: NodeParameters) -> None:
        """Take over the values that may change while active."""
        self._parameters = replace(self._parameters, late_after=parameters.late_after)

    def _subscribe(self, role: str) -> None:
        topic, kind = self._info_topic if role == "camera_info" else self._topics[role]
        resolved = self._node.resolve_topic_name(topic)
        reliability = qos.wanted_reliability(self._node, resolved, self._parameters.reliability)
        self._reliability[role] = reliability
        self._incompatible.discard(role)
        self._subscriptions[role] = self._node.create_subscription(
            kind,
            topic,
            self._take_info if role == "camera_info" else lambda message: self._take(role, message),
            qos.input_profile(reliability, self._parameters.qos_depth),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self._incompatible.add(role)
            ),
        )

    def _take_info(self, message: CameraInfo) -> None:
        # Kept, not synchronised: it changes with the zoom or not at all, and some drivers send it once.
        self.camera_info = message
        early, self._early = self._early, None
        self._emit(early)

    def _take(self, role: str, message: Message) -> None:
        self._emit(self._sync.add(role, stamp_ns(message.header.stamp), message, time.monotonic_ns()))

    def _emit(self, messages: dict[str, Message] | None) -> None:
        if messages is None:
            return
        if self.camera_info is None:
            # It may be under way still: a small message that Fast DDS loses comes again up to 3 s later.
            self._early = messages
            return
        self.latest = FrameMessages(camera_info=self.camera_info, **messages)
        self._on_frame(self.latest)
