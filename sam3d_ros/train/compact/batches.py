"""Batches from a folder of training scenes: shuffled, mirrored, and the same again from any position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sam3d_ros.compact.mirror import mirrored
from sam3d_ros.train.compact.kinds import Kind, kinds_of
from sam3d_ros.train.compact.store import Arrays, examples_of, scene_files, unquantised
from sam3d_ros.train.reader import start_worker
from sam3d_ros.types import InputError

EVERY_KIND = set(get_args(Kind))
AT_ONCE = 24
"""Scenes that are mixed with each other."""


@dataclass(frozen=True)
class SceneBatches:
    """Satisfies `loop.Batches`: batches number first, first + step, ... without end.

    Half of the examples are mirrored. fine: with what the second stage learns, from the scenes that have it. mix:
    weights of the examples by kind (`kinds.kind`); in every round an example is used with the chance of its weight
    over the largest, not at all without one. No mix: all are used. workers: processes that load; 0 for none.

    What a batch holds depends on the seed, the batch's number and the scenes that are there when its round begins:
    while the folders still grow, new scenes join the next round. Raises InputError where there is nothing to learn
    from.
    """

    folders: tuple[Path, ...]
    size: int
    seed: int
    fine: bool = False
    mix: Mapping[str, float] = field(default_factory=dict)
    workers: int = 0

    def __call__(self, first: int = 0, step: int = 1) -> Iterator[dict[str, Tensor]]:
        scene_files(self.folders, self.fine)  # a missing folder is said here, not by a worker
        if not self.workers:
            return self._batches(first, step)
        loader: DataLoader[Any] = DataLoader(
            _Shared(self, first, step),
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=start_worker,
            multiprocessing_context="spawn",
        )
        return iter(loader)

    def _batches(self, first: int, step: int) -> Iterator[dict[str, Tensor]]:
        number, round_ = 0, 0
        while True:
            scenes, before = scene_files(self.folders, self.fine), number
            rng = np.random.default_rng([self.seed, round_])
            order = rng.permutation(len(scenes))
            for start in range(0, len(order), AT_ONCE):
                chosen = [scenes[i] for i in order[start : start + AT_ONCE]]
                examples = self._used(chosen, rng)
                mixed = rng.permutation(len(examples))
                loaded: dict[Path, Arrays] = {}
                for at in range(0, len(mixed) - self.size + 1, self.size):
                    flips = rng.random(self.size) < 0.5
                    if number >= first and (number - first) % step == 0:
                        picked = [examples[k] for k in mixed[at : at + self.size]]
                        yield _batch([(self._loaded(path, loaded), i) for path, i in picked], flips)
                    number += 1
            if number == before:
                raise InputError(
                    f"{', '.join(map(str, self.folders))}: too few examples for a batch of {self.size}"
                )
            round_ += 1

    def _used(self, scenes: list[Path], rng: np.random.Generator) -> list[tuple[Path, int]]:
        """Examples of these scenes, as scene and number, that the mix lets pass in this round."""
        if even(self.mix):
            return [(path, i) for path in scenes for i in range(count(path))]
        most = max(self.mix.values())
        return [
            (path, i)
            for path in scenes
            for i, kind in enumerate(kinds_of(path))
            if rng.random() < self.mix.get(kind, 0.0) / most
        ]

    def _loaded(self, path: Path, loaded: dict[Path, Arrays]) -> Arrays:
        if path not in loaded:
            loaded[path] = examples_of(path, self.fine)
        return loaded[path]


def even(mix: Mapping[str, float]) -> bool:
    """Whether a mix weighs every kind alike: then nobody has to know the kinds."""
    return len(set(mix.values())) <= 1 and mix.keys() in (set(), EVERY_KIND)


@dataclass(frozen=True)
class _Shared(IterableDataset[dict[str, Tensor]]):
    """Batches first, first + step, ... shared out to the workers of a DataLoader, which takes from each in turn."""

    scenes: SceneBatches
    first: int
    step: int

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = get_worker_info()
        assert info is not None, "a worker"
        return self.scenes._batches(self.first + self.step * info.id, self.step * info.num_workers)


def count(path: Path) -> int:
    """Examples in a file of scenes/."""
    with np.load(path, allow_pickle=False) as file:
        return int(file["has_rotation"].shape[0])


def _batch(picked: list[tuple[Arrays, int]], flips: NDArray[np.bool_]) -> dict[str, Tensor]:
    out: dict[str, list[NDArray[np.float32]]] = {}
    for (arrays, i), flip in zip(picked, flips, strict=True):
        entry = {name: unquantised(name, array[i]) for name, array in arrays.items()}
        for name, value in (mirrored(entry) if flip else entry).items():
            out.setdefault(name, []).append(value)
    return {name: torch.from_numpy(np.stack(values)) for name, values in out.items()}
