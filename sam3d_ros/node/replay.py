"""Replay recorded frames to the node: a folder in the BOP layout, or a ROS 2 bag (sqlite3 or mcap) without rosbag2.

    sam3d replay --ros-args -p bop:=DIR -p scene:=000001 -p rate:=5.0
    sam3d replay --ros-args -p bag:=DIR -p speed:=1.0 -r /camera/color/image_raw:=/rgb/image

A BOP scene is published as rgb/image, depth/image (32FC1, so that tenths of millimetres survive), mask/image and
rgb/camera_info with fresh stamps. A bag's messages go out as they were recorded, at their own pace.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from sam3d_ros.data import bop
from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.convert import time_of
from sam3d_ros.types import InputError, Int


def labels_of(image: bop.BopImage) -> Int:
    """(H, W) uint16 label image of an image's masks; where masks overlap, the later one wins."""
    labels = np.zeros(image.depth_m.shape, np.uint16)
    for mask in image.masks:
        labels[mask.pixels] = mask.index
    return labels


def replay_bop(node: Node, folder: Path, scene: str, rate: float, loop: bool, sleep: Callable[[float], bool]) -> int:
    """Publish a scene; returns the number of frames. `sleep(seconds)` spins the node and says whether to go on.

    Raises InputError for a folder that is not in the BOP layout.
    """
    topics = CameraTopics(node, "camera_color_optical_frame")
    numbers = bop.list_images(folder, scene)
    if not numbers:
        raise InputError(f"{folder}/{scene} holds no images")
    node.get_logger().info(f"replaying {len(numbers)} images of {folder}/{scene} at {rate:g} Hz")
    count = 0
    while True:
        for number in numbers:
            image = bop.read_image(folder, scene, number)
            stamp = node.get_clock().now().nanoseconds
            topics.publish(image.rgb, image.depth_m, labels_of(image), image.camera, stamp, "32FC1")
            count += 1
            if not sleep(1.0 / rate):
                return count
        if not loop:
            return count


def bag_messages(folder: Path) -> Iterator[tuple[int, str, str, bytes]]:
    """(time ns, topic, type, serialised message) of a bag, in order of time. Raises InputError for no bag."""
    from rosbags.highlevel import AnyReader, AnyReaderError
    from rosbags.typesys import Stores, get_typestore

    try:
        with AnyReader([folder], default_typestore=get_typestore(Stores.LATEST)) as reader:
            for connection, stamp, data in reader.messages():
                yield stamp, connection.topic, connection.msgtype, bytes(data)
    except (AnyReaderError, OSError) as error:
        raise InputError(f"{folder} is not a ROS 2 bag: {error}") from error


def message_type(name: str) -> Any:
    """The Python class of "package/msg/Type"; None where the package is not installed."""
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind, None)
    except ImportError:
        return None


def replay_bag(
    node: Node, folder: Path, speed: float, loop: bool, publish_clock: bool, sleep: Callable[[float], bool]
) -> int:
    """Publish a bag's messages at `speed` times their pace; returns how many. Raises InputError for no bag.

    publish_clock: also publish the recorded time on /clock, for nodes with use_sim_time.
    """
    publishers: dict[str, Any] = {}
    clock = node.create_publisher(Clock, "/clock", 10) if publish_clock else None
    count = 0
    while True:
        first: int | None = None
        began = time.monotonic()
        for stamp, topic, kind, data in bag_messages(folder):
            if topic not in publishers:
                publishers[topic] = _publisher(node, topic, kind)
            first = stamp if first is None else first
            ahead = (stamp - first) / 1e9 / speed - (time.monotonic() - began)
            if not sleep(max(0.0, ahead)):
                return count
            if clock:
                clock.publish(Clock(clock=time_of(stamp)))
            if publisher := publishers[topic]:
                publisher.publish(data)
                count += 1
        if not loop:
            return count


def _publisher(node: Node, topic: str, kind: str) -> Any:
    cls = message_type(kind)
    if cls is None:
        node.get_logger().warning(f"{topic}: {kind} is not installed, its messages are left out")
        return None
    latched = topic.endswith("/tf_static")
    profile = QoSProfile(depth=100 if topic.startswith("/tf") else 10)
    if latched:
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return node.create_publisher(cls, topic, profile)


def main(args: Sequence[str] | None = None) -> None:
    """Parameters: bop and scene, or bag; rate (Hz, BOP), speed (bag), loop, clock, start_delay (s)."""
    rclpy.init(args=list(args) if args is not None else None)
    node = Node("replay")
    bop_folder = node.declare_parameter("bop", "").value
    scene = node.declare_parameter("scene", "000001").value
    bag = node.declare_parameter("bag", "").value
    rate = node.declare_parameter("rate", 5.0).value
    speed = node.declare_parameter("speed", 1.0).value
    loop = node.declare_parameter("loop", False).value
    publish_clock = node.declare_parameter("clock", False).value
    delay = node.declare_parameter("start_delay", 1.0).value

    def sleep(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while rclpy.ok():
            left = until - time.monotonic()
            rclpy.spin_once(node, timeout_sec=max(0.0, min(left, 0.1)))
            if time.monotonic() >= until:
                return True
        return False

    try:
        if bool(bop_folder) == bool(bag):
            raise InputError("give one of the parameters 'bop' (with 'scene') and 'bag'")
        if rate <= 0 or speed <= 0:
            raise InputError("'rate' and 'speed' must be positive")
        sleep(delay)  # discovery
        if bop_folder:
            count = replay_bop(node, Path(bop_folder), scene, rate, loop, sleep)
        else:
            count = replay_bag(node, Path(bag), speed, loop, publish_clock, sleep)
        sleep(1.0)  # reliable readers get what is still under way
        node.get_logger().info(f"{count} {'frames' if bop_folder else 'messages'} published")
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
