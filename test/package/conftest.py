"""Helpers of these tests: a clean copy of the checkout, and an environment without ROS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROS_VARIABLES = (
    "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH",
    "ROS_DISTRO", "ROS_VERSION", "ROS_PYTHON_VERSION", "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)  # fmt: skip


@pytest.fixture
def clean_env() -> dict[str, str]:
    """The environment of a shell in which no ROS was sourced."""
    return {name: value for name, value in os.environ.items() if name not in ROS_VARIABLES}


@pytest.fixture
def checkout() -> Callable[[Path], Path]:
    """checkout(folder): the files that git knows or would add, copied there."""

    def copy(folder: Path) -> Path:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        return folder

    return copy
