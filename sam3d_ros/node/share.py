"""Where the package's launch, config and rviz files are installed, and how Fast DDS is told of ours."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def share_folder() -> Path:
    """`share/sam3d_ros` of the first prefix that has it: AMENT_PREFIX_PATH (a sourced ROS), else Python's own prefix
    (ROS from wheels sets no variables). Raises FileNotFoundError naming the places."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [sys.prefix]
    for prefix in prefixes:
        if (folder := Path(prefix) / "share" / "sam3d_ros").is_dir():
            return folder
    raise FileNotFoundError(
        f"share/sam3d_ros is in none of {', '.join(prefixes)}; is the package built and sourced?"
    )


def shared_memory_environment() -> dict[str, str]:
    """The variable that gives Fast DDS config/fastdds_shm.xml, unless the user set a profile already.

    One of two names: since Kilted (rclpy 9, Fast DDS 3) FASTDDS_..., before FASTRTPS_...; with both, Kilted reads the
    file twice and then refuses it.
    """
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    if any(os.environ.get(name) for name in names):
        return {}
    try:
        new = int(version("rclpy").split(".")[0]) >= 9
    except PackageNotFoundError:
        new = True
    return {names[0 if new else 1]: str(share_folder() / "config" / "fastdds_shm.xml")}
