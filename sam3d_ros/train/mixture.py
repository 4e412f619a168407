"""Several sets of samples as one, by the weights of a stage; what is in sample n follows from n alone."""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from sam3d_ros.data.sets.pool import shuffled
from sam3d_ros.data.sets.sample import Sample
from sam3d_ros.data.sets.shards import decode
from sam3d_ros.types import InputError

T = TypeVar("T")
PERIOD = 1024
"""Samples after which the order of sets repeats; weights are kept to 1 / PERIOD."""


@dataclass(frozen=True)
class Mixture(Generic[T]):
    """Sample n comes from one of the sets; each set is read in its own order without gaps.

    sets: sample by index, any index from 0 on. mix: weight of every set by name. Raises InputError where the mix names
    a set that is missing.
    """

    sets: Mapping[str, Callable[[int], T]]
    mix: Mapping[str, float]

    def __post_init__(self) -> None:
        missing = sorted(set(self.mix) - set(self.sets))
        if missing:
            raise InputError(
                f"the stage wants the sets {', '.join(missing)}; there are {', '.join(self.sets)}"
            )

    def __call__(self, number: int) -> T:
        name, index = self.place(number)
        return self.sets[name](index)

    def place(self, number: int) -> tuple[str, int]:
        """Name of the set and index in it."""
        order, counts = self._period
        turn, within = divmod(number, PERIOD)
        name, before = order[within]
        return name, turn * counts[name] + before

    @cached_property
    def _period(self) -> tuple[list[tuple[str, int]], dict[str, int]]:
        """For one period the set of every sample with how often it came before, and how often in all.

        Always the set that is furthest behind its share: any stretch of samples is mixed as the weights say.
        """
        total = sum(self.mix.values())
        order, counts = [], dict.fromkeys(self.mix, 0)
        for n in range(PERIOD):
            behind = {name: w / total * (n + 1) - counts[name] for name, w in self.mix.items()}
            name = max(behind, key=behind.__getitem__)
            order.append((name, counts[name]))
            counts[name] += 1
        return order, counts


@dataclass(frozen=True)
class ShardSet:
    """The samples of webdataset shards (`data.sets.shards`) by index, shuffled anew with every pass over them.

    Any sample is read by itself, so training goes on at any place. Raises InputError where there are no shards, or one
    is damaged.
    """

    paths: Sequence[Path]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.paths:
            raise InputError("no shards (*.tar) to read")

    def __len__(self) -> int:
        return self._ends[-1]

    @cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = []
        for path in self.paths:
            ends.append((ends[-1] if ends else 0) + len(members(path)))
        return ends

    def __call__(self, index: int) -> Sample:
        turn, within = divmod(index, len(self))
        place = shuffled(within, len(self), self.seed + turn)
        shard = bisect_right(self._ends, place)
        start = self._ends[shard - 1] if shard else 0
        path = self.paths[shard]
        with path.open("rb") as file:
            files = {}
            for ending, (offset, size) in members(path)[place - start].items():
                file.seek(offset)
                files[ending] = file.read(size)
        return decode(files)


@lru_cache(maxsize=1024)
def members(path: Path) -> list[dict[str, tuple[int, int]]]:
    """For every sample of a shard: file ending -> where its bytes begin, and how many there are."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} is not a shard: {error}") from None
    return list(found.values())
