"""One headless browser for all tests of the room, and the folder's helpers on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chromium import Browser, chromium, find_chromium
from table_scene import table_frame

from sam3d_ros.view.page import PageFrame


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("no Chromium (apt install chromium)")
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def table() -> PageFrame:
    return table_frame()
