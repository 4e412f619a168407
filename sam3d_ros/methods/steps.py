"""The steps of a reconstruction: how far it is, whether to stop, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from sam3d_ros.types import Cancelled

Cancel: TypeAlias = Callable[[], bool]
Progress: TypeAlias = Callable[[str, int, float], None]


class Steps:
    """Counts stages, asks whether to stop, and tells how far it is."""

    def __init__(self, cancel: Cancel | None, progress: Progress | None, total: int) -> None:
        self.cancel, self.progress, self.total = cancel, progress, total
        self.count = 0

    def begin(self, stage: str, mask_index: int, count: int = 1) -> None:
        """Before a stage, of `count` objects at once. Raises Cancelled."""
        if self.cancel is not None and self.cancel():
            raise Cancelled(f"stopped before {stage} of mask {mask_index}")
        if self.progress is not None:
            self.progress(stage, mask_index, min(self.count / self.total, 1.0))
        self.count += count


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the wall time of the block to `seconds[stage]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
