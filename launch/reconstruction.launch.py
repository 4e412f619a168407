"""The reconstruction node for one camera.

    ros2 launch sam3d_ros reconstruction.launch.py camera:=realsense mask:=/segmenter/labels
    ros2 launch sam3d_ros reconstruction.launch.py namespace:=arm camera:=zed camera_namespace:=/left/zed_node

Which topics a driver uses is data: config/cameras/*.yaml, or a file of your own in the same form.
Parameters: config/reconstruction_node.yaml, the camera's file, params_file, method, model, backend, use_sim_time; the
later one wins.
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from sam3d_ros.node.share import shared_memory_environment

ARGUMENTS = {
    "camera": (
        "none",
        "realsense, zed, oak, simulation, none, or a file like config/cameras/*.yaml",
    ),
    "camera_namespace": ("", "where the camera's driver publishes; empty: as config/cameras says"),
    "mask": ("", "topic of the label image; empty: mask/image"),
    "name": ("sam3d", "name of the node"),
    "namespace": ("", "namespace of the node and of the topics that are not remapped"),
    "method": ("", "auto, compact, extrude, hull or mirror; empty: as the parameter files say"),
    "model": ("", "bundle of the method compact, or its folder; empty: as the parameter files say"),
    "backend": (
        "",
        "what runs the model: auto, tensorrt, onnxruntime-cuda or onnxruntime; empty: as the parameter files say",
    ),
    "params_file": ("", "your own parameters; those it leaves out keep their defaults"),
    "use_sim_time": ("", "true: time from /clock; empty: as the parameter files say"),
    "autostart": ("true", "the node configures and activates itself; false: a lifecycle manager does"),
    "shared_memory": ("false", "Fast DDS with 32 MB of shared memory (set it for the camera's driver too)"),
    "log_level": ("info", "debug, info, warn or error"),
    "rviz": ("false", "open RViz"),
    "fixed_frame": ("", "RViz's fixed frame; empty: camera_color_optical_frame"),
}
# What image_transport appends to the topic when the node runs with image_transport: compressed.
COMPRESSED = {"rgb/image": "compressed", "depth/image": "compressedDepth"}


def read_camera(config: Path, camera: str) -> dict[str, Any]:
    """The camera's file: driver, namespace, topics (the node's name for it -> the driver's), parameters."""
    if camera in ("", "none"):
        return {"namespace": "", "topics": {}, "parameters": {}}
    own_file = "/" in camera or camera.endswith(".yaml")
    path = Path(camera) if own_file else config / "cameras" / f"{camera}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (config / "cameras").glob("*.yaml")))
        raise FileNotFoundError(f"camera '{camera}' is neither a file nor one of {known}, none")
    camera_file: dict[str, Any] = yaml.safe_load(path.read_text())
    return camera_file


def remappings(topics: dict[str, str], camera_namespace: str, mask: str) -> list[tuple[str, str]]:
    """(from, to) for every topic of the camera, in raw and compressed form, and for the mask."""
    base = camera_namespace.rstrip("/")
    pairs = []
    for own, driver in topics.items():
        topic = driver if driver.startswith("/") else f"{base}/{driver}"
        pairs.append((own, topic))
        if own in COMPRESSED:
            pairs.append((f"{own}/{COMPRESSED[own]}", f"{topic}/{COMPRESSED[own]}"))
    return [*pairs, ("mask/image", mask)] if mask else pairs


def wildcard_file(parameters: dict[str, Any]) -> str:
    """Parameters as a file for any node.

    launch_ros writes a dictionary under the node's full name, and that would win over a later file with /**.
    """
    with tempfile.NamedTemporaryFile("w", prefix="sam3d_camera_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump({"/**": {"ros__parameters": parameters}}, file)
    return file.name


def node(
    value: dict[str, str], config: Path, camera: dict[str, Any], remapped: list[tuple[str, str]]
) -> LifecycleNode:
    parameters = [str(config / "reconstruction_node.yaml")]
    if camera["parameters"]:
        parameters.append(wildcard_file(camera["parameters"]))
    if value["params_file"]:
        parameters.append(value["params_file"])
    overrides: dict[str, Any] = {"autostart": value["autostart"].lower() == "true"}
    overrides |= {name: value[name] for name in ("method", "model", "backend") if value[name]}
    if value["use_sim_time"]:
        overrides["use_sim_time"] = value["use_sim_time"].lower() == "true"
    return LifecycleNode(
        package="sam3d_ros",
        executable="reconstruction_node",
        name=value["name"],
        namespace=value["namespace"],
        parameters=[*parameters, overrides],
        remappings=remapped,
        ros_arguments=["--log-level", value["log_level"]],
        output="screen",
    )


def rviz(value: dict[str, str], remapped: list[tuple[str, str]], sim_time: bool) -> IncludeLaunchDescription:
    """RViz on the topics that the node really uses."""
    space = value["namespace"].strip("/")
    base = f"/{space}" if space else ""
    topic = {name: f"{base}/{name}" for name in ("rgb/image", "depth/image", "rgb/camera_info")} | dict(
        remapped
    )
    arguments = {
        "node": f"{base}/{value['name']}",
        "rgb": topic["rgb/image"],
        "depth": topic["depth/image"],
        "camera_info": topic["rgb/camera_info"],
        "fixed_frame": value["fixed_frame"],
        "use_sim_time": str(sim_time).lower(),
    }
    source = PythonLaunchDescriptionSource(
        get_package_share_directory("sam3d_ros") + "/launch/rviz.launch.py"
    )
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())


def start(context: LaunchContext) -> list[Any]:
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    config = Path(get_package_share_directory("sam3d_ros")) / "config"
    camera = read_camera(config, value["camera"])
    remapped = remappings(camera["topics"], value["camera_namespace"] or camera["namespace"], value["mask"])
    entities: list[Any] = []
    if value["shared_memory"].lower() == "true":
        environment = shared_memory_environment()
        entities += [SetEnvironmentVariable(name, path) for name, path in environment.items()]
    entities.append(node(value, config, camera, remapped))
    if value["rviz"].lower() == "true":
        sim_time = value["use_sim_time"] or str(camera["parameters"].get("use_sim_time", False))
        entities.append(rviz(value, remapped, sim_time.lower() == "true"))
    return entities


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
