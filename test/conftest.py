"""What several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a compact bundle with random weights (test/support/tiny_compact.py), exported once per run."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from tiny_compact import make

    return make(tmp_path_factory.mktemp("engines") / "compact").folder
