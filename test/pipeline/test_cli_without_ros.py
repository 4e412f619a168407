"""The commands that need ROS say so in one sentence where it is missing."""

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
