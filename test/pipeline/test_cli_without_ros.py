"""The commands that need ROS or more packages say so in one sentence where these are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["node", "camera", "replay", "demo"])
def test_without_ros_it_is_one_sentence(command: str, tmp_path: Path) -> None:
    code = "import sys; sys.modules['rclpy'] = None; from sam3d_ros import cli; cli.dispatch([sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", code, command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "this command needs ROS 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_packages_data_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None; from sam3d_ros import cli;"
        "sys.exit(cli.dispatch(['data', 'prepare', 'random-urdfs', '--out', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "requirements/data.txt" in done.stderr
    assert "Traceback" not in done.stderr
