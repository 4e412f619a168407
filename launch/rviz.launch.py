"""RViz on the node: image, depth as a coloured cloud, meshes, poses, TF.

    ros2 launch sam3d_ros rviz.launch.py fixed_frame:=base_link rgb:=/camera/camera/color/image_raw

The view, rviz/sam3d.rviz, names a node /sam3d and a camera on the node's own topics; others are remapped.
With rviz:=true, reconstruction.launch.py starts this with the topics of its camera.
"""

from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = {
    "node": ("/sam3d", "the reconstruction node, with its namespace"),
    "rgb": ("/rgb/image", "topic of the colour image"),
    "depth": ("/depth/image", "topic of the depth image"),
    "camera_info": ("/rgb/camera_info", "topic of the camera_info of both"),
    "fixed_frame": ("", "RViz's fixed frame; empty: camera_color_optical_frame"),
    "use_sim_time": ("false", "true: time from /clock"),
}
OUTPUTS = ("markers", "poses")


def start(context: LaunchContext) -> list[Any]:
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    topics = {f"/sam3d/{output}": f"{value['node']}/{output}" for output in OUTPUTS}
    topics |= {"/rgb/image": value["rgb"], "/depth/image": value["depth"]}
    # RViz looks for camera_info beside the depth image. Depth is registered to colour, so colour's is right.
    beside_depth = value["depth"].rpartition("/")[0] + "/camera_info"
    topics |= {"/rgb/camera_info": value["camera_info"], "/depth/camera_info": value["camera_info"]}
    topics[beside_depth] = value["camera_info"]
    frame = ["-f", value["fixed_frame"]] if value["fixed_frame"] else []
    view = get_package_share_directory("sam3d_ros") + "/rviz/sam3d.rviz"
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", view, *frame],
        parameters=[{"use_sim_time": value["use_sim_time"].lower() == "true"}],
        remappings=[(ours, theirs) for ours, theirs in topics.items() if ours != theirs],
        output="log",
    )
    return [rviz]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
