"""The parts that a torch-free runtime uses start without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["config", "preprocess", "flow", "voxels", "tables", "pose_codec", "convert_command", "published_names"],
)
def test_starts_without_torch(module):
    script = f"import sys; sys.modules['torch'] = None; import sam3d_ros.model.{module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
