"""Batches from examples that lie on the device, read beside the training: for a GPU that learns faster than a disk
reads, and from folders that fill while it learns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3d_ros.compact.mirror import GRIDS, POINT_Y, SIGNS
from sam3d_ros.train.compact.batches import even
from sam3d_ros.train.compact.kinds import kinds_of
from sam3d_ros.train.compact.store import QUANTISED, STEPS, Arrays, examples_of, scene_files
from sam3d_ros.types import InputError

PAUSE = 0.5
"""Seconds between two looks for new scenes where all that are there have been read."""
FIRST = 20
"""Batches' worth of examples with which the training begins, fewer where the folders hold fewer."""


@dataclass(frozen=True)
class ResidentBatches:
    """Satisfies `loop.Batches` with the arrays of `SceneBatches`, drawn from a pool on `device`.

    A thread reads scenes into the pool, as they are stored (int8), until it holds `most` examples; newer ones then
    replace the oldest. Where the folders hold more than the pool, they are read again and again. Half of the examples
    are mirrored; one is drawn with the chance of its kind's weight in `mix`.

    A batch depends on how far the reading is: with the same seed two runs see the same scenes but other batches. Raises
    InputError where there is nothing to learn from, or where reading fails.
    """

    folders: tuple[Path, ...]
    size: int
    seed: int
    most: int
    device: torch.device
    fine: bool = False
    mix: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, first: int = 0, step: int = 1) -> Iterator[dict[str, Tensor]]:
        scene_files(self.folders, self.fine)  # a missing folder is said here, not by a thread
        pool = Pool(self)
        return self._batches(pool, np.random.default_rng([self.seed, first, step]))

    def _batches(self, pool: Pool, rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
        reader = threading.Thread(target=pool.fill, name="examples")
        reader.start()
        try:
            pool.wait(self.size)
            while True:
                flips = torch.from_numpy(rng.random(self.size) < 0.5).to(self.device)
                yield mirrored_where(pool.draw(self.size, rng), flips)
        finally:
            pool.closed.set()
            reader.join()


class Pool:
    """At most `most` examples on a device, and the thread's work that fills it."""

    def __init__(self, wanted: ResidentBatches) -> None:
        self.wanted, self.most, self.device = wanted, wanted.most, wanted.device
        self.arrays: dict[str, Tensor] = {}
        self.chances: NDArray[np.float64] = np.zeros(0)
        self.upto: NDArray[np.float64] = np.zeros(0)
        """Sum of the chances up to each example."""
        self.place = 0
        """Where the next example goes."""
        self.failed: Exception | None = None
        self.closed, self.caught_up = threading.Event(), threading.Event()
        self.lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether nobody wants more: the batches are closed, or the program is at its end with them open."""
        return self.closed.is_set() or not threading.main_thread().is_alive()

    @property
    def folders(self) -> str:
        """For messages."""
        return ", ".join(map(str, self.wanted.folders))

    def wait(self, size: int) -> None:
        """Until batches of `size` can be drawn from enough examples. Raises InputError where there are too few."""
        while (found := int((self.chances > 0).sum())) < FIRST * size:
            self._check()
            if self.caught_up.is_set():
                if found < size:
                    raise InputError(f"{self.folders}: too few examples for a batch of {size}")
                return
            time.sleep(0.01)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`count` examples as float32 arrays (count, ...) by name. Raises InputError where reading failed."""
        self._check()
        with self.lock:  # the thread's copies lie in the same queue of the device: what is drawn is whole
            upto = self.upto
            places = np.searchsorted(upto, rng.random(count) * upto[-1], side="right")
            index = torch.from_numpy(places).to(self.device)
            return {
                name: array[index].float() / STEPS if name in QUANTISED else array[index].float()
                for name, array in self.arrays.items()
            }

    def fill(self) -> None:
        """Read scenes until the end."""
        try:
            self._fill()
        except Exception as error:
            self.failed = error

    def _fill(self) -> None:
        rng = np.random.default_rng(self.wanted.seed)
        read: set[Path] = set()
        total = 0
        while not self.ended:
            scenes = scene_files(self.wanted.folders, self.wanted.fine)
            waiting = [path for path in scenes if path not in read]
            if not waiting and total > self.most:
                read.clear()
                total = 0
                continue
            for i in rng.permutation(len(waiting)):
                if self.ended:
                    return
                read.add(waiting[i])
                try:
                    arrays = examples_of(waiting[i], self.wanted.fine)
                    chances = self._chances(waiting[i], len(arrays["has_rotation"]))
                except FileNotFoundError:
                    continue  # somebody tidies up a folder that fills faster than it is read
                self.put(arrays, chances)
                total += len(chances)
            self.caught_up.set()
            if not waiting:
                self.closed.wait(PAUSE)

    def put(self, arrays: Arrays, chances: NDArray[np.float64]) -> None:
        """Examples (N, ...) with their chances (N,), in the place of the oldest where there is no more room."""
        for at in range(0, len(chances), self.most):
            self._put({n: a[at : at + self.most] for n, a in arrays.items()}, chances[at : at + self.most])

    def _put(self, arrays: Arrays, chances: NDArray[np.float64]) -> None:
        there = {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}
        if not self.arrays:
            self.arrays = {
                name: array.new_empty((self.most, *array.shape[1:])) for name, array in there.items()
            }
        places = (self.place + np.arange(len(chances))) % self.most
        index = torch.from_numpy(places).to(self.device)
        own = np.concatenate([self.chances, np.zeros(max(0, int(places.max()) + 1 - len(self.chances)))])
        own[places] = chances
        with self.lock:  # from here to there on the device: nobody waits long
            for name, array in there.items():
                self.arrays[name][index] = array
            self.chances, self.upto = own, np.cumsum(own)
        self.place = (self.place + len(chances)) % self.most

    def _chances(self, scene: Path, count: int) -> NDArray[np.float64]:
        mix = self.wanted.mix
        return np.ones(count) if even(mix) else np.array([mix.get(kind, 0.0) for kind in kinds_of(scene)])

    def _check(self) -> None:
        if self.failed is not None:
            raise InputError(f"{self.folders}: {self.failed}") from self.failed


def mirrored_where(arrays: Mapping[str, Tensor], flips: Tensor) -> dict[str, Tensor]:
    """`compact.mirror.mirrored` of those examples for which flips (B,) bool is true; arrays (B, ...)."""

    def chosen(value: Tensor, other: Tensor) -> Tensor:
        return torch.where(flips.reshape(-1, *[1] * (value.ndim - 1)), other, value)

    out = dict(arrays)
    for name in GRIDS:
        if name in out:
            out[name] = chosen(out[name], out[name].flip(-2))
    if "picture" in out:
        other = out["picture"].flip(-1)
        other[:, POINT_Y] *= -1
        out["picture"] = chosen(out["picture"], other)
    for name, sign in SIGNS.items():
        if name in out:
            out[name] = chosen(out[name], out[name] * torch.from_numpy(sign).to(out[name].device))
    return out
