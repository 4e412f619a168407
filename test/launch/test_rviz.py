"""rviz/sam3d.rviz shows topics that exist, with a QoS that matches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sam3d_ros.node import inputs
from sam3d_ros.node.parameters import NodeParameters

ROOT = Path(__file__).resolve().parents[2]
VIEW: dict[str, Any] = yaml.safe_load((ROOT / "rviz" / "sam3d.rviz").read_text())
# Which message a display of RViz takes.
TAKES = {
    "rviz_default_plugins/MarkerArray": "MarkerArray",
    "rviz_default_plugins/PoseArray": "PoseArray",
    "rviz_default_plugins/Image": "Image",
}


def displays() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = VIEW["Visualization Manager"]["Displays"]
    return found


def outputs() -> dict[str, tuple[str, str]]:
    """Topic -> (message, profile) of what the node's outputs.py creates, under the node's default name."""
    source = (ROOT / "sam3d_ros" / "node" / "outputs.py").read_text()
    found = re.findall(r'create_publisher\((\w+), "~/(\w+)", (\w+)\)', source)
    return {f"/sam3d/{topic}": (kind, profile) for kind, topic, profile in found}


def camera_topics() -> dict[str, str]:
    topics = {f"/{topic}": kind.__name__ for topic, kind in inputs.topics(NodeParameters()).values()}
    return topics | {"/rgb/camera_info": "CameraInfo"}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_every_topic_exists() -> None:
    named = {s for s in strings(displays()) if s.startswith("/")}
    assert named
    assert named <= outputs().keys() | camera_topics().keys()


def test_displays_take_what_the_topics_carry() -> None:
    kinds = {topic: kind for topic, (kind, _) in outputs().items()} | camera_topics()
    for display in displays():
        if display["Class"] in TAKES:
            assert kinds[display["Topic"]["Value"]] == TAKES[display["Class"]]


def test_qos_matches_the_publishers() -> None:
    """The node's outputs are reliable and volatile; cameras may be best effort, so the image display is too."""
    for display in displays():
        topic = display.get("Topic")
        if not topic:
            continue
        if topic["Value"] in outputs():
            assert outputs()[topic["Value"]][1] == "plain"
            assert topic["Reliability Policy"] == "Reliable"
        else:
            assert topic["Reliability Policy"] == "Best Effort"
        assert topic["Durability Policy"] == "Volatile"


def test_what_a_person_wants_to_see_is_there() -> None:
    shown = {d["Class"].rpartition("/")[2] for d in displays()}
    assert {"Image", "DepthCloud", "MarkerArray", "PoseArray", "TF"} <= shown
    assert len({d["Name"] for d in displays()}) == len(displays())
