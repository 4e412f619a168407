"""Launch files: what they start, with which topics, parameters and files."""

from __future__ import annotations

import dataclasses
import importlib.util
import posixpath
import py_compile
from pathlib import Path
from typing import Any

import launch_stub
import pytest
import rclpy
import yaml
from launch_stub import StartedNode, run

from sam3d_ros.node import inputs
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.replay import ReplayParameters
from sam3d_ros.node.synthetic_camera import CameraParameters

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
CAMERAS = sorted((ROOT / "config" / "cameras").glob("*.yaml"))
# Declared by main() and by rclpy, not by the dataclass.
OF_EVERY_NODE = {"autostart", "use_sim_time"}


def node_inputs() -> set[str]:
    """Every relative topic that the node subscribes to with some setting."""
    settings = [NodeParameters(), NodeParameters(source="points"), NodeParameters(transport="compressed")]
    return {topic for s in settings for topic, _ in inputs.topics(s).values()} | {"rgb/camera_info"}


def parameter_names() -> set[str]:
    return {f.metadata["name"] for f in dataclasses.fields(NodeParameters)} | OF_EVERY_NODE


def of_file(path: str) -> dict[str, Any]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(Path(path).read_text())
    assert list(content) == ["/**"], "a node name would not match in a namespace"
    return content["/**"]["ros__parameters"]


def reconstruction(nodes: list[StartedNode]) -> StartedNode:
    (node,) = [n for n in nodes if n.executable == "reconstruction_node"]
    return node


@pytest.fixture(autouse=True)
def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's share folder is this checkout."""
    monkeypatch.setattr("ament_index_python.packages.get_package_share_directory", lambda name: str(ROOT))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_compiles_and_describes_every_argument(path: Path, tmp_path: Path) -> None:
    py_compile.compile(str(path), cfile=str(tmp_path / "out.pyc"), doraise=True)
    arguments = {"bop": "/data"} if path.name.startswith("replay") else {}
    context = run(path, **arguments)
    assert context.nodes
    assert all(d.description for d in context.declared)
    for node in context.nodes:
        if node.package == "sam3d_ros":
            assert (ROOT / "scripts" / node.executable).is_file()


@pytest.mark.parametrize("path", CAMERAS, ids=lambda p: p.stem)
def test_a_camera_file_names_topics_and_parameters_of_the_node(path: Path) -> None:
    camera = yaml.safe_load(path.read_text())
    assert camera.keys() == {"driver", "namespace", "topics", "parameters"}
    assert camera["namespace"].startswith("/")
    assert {"rgb/image", "rgb/camera_info", "depth/image"} <= camera["topics"].keys() <= node_inputs()
    assert camera["parameters"].keys() <= parameter_names()
    known = {f.metadata["name"]: f for f in dataclasses.fields(NodeParameters)}
    for name, value in camera["parameters"].items():
        if name in known:
            assert type(value) is type(known[name].default), name


@pytest.mark.parametrize("camera", [p.stem for p in CAMERAS])
def test_every_remapping_starts_at_a_topic_of_the_node(camera: str) -> None:
    node = reconstruction(run(LAUNCH / "reconstruction.launch.py", camera=camera, mask="/labels").nodes)
    assert node.lifecycle
    assert node.remappings.keys() <= node_inputs()
    assert node.remappings["mask/image"] == "/labels"
    assert all(to.startswith("/") for to in node.remappings.values())


def test_compressed_topics_follow_their_raw_ones() -> None:
    remappings = reconstruction(run(LAUNCH / "reconstruction.launch.py", camera="realsense").nodes).remappings
    assert remappings["rgb/image/compressed"] == "/camera/camera/color/image_raw/compressed"
    assert remappings["depth/image/compressedDepth"].endswith(
        "aligned_depth_to_color/image_raw/compressedDepth"
    )


def test_another_camera_namespace() -> None:
    node = reconstruction(
        run(LAUNCH / "reconstruction.launch.py", camera="zed", camera_namespace="/zed_left/zed_node/").nodes
    )
    assert node.remappings["rgb/image"] == "/zed_left/zed_node/rgb/color/rect/image"


def test_an_own_camera_file(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("driver: x\nnamespace: /x\ntopics: {rgb/image: a, depth/image: /y/b}\nparameters: {}\n")
    node = reconstruction(run(LAUNCH / "reconstruction.launch.py", camera=str(own)).nodes)
    assert node.remappings["rgb/image"] == "/x/a"
    assert node.remappings["depth/image"] == "/y/b"


def test_an_unknown_camera_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FileNotFoundError, match="oak, realsense, simulation, zed"):
        run(LAUNCH / "reconstruction.launch.py", camera="kinect")


def test_parameters_come_in_order_and_in_files_for_any_node(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("/**:\n  ros__parameters:\n    image_rectified: false\n")
    node = reconstruction(
        run(LAUNCH / "reconstruction.launch.py", camera="zed", params_file=str(own), namespace="left").nodes
    )
    *files, last = node.parameters
    assert files[0] == str(ROOT / "config" / "reconstruction_node.yaml")
    assert of_file(str(files[1])) == {"image_rectified": True}
    assert files[2] == str(own)
    assert last == {"autostart": True}, "use_sim_time is left to the files unless it is given"
    assert node.namespace == "left"


def test_use_sim_time_and_autostart() -> None:
    node = reconstruction(
        run(LAUNCH / "reconstruction.launch.py", use_sim_time="True", autostart="false").nodes
    )
    assert node.parameters[-1] == {"autostart": False, "use_sim_time": True}


def test_the_method_and_its_model() -> None:
    node = reconstruction(
        run(
            LAUNCH / "reconstruction.launch.py", method="compact", model="/models/mine", backend="tensorrt"
        ).nodes
    )
    given = {"method": "compact", "model": "/models/mine", "backend": "tensorrt"}
    assert node.parameters[-1] == {"autostart": True, **given}
    assert {"method", "model", "backend"} <= parameter_names()


def test_shared_memory_is_asked_for_before_the_node_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    ((name, profile),) = reconstruction(
        run(LAUNCH / "reconstruction.launch.py", shared_memory="true").nodes
    ).environment.items()
    assert name.endswith("_DEFAULT_PROFILES_FILE")
    assert Path(profile).name == "fastdds_shm.xml"
    assert not reconstruction(run(LAUNCH / "reconstruction.launch.py").nodes).environment


def test_rviz_shows_the_topics_that_the_node_uses() -> None:
    context = run(
        LAUNCH / "reconstruction.launch.py", camera="realsense", namespace="left", name="eye", rviz="true"
    )
    rviz = context.nodes[-1]
    assert rviz.remappings["/sam3d/markers"] == "/left/eye/markers"
    assert rviz.remappings["/rgb/image"] == "/camera/camera/color/image_raw"
    info = "/camera/camera/color/camera_info"
    assert rviz.remappings["/camera/camera/aligned_depth_to_color/camera_info"] == info
    assert rviz.remappings["/rgb/camera_info"] == info
    assert Path(rviz.arguments[1]).is_file()


def test_rviz_follows_the_simulated_clock_of_the_camera_file() -> None:
    rviz = run(LAUNCH / "reconstruction.launch.py", camera="simulation", rviz="true").nodes[-1]
    assert rviz.parameters == [{"use_sim_time": True}]


def test_demo_starts_camera_node_and_rviz_in_one_namespace() -> None:
    camera, node, rviz = run(LAUNCH / "demo.launch.py", namespace="a", seed="7").nodes
    assert (camera.executable, camera.namespace, node.namespace) == ("synthetic_camera", "a", "a")
    assert camera.parameters == [{"seed": 7, "objects": 5, "rate": 10.0}]
    assert rviz.remappings["/rgb/image"] == "/a/rgb/image"
    assert rviz.arguments[-2:] == ["-f", "map"]
    assert len(run(LAUNCH / "demo.launch.py", rviz="false").nodes) == 2


def declared(cls: type) -> dict[str, type]:
    return {f.metadata["name"]: type(f.default) for f in dataclasses.fields(cls)}


def test_parameters_of_camera_and_replay_exist() -> None:
    """And have the declared type: a text for a number would stop the node."""
    cases = [(run(LAUNCH / "demo.launch.py"), CameraParameters)]
    cases += [
        (run(LAUNCH / "replay.launch.py", **a), ReplayParameters) for a in ({"bop": "/d"}, {"bag": "/b"})
    ]
    for context, cls in cases:
        given = context.nodes[0].parameters[0]
        assert isinstance(given, dict)
        assert {name: type(value) for name, value in given.items()}.items() <= declared(cls).items()


def test_a_replayed_bag_gives_the_time() -> None:
    replay, node = run(LAUNCH / "replay.launch.py", bag="/bag", camera="oak", namespace="n", speed="2").nodes
    assert replay.parameters[0].items() >= {"bag": "/bag", "speed": 2.0, "loop": False, "clock": True}.items()
    assert replay.namespace == ""
    assert node.remappings["rgb/image"] == "/oak/rgb/image_raw"
    assert node.parameters[-1] == {"autostart": True, "use_sim_time": True}


@pytest.mark.parametrize(
    ("arguments", "topic"),
    [
        ({}, "/mask/image"),
        ({"namespace": "/n"}, "/n/mask/image"),
        ({"namespace": "n", "mask": "labels"}, "/n/labels"),
        ({"namespace": "n", "mask": "/segmenter/labels"}, "/segmenter/labels"),
    ],
)
def test_a_bag_waits_for_the_node(arguments: dict[str, str], topic: str) -> None:
    replay, node = run(LAUNCH / "replay.launch.py", bag="/bag", **arguments).nodes
    assert replay.parameters[0]["wait_for"] == topic
    assert posixpath.join("/", node.namespace, node.remappings.get("mask/image", "mask/image")) == topic


def test_a_replayed_folder_publishes_where_the_node_listens() -> None:
    replay, node = run(LAUNCH / "replay.launch.py", bop="/data", namespace="n").nodes
    assert (replay.namespace, node.namespace) == ("n", "n")
    assert node.parameters[-1] == {"autostart": True}


@pytest.mark.parametrize("arguments", [{}, {"bop": "/a", "bag": "/b"}])
def test_replay_wants_one_source(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one of bop"):
        run(LAUNCH / "replay.launch.py", **arguments)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_with_the_real_launch(path: Path) -> None:
    """Where apt's ROS is sourced: the same files through the real classes."""
    spec = importlib.util.find_spec("launch")
    if spec is None or spec.origin is None:  # the folder launch/ of this repository is no package
        pytest.skip("launch is not installed (it comes with apt's ROS)")
    launch = importlib.import_module("launch")
    context = launch.LaunchContext()
    if path.name.startswith("replay"):
        context.launch_configurations["bop"] = "/data"
    started = []
    waiting = list(launch_stub.load(path).entities)
    while waiting:
        entity = waiting.pop(0)
        if hasattr(entity, "node_executable"):
            started.append(entity)
        else:
            waiting = [*(entity.visit(context) or []), *waiting]
    assert started


@pytest.mark.ros
def test_rclpy_reads_the_files_in_the_order_that_the_launch_file_counts_on(tmp_path: Path) -> None:
    """A later /** beats an earlier one. The node's own name beats them all, also those that come after it: sections
    keep the place where they came first, and /** came with the defaults."""
    texts = {
        "defaults": "/**:\n  ros__parameters: {image_rectified: false, qos.depth: 5, autostart: true}\n",
        "named": "/arm/sam3d:\n  ros__parameters: {autostart: false}\n",
        "camera": "/**:\n  ros__parameters: {image_rectified: true, qos.depth: 3}\n",
        "own": "/**:\n  ros__parameters: {qos.depth: 7, autostart: true}\n",
    }
    arguments = ["--ros-args"]
    for name, content in texts.items():
        (tmp_path / f"{name}.yaml").write_text(content)
        arguments += ["--params-file", str(tmp_path / f"{name}.yaml")]
    context = rclpy.Context()
    rclpy.init(context=context, args=[], domain_id=98)
    try:
        node = rclpy.create_node("sam3d", namespace="arm", context=context, cli_args=arguments)
        defaults = {"image_rectified": False, "qos.depth": 5, "autostart": True}
        values = {name: node.declare_parameter(name, value).value for name, value in defaults.items()}
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    assert values == {"image_rectified": True, "qos.depth": 7, "autostart": False}
