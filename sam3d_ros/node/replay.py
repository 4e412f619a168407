"""Replay recorded frames to the node: a folder in the BOP layout, or a ROS 2 bag (sqlite3 or mcap) without rosbag2.

    sam3d replay --ros-args -p bop:=DIR -p scene:=000001 -p rate:=5.0
    sam3d replay --ros-args -p bag:=DIR -p speed:=1.0 -r /camera/color/image_raw:=/rgb/image

A BOP scene is published as rgb/image, depth/image (32FC1, so that tenths of millimetres survive), mask/image and
rgb/camera_info with fresh stamps. A bag's messages go out as they were recorded, at their own pace. Before the first
message it waits for subscribers (wait_for, wait_timeout).
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock

from sam3d_ros.data import bop
from sam3d_ros.node import parameter_spec
from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.convert import time_of
from sam3d_ros.node.ending import init
from sam3d_ros.node.parameter_spec import parameter
from sam3d_ros.types import InputError, Int


@dataclass(frozen=True)
class ReplayParameters:
    """The replay's ROS parameters."""

    bop: str = parameter("", "bop", "folder in the BOP layout; give this or bag")
    scene: str = parameter("000001", "scene", "of the BOP folder")
    bag: str = parameter("", "bag", "folder or file of a ROS 2 bag")
    rate: float = parameter(5.0, "rate", "images per second of a BOP scene, Hz", low=0.01, high=200.0)
    speed: float = parameter(1.0, "speed", "of a bag, relative to its recording", low=0.001, high=1000.0)
    loop: bool = parameter(False, "loop", "start again at the end")
    clock: bool = parameter(False, "clock", "publish a bag's time on /clock, for nodes with use_sim_time")
    wait_for: str = parameter(
        "",
        "wait_for",
        "topics, with commas between, that need a subscriber before the first message; empty: all of a BOP scene, "
        "any of a bag but those that every node may subscribe to, like /tf",
    )
    wait_timeout: float = parameter(
        10.0, "wait_timeout", "without those subscribers it begins after so long, s", low=0.0, high=3600.0
    )
    start_delay: float = parameter(
        2.0,
        "start_delay",
        "from then on, time for them to find the publishers and to match their reliability, s",
        low=0.0,
        high=60.0,
    )


Sleep: TypeAlias = Callable[[float], bool]
"""Wait so many seconds with the node alive; False: it is time to end."""
ANYBODY = {"/tf", "/tf_static", "/clock", "/rosout", "/parameter_events", "/diagnostics"}
"""A subscriber of these need not be one for whom a bag is replayed."""
HANDOVER = 5.0
"""Seconds that reliable subscribers have at the end to take what is still under way: what got lost is sent again with
the next heartbeat, every 3 s with Fast DDS."""


def wait_for_subscribers(
    node: Node, p: ReplayParameters, topics: Sequence[str], every: bool, sleep: Sleep
) -> bool:
    """As the parameters say, until `every` one of these topics has a subscriber, or one of them. False: it is time to
    end. Raises InputError for a `wait_for` that is no topic."""
    if named := [name for name in map(str.strip, p.wait_for.split(",")) if name]:
        topics, every = [_resolved(node, name) for name in named], True
    until = time.monotonic() + p.wait_timeout
    waited = False
    while (missing := _without_subscriber(node, topics, every)) and time.monotonic() < until:
        if not waited:
            node.get_logger().info(f"waiting for subscribers of {missing}, at most {p.wait_timeout:g} s")
        waited = True
        if not sleep(0.05):
            return False
    if missing and waited:
        node.get_logger().warning(f"replaying without subscribers of {missing}")
    return sleep(p.start_delay)


def _without_subscriber(node: Node, topics: Sequence[str], every: bool) -> str:
    """Those that are still waited for, as text."""
    missing = [topic for topic in topics if not node.count_subscribers(topic)]
    if every:
        return ", ".join(missing)
    return f"any of {', '.join(missing)}" if missing and len(missing) == len(topics) else ""


def _resolved(node: Node, name: str) -> str:
    try:
        return node.resolve_topic_name(name)
    except RuntimeError as error:  # RCLError
        raise InputError(f"wait_for: {error}") from error


def hand_over(node: Node, sleep: Sleep) -> None:
    """Before the publishers go: what they have sent reaches its readers. Only reliable ones say so."""
    if not sleep(1.0):
        return
    until = time.monotonic() + HANDOVER
    for publisher in node.publishers:
        publisher.wait_for_all_acked(Duration(seconds=max(0.0, until - time.monotonic())))


def labels_of(image: bop.BopImage) -> Int:
    """(H, W) uint16 label image of an image's masks; where masks overlap, the later one wins."""
    labels = np.zeros(image.depth_m.shape, np.uint16)
    for mask in image.masks:
        labels[mask.pixels] = mask.index
    return labels


def replay_bop(node: Node, p: ReplayParameters, sleep: Sleep) -> int:
    """Publish a scene; returns the number of frames. Raises InputError for a folder that is not in the BOP layout."""
    folder = Path(p.bop)
    numbers = bop.list_images(folder, p.scene)
    if not numbers:
        raise InputError(f"{folder}/{p.scene} holds no images")
    topics = CameraTopics(node, "camera_color_optical_frame")
    node.get_logger().info(f"replaying {len(numbers)} images of {folder}/{p.scene} at {p.rate:g} Hz")
    images = [publisher.topic_name for publisher in (topics.rgb, topics.depth, topics.mask, topics.info)]
    count, going = 0, wait_for_subscribers(node, p, images, True, sleep)
    while going:
        for number in numbers:
            image = bop.read_image(folder, p.scene, number)
            stamp = node.get_clock().now().nanoseconds
            topics.publish(image.rgb, image.depth_m, labels_of(image), image.camera, stamp, "32FC1")
            count += 1
            if not (going := sleep(1.0 / p.rate)):
                break
        going = going and p.loop
    return count


@contextlib.contextmanager
def open_bag(folder: Path) -> Iterator[AnyReader]:
    """A ROS 2 bag for reading. Raises InputError where there is none, or where it breaks off."""
    try:
        with AnyReader([folder], default_typestore=get_typestore(Stores.LATEST)) as reader:
            yield reader
    except (AnyReaderError, OSError) as error:
        raise InputError(f"{folder} is not a ROS 2 bag: {error}") from error


def message_type(name: str) -> Any:
    """The Python class of "package/msg/Type"; None where the package is not installed."""
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind, None)
    except ImportError:
        return None


def replay_bag(node: Node, p: ReplayParameters, sleep: Sleep) -> int:
    """Publish a bag's messages at their own pace times `speed`; returns how many. Raises InputError for no bag."""
    with open_bag(Path(p.bag)) as reader:
        publishers = {c.topic: _publisher(node, c.topic, c.msgtype) for c in reader.connections}
        clock = node.create_publisher(Clock, "/clock", 10) if p.clock else None
        topics = {publisher.topic_name for publisher in publishers.values() if publisher}
        count, going = 0, wait_for_subscribers(node, p, sorted(topics - ANYBODY), False, sleep)
        while going:
            first: int | None = None
            began = time.monotonic()
            for connection, stamp, data in reader.messages():
                first = stamp if first is None else first
                ahead = (stamp - first) / 1e9 / p.speed - (time.monotonic() - began)
                if not (going := sleep(max(0.0, ahead))):
                    break
                if clock:
                    clock.publish(Clock(clock=time_of(stamp)))
                if publisher := publishers[connection.topic]:
                    publisher.publish(bytes(data))
                    count += 1
            going = going and p.loop
    return count


def _publisher(node: Node, topic: str, kind: str) -> Any:
    cls = message_type(kind)
    if cls is None:
        node.get_logger().warning(f"{topic}: {kind} is not installed, its messages are left out")
        return None
    profile = QoSProfile(depth=100 if topic.startswith("/tf") else 10)
    if topic.endswith("/tf_static"):
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return node.create_publisher(cls, topic, profile)


def main(args: Sequence[str] | None = None) -> None:
    """Replay what the parameters say, then end. Exit code 2 where there is nothing to replay."""
    stop = init(args)
    node = Node("replay")
    parameter_spec.declare(node, ReplayParameters)
    p = parameter_spec.read(node, ReplayParameters)

    def sleep(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not stop.is_set():
            left = until - time.monotonic()
            rclpy.spin_once(node, timeout_sec=max(0.0, min(left, 0.1)))
            if time.monotonic() >= until:
                return True
        return False

    try:
        if bool(p.bop) == bool(p.bag):
            raise InputError("give one of the parameters 'bop' (with 'scene') and 'bag'")
        count = replay_bop(node, p, sleep) if p.bop else replay_bag(node, p, sleep)
        hand_over(node, sleep)
        node.get_logger().info(f"{count} {'frames' if p.bop else 'messages'} published")
    except InputError as error:
        node.get_logger().error(str(error))
        raise SystemExit(2) from None
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
