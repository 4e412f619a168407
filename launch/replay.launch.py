"""Recorded frames to the node: a folder in the BOP layout, or a ROS 2 bag.

    ros2 launch sam3d_ros replay.launch.py bop:=/data/ycbv scene:=000048
    ros2 launch sam3d_ros replay.launch.py bag:=/data/run_3 camera:=realsense mask:=/segmenter/labels

A bag is played with its own time on /clock, and the node follows it; a BOP folder gets fresh stamps. Either begins
when the node listens.
"""

import posixpath
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = {
    "bop": ("", "dataset folder in the BOP layout"),
    "scene": ("000001", "its scene"),
    "rate": ("5.0", "images per second of a BOP folder"),
    "bag": ("", "ROS 2 bag (sqlite3 or mcap)"),
    "speed": ("1.0", "times the bag's own pace"),
    "loop": ("false", "start again at the end"),
    "camera": ("none", "whose topic names the bag has, as for reconstruction.launch.py"),
    "camera_namespace": ("", "as for reconstruction.launch.py"),
    "mask": ("", "topic of the bag's label image; empty: mask/image"),
    "namespace": ("", "namespace of the node"),
    "params_file": ("", "your own parameters of the node"),
    "rviz": ("false", "open RViz"),
    "fixed_frame": ("", "RViz's fixed frame; empty: camera_color_optical_frame"),
}
WAIT_TIMEOUT = 60.0  # seconds: the node loads its model first
FOR_NODE = ("camera", "camera_namespace", "mask", "namespace", "params_file", "rviz", "fixed_frame")


def start(context: LaunchContext) -> list[Any]:
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if bool(value["bop"]) == bool(value["bag"]):
        raise ValueError("give one of bop:=FOLDER (with scene:=NAME) and bag:=FOLDER")
    launch = get_package_share_directory("sam3d_ros") + "/launch"
    loop = value["loop"].lower() == "true"
    if value["bag"]:
        source = {"bag": value["bag"], "speed": float(value["speed"]), "clock": True}
        # Of the node's topics the one that RViz does not listen to.
        source["wait_for"] = posixpath.join("/", value["namespace"], value["mask"] or "mask/image")
    else:
        source = {"bop": value["bop"], "scene": value["scene"], "rate": float(value["rate"])}
    source |= {"loop": loop, "wait_timeout": WAIT_TIMEOUT}
    replay = Node(
        package="sam3d_ros",
        executable="replay",
        # A bag's topics are absolute; a BOP folder's go where the node listens.
        namespace="" if value["bag"] else value["namespace"],
        parameters=[source],
        output="screen",
    )
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(f"{launch}/reconstruction.launch.py"),
        launch_arguments={
            **{name: value[name] for name in FOR_NODE},
            "use_sim_time": "true" if value["bag"] else "",
        }.items(),
    )
    return [replay, node]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
