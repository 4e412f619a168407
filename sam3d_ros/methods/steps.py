"""The steps of a reconstruction: how far it is, whether to stop, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from sam3d_ros.types import Cancelled

Cancel: TypeAlias = Callable[[], bool]
Progress: TypeAlias = Callable[[str, int, float], None]
T = TypeVar("T")
BATCH = 8
"""Objects that go through the network together: what they need in memory is bounded, and cancelling stays prompt."""


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


def in_batches(
    steps: Steps,
    stage: str,
    marks: Mapping[int, int],
    seconds: Mapping[int, dict[str, float]],
    answer: Callable[[list[int]], list[T]],
) -> dict[int, T]:
    """`answer(positions)`, asked for BATCH objects at a time, as one answer per position.

    marks: position -> index of its mask; seconds: position -> its account, in which a batch's time stands in equal
    parts. Raises Cancelled.
    """
    positions = list(marks)
    answers: dict[int, T] = {}
    for first in range(0, len(positions), BATCH):
        batch = positions[first : first + BATCH]
        steps.begin(stage, marks[batch[0]], len(batch))
        spent: dict[str, float] = {}
        with timed(spent, stage):
            said = answer(batch)
        for i, one in zip(batch, said, strict=True):
            answers[i] = one
            seconds[i][stage] = spent[stage] / len(batch)
    return answers
