"""The inputs without DDS: what happens when messages come in another order than cameras send them."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sam3d_ros.node.inputs import FrameMessages, Inputs
from sam3d_ros.node.parameters import NodeParameters


class Topics:
    """In place of the node: `send(topic, message)` is the message's arrival."""

    def __init__(self) -> None:
        self.send: dict[str, Callable[[Any], None]] = {}

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], *_: Any, **__: Any
    ) -> Any:
        self.send[topic] = callback
        return types.SimpleNamespace(topic_name=topic)

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return []


def images(topics: Topics, second: int) -> None:
    for topic in ("rgb/image", "depth/image", "mask/image"):
        topics.send[topic](Image(header=Header(stamp=Time(sec=second))))


def test_the_newest_images_wait_for_the_first_camera_info() -> None:
    topics, frames = Topics(), list[FrameMessages]()
    inputs = Inputs(topics, NodeParameters(), frames.append)  # type: ignore[arg-type]
    images(topics, 1)
    images(topics, 2)
    assert not frames
    topics.send["rgb/camera_info"](CameraInfo(width=7))
    assert [(f.rgb.header.stamp.sec, f.camera_info.width) for f in frames] == [(2, 7)]
    assert inputs.latest is frames[0]
    topics.send["rgb/camera_info"](CameraInfo(width=7))
    assert len(frames) == 1, "the same images twice"
    images(topics, 3)
    assert [f.rgb.header.stamp.sec for f in frames] == [2, 3]
