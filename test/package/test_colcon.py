"""The colcon way: a workspace built from a clean copy, sourced in a clean shell, and the node run from it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ros, pytest.mark.timeout(400)]
Checkout = Callable[[Path], Path]
PREFIX = Path(sys.prefix)
PROGRAM = """
import sys
from pathlib import Path
import sam3d_ros.cli, sam3d_ros.msg, sam3d_ros.srv, sam3d_ros.action
from rclpy.serialization import deserialize_message, serialize_message
message = sam3d_ros.msg.ReconstructedObject(id="a", mask=3)
assert deserialize_message(serialize_message(message), sam3d_ros.msg.ReconstructedObject) == message
print(Path(sam3d_ros.msg.__file__).parent.parent)
print(Path(sam3d_ros.cli.__file__).resolve())
"""


@pytest.fixture
def ros_env(clean_env: dict[str, str]) -> dict[str, str]:
    """A shell in which ROS is sourced: here the environment of the wheels, on a robot /opt/ros/<distro>."""
    if "AMENT_PREFIX_PATH" in os.environ:
        return dict(os.environ)
    return clean_env | {
        "PATH": f"{PREFIX / 'bin'}:{clean_env['PATH']}",
        "AMENT_PREFIX_PATH": str(PREFIX),
        "CMAKE_PREFIX_PATH": str(PREFIX),
        "LD_LIBRARY_PATH": str(PREFIX / "lib"),
    }


def colcon_build(workspace: Path, env: dict[str, str], *arguments: str) -> None:
    command = [
        "colcon", "build", *arguments, "--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}",
        # What is tested is what lies where, not how fast it runs.
        "-DCMAKE_C_FLAGS=-O0", "-DCMAKE_CXX_FLAGS=-O0",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True)
    log = workspace / "log" / "latest_build" / "sam3d_ros" / "stdout_stderr.log"
    assert done.returncode == 0, (log.read_text() if log.exists() else done.stderr)[-3000:]


def sourced(workspace: Path, command: str) -> list[str]:
    """The command after `. install/setup.bash`; exec, so that signals reach it."""
    return ["bash", "-c", f". {workspace}/install/setup.bash && exec {command}"]


def where(workspace: Path, env: dict[str, str]) -> list[Path]:
    """Where a sourced workspace takes the package from: the folder of the messages, and cli.py with links followed."""
    done = subprocess.run(
        sourced(workspace, f"{sys.executable} -c '{PROGRAM}'"),
        cwd=workspace, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [Path(line) for line in done.stdout.split()]


def node_configures_and_ends_on_ctrl_c(workspace: Path, env: dict[str, str]) -> None:
    share = workspace / "install" / "sam3d_ros" / "share" / "sam3d_ros"
    node = workspace / "install" / "sam3d_ros" / "lib" / "sam3d_ros" / "reconstruction_node"
    parameters = share / "config" / "reconstruction_node.yaml"
    command = f"{sys.executable} {node} --ros-args --params-file {parameters} --log-level debug"
    process = subprocess.Popen(
        sourced(workspace, command),
        cwd=workspace, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    too_long = threading.Timer(60, process.kill)
    too_long.start()
    try:
        # Without a camera the node says within seconds what it misses; that is the sign of an active node.
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "no message yet on" in line:
                break
        else:
            pytest.fail("the node ended: " + "".join(lines)[-3000:])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, -signal.SIGINT)
    finally:
        too_long.cancel()
        process.kill()
        process.wait()


def test_colcon_build(tmp_path: Path, checkout: Checkout, ros_env: dict[str, str]) -> None:
    """Files copied, then linked. What was compiled for the first is used by the second: it takes most of the time."""
    workspace = tmp_path / "ws"
    source = checkout(workspace / "src" / "sam3d_ros")
    env = ros_env | {
        "ROS_DOMAIN_ID": str(150 + os.getpid() % 80),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    for linked in (False, True):
        for left in ("install", "build/sam3d_ros/ament_cmake_python"):  # a link does not replace a folder
            shutil.rmtree(workspace / left, ignore_errors=True)
        colcon_build(workspace, env, *(["--symlink-install"] if linked else []))
        messages, cli = where(workspace, env)
        assert messages.is_relative_to(workspace / "install")
        # With links an edit of Python needs no build.
        assert cli.is_relative_to(source if linked else workspace / "install")
        share = workspace / "install" / "sam3d_ros" / "share" / "sam3d_ros"
        for folder in ("launch", "config/cameras", "rviz", "engines", "msg", "srv", "action"):
            assert any((share / folder).iterdir()), folder
        node_configures_and_ends_on_ctrl_c(workspace, env)
