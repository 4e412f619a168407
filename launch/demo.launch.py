"""A camera that does not exist, the node, and RViz: what the package does, without hardware.

ros2 launch sam3d_ros demo.launch.py seed:=7 objects:=8
ros2 launch sam3d_ros demo.launch.py rviz:=false
"""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "namespace": ("", "namespace of camera and node"),
    "seed": ("0", "which scene"),
    "objects": ("5", "how many objects on the table"),
    "rate": ("10.0", "images per second"),
    "params_file": ("", "your own parameters of the node"),
    "rviz": ("true", "open RViz"),
}


def generate_launch_description() -> LaunchDescription:
    launch = get_package_share_directory("sam3d_ros") + "/launch"
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    scene = {"seed": int, "objects": int, "rate": float}
    camera = Node(
        package="sam3d_ros",
        executable="synthetic_camera",
        namespace=LaunchConfiguration("namespace"),
        parameters=[{n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t in scene.items()}],
        output="screen",
    )
    forwarded = {name: LaunchConfiguration(name) for name in ("namespace", "params_file", "rviz")}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(f"{launch}/reconstruction.launch.py"),
        launch_arguments={**forwarded, "fixed_frame": "map"}.items(),
    )
    return LaunchDescription([*declared, camera, node])
