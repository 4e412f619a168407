"""Objects to train on, drawn from several sources by weight, a few of them new with every scene."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sam3d_ros.data.distance import DistanceVolume, distance_volume
from sam3d_ros.data.objects import ObjectModel, dress
from sam3d_ros.data.sources.source import ObjectSource, Unusable
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class TrainingObject:
    """An object and the distance to its surface. number: its place in the stream."""

    number: int
    model: ObjectModel
    volume: DistanceVolume


@dataclass(frozen=True)
class ObjectStream:
    """Object n of an endless stream is a pure function of (seed, n); the last `kept` stay in memory.

    sources with their weights. Objects of the sources in `plain` are painted anew.
    """

    sources: Sequence[tuple[ObjectSource, float]]
    seed: int = 0
    kept: int = 64
    plain: tuple[str, ...] = ("random_urdfs",)
    _cache: OrderedDict[int, TrainingObject] = field(default_factory=OrderedDict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises InputError where there is nothing to draw from."""
        if not self.sources:
            raise InputError("an object stream needs at least one source")

    def __getitem__(self, number: int) -> TrainingObject:
        if number not in self._cache:
            self._cache[number] = self._make(number)
            while len(self._cache) > self.kept:
                self._cache.popitem(last=False)
        return self._cache[number]

    def _make(self, number: int) -> TrainingObject:
        weights = np.array([weight for _, weight in self.sources])
        for attempt in range(20):
            rng = np.random.default_rng([self.seed, number, attempt])
            source, _ = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
            try:
                model = source.load(int(rng.integers(len(source))))
            except Unusable:
                continue
            if source.name in self.plain:
                model = dress(model, rng)
            return TrainingObject(number, model, distance_volume(model.mesh, number))
        raise InputError(f"20 draws from {', '.join(s.name for s, _ in self.sources)} gave no usable object")
