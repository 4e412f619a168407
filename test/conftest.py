"""What several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_compact() -> Path:
    """Folder of a compact bundle with random weights (test/support/tiny_compact.py); nothing may write into it."""
    return Path(__file__).parent / "bundles" / "compact"


@pytest.fixture(scope="session")
def tiny_both() -> Path:
    """The same with the second stage."""
    return Path(__file__).parent / "bundles" / "both"
