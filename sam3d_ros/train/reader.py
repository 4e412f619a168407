"""Micro-batches by number, made ahead of time by worker processes, in order, from any number on."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class Reader:
    """Satisfies `loop.Batches`: reader(first, step) yields make(first), make(first + step), ... without end.

    make: micro-batch by number, a pure function; with workers it travels to them by pickling, once. workers: processes;
    0 makes them in this one. ahead: micro-batches that each worker keeps ready.
    """

    make: Callable[[int], Any]
    workers: int = 0
    ahead: int = 4

    def __call__(self, first: int, step: int) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            _Numbered(self.make),
            sampler=_Numbers(first, step),
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=self.ahead if self.workers else None,
            worker_init_fn=start_worker,
            multiprocessing_context="spawn" if self.workers else None,
        )
        return iter(loader)


@dataclass(frozen=True)
class _Numbered(Dataset[Any]):
    make: Callable[[int], Any]

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


@dataclass(frozen=True)
class _Numbers(torch.utils.data.Sampler[int]):
    first: int
    step: int

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first, self.step)


def start_worker(_number: int) -> None:
    # Ctrl-C reaches every process of the terminal; the loop decides when the workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
