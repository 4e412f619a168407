"""`sam3d doctor`: what of this machine the package can use, and how to get what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sam3d_ros.runtime.find import Damaged, bundles
from sam3d_ros.runtime.select import choose, options
from sam3d_ros.types import InputError

SHM = Path("/dev/shm")
NEEDED_SHM = 64 << 20  # bytes: a few frames of 640x480 with points, for two readers


@dataclass(frozen=True)
class Finding:
    """One line. ok: True, False, or None where it is optional and missing."""

    name: str
    ok: bool | None
    text: str


def installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version(distribution: str) -> str:
    """Version of an installed distribution, or "" where it has no metadata (apt's ROS packages)."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def findings() -> list[Finding]:
    """All lines, in the order in which things build on each other. Loads nothing heavy but the model of the method."""
    shared_memory = (shared_memory_profile(), shared_memory_space())
    return [python(), numpy(), *ros(), *optional(), *backends(), *models(), method(), *shared_memory]


def python() -> Finding:
    good = (3, 10) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", good, platform.python_version() + ("" if good else ": 3.10 to 3.13 are tested"))


def numpy() -> Finding:
    found = installed("numpy")
    return Finding("numpy", found, version("numpy") if found else "pip install -r requirements/runtime.txt")


def ros() -> list[Finding]:
    distro = os.environ.get("ROS_DISTRO", "")
    rclpy = installed("rclpy")
    where = f"{distro or 'wheels'}, rclpy {version('rclpy') or 'from ' + distro}"
    how = "no rclpy: source /opt/ros/<distro>/setup.bash, or make build for the wheels"
    built = installed("sam3d_ros.msg")
    tf2 = installed("tf2_msgs")
    return [
        Finding("ROS 2", rclpy, where if rclpy else how),
        Finding("interfaces", built, "sam3d_ros.msg" if built else "not built: make build, or colcon build"),
        Finding(
            "tf2_msgs", tf2, "TF can be sent" if tf2 else "missing: make build makes it from overlay/tf2_msgs"
        ),
    ]


OPTIONAL = {
    "vision_msgs": "Detection3DArray is published",
    "moveit_msgs": "CollisionObject is published",
    "torch": "networks in torch, training",
}


def optional() -> list[Finding]:
    lines = []
    for module, use in OPTIONAL.items():
        if installed(module):
            lines.append(Finding(module, True, f"{version(module)} {use}".strip()))
        else:
            lines.append(Finding(module, None, f"not installed, so not: {use}"))
    return lines


def method() -> Finding:
    """Which method the pipeline and the node use by default, and why: its model is really loaded."""
    try:
        from sam3d_ros.methods.choose import choose
        from sam3d_ros.methods.settings import Settings
    except ImportError as error:
        return Finding("method", False, f"none: {error}; pip install -r requirements/runtime.txt")
    chosen = choose(Settings())
    return Finding("method", chosen.model is not None or None, f"{chosen.method}: {chosen.reason}")


def backends() -> list[Finding]:
    """What can run model bundles, the fastest first, and what is missing for the others."""
    return [Finding(option.name, True if option.usable else None, option.text) for option in options()]


def models() -> list[Finding]:
    """Every bundle and the backend that `auto` takes for it."""
    lines = []
    for bundle in bundles():
        name = bundle.folder.name
        if isinstance(bundle, Damaged):
            lines.append(Finding(name, None, bundle.reason))
            continue
        try:
            lines.append(Finding(name, True, f"runs with {choose(bundle).name}"))
        except InputError as error:
            lines.append(Finding(name, None, str(error)))
    return lines


def shared_memory_profile() -> Finding:
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        if path := os.environ.get(name):
            there = Path(path).is_file()
            return Finding("DDS profile", there, path if there else f"{name}={path}: no such file")
    if Path("DEFAULT_FASTDDS_PROFILES.xml").is_file():
        return Finding("DDS profile", True, "DEFAULT_FASTDDS_PROFILES.xml of this folder")
    text = (
        "Fast DDS defaults: images go in pieces; set FASTDDS_DEFAULT_PROFILES_FILE to the profile in config/"
    )
    return Finding("DDS profile", None, text)


def shared_memory_space() -> Finding:
    if not SHM.is_dir():
        return Finding("/dev/shm", None, "not there: DDS uses UDP on this machine")
    free = shutil.disk_usage(SHM).free
    text = f"{free >> 20} MB free"
    if free < NEEDED_SHM:
        text += ": too little for images, give the container --shm-size=512m or --ipc=host"
    return Finding("/dev/shm", free >= NEEDED_SHM, text)


def run() -> int:
    """Print the lines; 0 where the node can run, else 1."""
    console = Console()
    marks = {True: "[green]ok[/]     ", False: "[red]missing[/]", None: "[yellow]-[/]      "}
    found = findings()
    for line in found:
        console.print(
            f"{marks[line.ok]} {line.name:16s} {escape(line.text)}", highlight=False, soft_wrap=True
        )
    return 0 if all(line.ok is not False for line in found) else 1
