"""Fixtures of the runtime room (see test/support/tiny_bundle.py); without onnx or torch this folder is left out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sam3d_ros.runtime.bundle import Bundle

MISSING = [name for name in ("onnx", "onnxruntime", "safetensors", "torch") if find_spec(name) is None]

if MISSING:
    collect_ignore_glob = ["test_*.py"]
else:
    from model_golden import shell  # noqa: F401


def pytest_report_header() -> str | None:
    """One line at the top of the run."""
    if MISSING:
        return f"test/runtime is left out: no {', '.join(MISSING)} (requirements/model.txt)"
    return None


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    """Graphs scale and total, weights tiny; scale's weights in external data."""
    from tiny_bundle import make

    return make(tmp_path / "tiny", external=True)
