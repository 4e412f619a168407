"""docs/interfaces.md against the node itself: topics, types, QoS, codes, and its examples, run."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from ros_process import start_ros
from sam3d_ros.action import Reconstruct
from sam3d_ros.msg import ObjectMeshArray, ReconstructedObject, ReconstructedObjectArray, RejectedMask
from std_msgs.msg import Header

from sam3d_ros.node import inputs, publish, qos
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.reconstruction_node import ReconstructionNode
from sam3d_ros.types import Mesh

pytestmark = pytest.mark.ros
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "interfaces.md").read_text()
# What every rclpy node has.
STANDARD = {"/parameter_events", "/rosout"}


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    started = start_ros()
    yield
    if started:
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def node(ros: None) -> Iterator[ReconstructionNode]:
    """An active node, spun by a thread."""
    made = ReconstructionNode()
    made.trigger_configure()
    made.trigger_activate()
    executor = SingleThreadedExecutor()
    executor.add_node(made)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield made
    executor.shutdown()
    thread.join(10)
    made.trigger_deactivate()
    made.trigger_cleanup()
    made.destroy_node()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    after = PAGE.split(f"{heading}\n", 1)[1]
    table = re.search(r"^\|.*(?:\n\|.*)*", after, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def type_name(cls: Any) -> str:
    return f"{cls.__module__.split('.')[0]}/{cls.__name__}"


def resolved(name: str) -> str:
    plain = name.strip("`")
    return plain.replace("~/", "/sam3d/") if plain.startswith(("~", "/")) else f"/{plain}"


def qos_text(profile: Any) -> str:
    return f"{profile.reliability.name}, {profile.durability.name}, {profile.depth}".lower()


def test_inputs_are_those_of_the_node(node: ReconstructionNode) -> None:
    written = {resolved(r[0]): r[1].strip("`") for r in rows("## Inputs")}
    real = {s.topic_name: type_name(s.msg_type) for s in node.subscriptions}
    for settings in (NodeParameters(source="points"), NodeParameters(transport="compressed")):
        real |= {f"/{topic}": type_name(kind) for topic, kind in inputs.topics(settings).values()}
    assert written == {k: v for k, v in real.items() if k not in STANDARD}


def test_outputs_are_those_of_the_node(node: ReconstructionNode) -> None:
    written = {resolved(r[0]): (r[1].strip("`"), r[2]) for r in rows("## Outputs")}
    real = {p.topic_name: (type_name(p.msg_type), qos_text(p.qos_profile)) for p in node.publishers}
    # Their packages may be missing here.
    for topic in ("detections", "collision_objects"):
        assert written[f"/sam3d/{topic}"][1] == qos_text(qos.output_profile())
        real.setdefault(f"/sam3d/{topic}", written[f"/sam3d/{topic}"])
    assert written == {k: v for k, v in real.items() if k not in STANDARD}


def test_services_are_those_of_the_node(node: ReconstructionNode) -> None:
    written = {resolved(r[0]): r[1].strip("`") for r in rows("## Services and the action")}
    every = {resolved(s.srv_name): type_name(s.srv_type) for s in node.services}
    own = {k: v for k, v in every.items() if v.split("/")[0] in ("sam3d_ros", "std_srvs")}
    assert written == own


def constants(cls: Any, source: str) -> list[str]:
    """Names of an interface's constants whose line in the definition starts with `source`."""
    root = Path(__file__).resolve().parents[2]
    return re.findall(rf"^{source} ([A-Z_]+)=", (root / cls).read_text(), re.MULTILINE)


def test_codes_are_those_of_the_interfaces() -> None:
    reject = [r[0].strip("`") for r in rows("### Why a mask gave no object")]
    assert reject == constants("msg/RejectedMask.msg", "uint8")
    assert all(hasattr(RejectedMask, name) for name in reject)
    errors = [name.strip("`") for name, _ in re.findall(r"^\| (`[A-Z_]+`) \| (.*) \|$", PAGE, re.MULTILINE)]
    errors = errors[len(reject) :]
    assert errors == constants("action/Reconstruct.action", "uint16")
    assert all(hasattr(Reconstruct.Result, name) for name in errors)


def test_every_parameter_named_in_the_text_exists() -> None:
    """Every `word.word` in the text that is not a field of a message."""
    names = set(re.findall(r"`([a-z_]+\.[a-z_]+)(?::[^`]*)?`", PAGE))
    known = {f.metadata["name"] for f in dataclasses.fields(NodeParameters)}
    assert names - {"header.frame_id", "objects.rejected"} <= known


def test_example_poses_and_latched_meshes(
    node: ReconstructionNode, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first example hears what the node's own publisher sends; the latched one, what was sent before it came."""
    place: dict[str, Any] = {}
    exec(blocks()[0], place)
    exec(blocks()[2], place)
    outputs = {p.topic_name: p for p in node.publishers}
    mesh = publish.mesh_message(tetrahedron(), Header(frame_id="object_1"), "object_1", True, "")
    outputs["/sam3d/meshes"].publish(ObjectMeshArray(meshes=[mesh]))
    message = ReconstructedObjectArray(header=Header(frame_id="optical"))
    message.objects = [ReconstructedObject(id="object_1", confidence=0.75)]
    message.rejected = [RejectedMask(mask=9, reason="4 pixels, at least 100 are needed")]
    listener = place["Listener"]()
    heard: list[Any] = []
    listener.create_subscription(ObjectMeshArray, "sam3d/meshes", heard.append, place["latched"])
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    text = ""
    for _ in range(100):
        outputs["/sam3d/objects"].publish(message)
        executor.spin_once(timeout_sec=0.1)
        text += "".join(capfd.readouterr())
        if heard and "mask 9: 4 pixels" in text:
            break
    executor.shutdown()
    listener.destroy_node()
    assert "object_1: 0.000 0.000 0.000 m in optical, confidence 0.75" in text
    assert heard[0].meshes[0].id == "object_1"


def tetrahedron() -> Mesh:
    vertices = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    return Mesh(vertices, faces, np.full((4, 3), 7, np.uint8))


def test_example_arrays_are_views_of_the_message() -> None:
    place: dict[str, Any] = {}
    exec(blocks()[1], place)
    mesh = tetrahedron()
    message = publish.mesh_message(mesh, Header(), "a", True, "")
    vertices, triangles, colors = place["arrays"](message)
    np.testing.assert_array_equal(vertices, mesh.vertices)
    np.testing.assert_array_equal(triangles, mesh.faces)
    np.testing.assert_array_equal(colors[:, :3], mesh.colors)
    message.vertices[0] = 5.0
    assert vertices[0, 0] == 5.0, "a copy"


def test_example_goal_ends_with_a_reason_where_there_is_no_camera(node: ReconstructionNode) -> None:
    place: dict[str, Any] = {}
    exec(blocks()[3], place)
    client = rclpy.create_node("asker")
    result = place["reconstruct"](client)
    client.destroy_node()
    assert result.error_code == Reconstruct.Result.NO_FRAME
    assert "/rgb/image" in result.error_msg
