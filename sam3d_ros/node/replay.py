"""Replay recorded frames to the node: a folder in the BOP layout, or a ROS 2 bag (sqlite3 or mcap) without rosbag2.

    sam3d replay --ros-args -p bop:=DIR -p scene:=000001 -p rate:=5.0
    sam3d replay --ros-args -p bag:=DIR -p speed:=1.0 -r /camera/color/image_raw:=/rgb/image

A BOP scene is published as rgb/image, depth/image (32FC1, so that tenths of millimetres survive), mask/image and
rgb/camera_info with fresh stamps. A bag's messages go out as they were recorded, at their own pace.
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
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock

from sam3d_ros.data import bop
from sam3d_ros.node import parameter_spec
from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.convert import time_of
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
    start_delay: float = parameter(
        1.0, "start_delay", "time for discovery before the first message, s", low=0.0, high=60.0
    )


Sleep: TypeAlias = Callable[[float], bool]
"""Wait so many seconds with the node alive; False: it is time to end."""


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
    count, going = 0, sleep(p.start_delay)
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
        count, going = 0, sleep(p.start_delay)
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
    rclpy.init(args=list(args) if args is not None else None)
    node = Node("replay")
    parameter_spec.declare(node, ReplayParameters)
    p = parameter_spec.read(node, ReplayParameters)

    def sleep(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while rclpy.ok():
            left = until - time.monotonic()
            rclpy.spin_once(node, timeout_sec=max(0.0, min(left, 0.1)))
            if time.monotonic() >= until:
                return True
        return False

    try:
        if bool(p.bop) == bool(p.bag):
            raise InputError("give one of the parameters 'bop' (with 'scene') and 'bag'")
        count = replay_bop(node, p, sleep) if p.bop else replay_bag(node, p, sleep)
        sleep(1.0)  # reliable readers get what is still under way
        node.get_logger().info(f"{count} {'frames' if p.bop else 'messages'} published")
    except InputError as error:
        node.get_logger().error(str(error))
        raise SystemExit(2) from None
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
