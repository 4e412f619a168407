"""Objects for training sets: drawn from several sources, a few of them new with every group of samples."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sam3d_ros.data.objects import ObjectModel, dress
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Light, PlacedObject, Scene
from sam3d_ros.data.sources.random_urdfs import NAME as RANDOM_URDFS
from sam3d_ros.data.sources.source import ObjectSource
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class Drawn:
    """An object of a pool. key: source name and number there."""

    key: tuple[str, int]
    model: ObjectModel

    @cached_property
    def renderer(self) -> SceneRenderer:
        """Of the object (label 1) by itself, its frame being the world; made once for all pictures it is pasted in."""
        overhead = Light(np.array([0.0, 0.0, 1.0]))
        return SceneRenderer(Scene((PlacedObject(1, self.model, np.eye(4)),), (), overhead))


@dataclass(frozen=True)
class Pool:
    """Sources one after the other in an order shuffled by the seed, seen through a window that moves on by one object
    per group of samples.

    Making an object costs as much as a few views of it. Neighbouring groups share all objects but one, so a worker that
    streams keeps the window in memory, and yet any group can be made anywhere. plain: objects of these
    sources (in one colour) are painted with random textures.
    """

    sources: Sequence[ObjectSource]
    seed: int = 0
    window: int = 64
    plain: tuple[str, ...] = (RANDOM_URDFS,)
    _kept: OrderedDict[int, Drawn] = field(default_factory=OrderedDict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises InputError where there are no objects."""
        if not len(self):
            raise InputError("a pool needs at least one object")

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def draw(self, group: int, count: int, rng: np.random.Generator) -> list[Drawn]:
        """`count` objects, different as long as the window holds enough, the same for the same group and rng."""
        window = min(self.window, len(self))
        places = rng.choice(window, count, replace=count > window)
        return [self.at((group + int(place)) % len(self)) for place in places]

    def at(self, place: int) -> Drawn:
        """The object at a place of the shuffled order."""
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        number = shuffled(place, len(self), self.seed)
        for source in self.sources:
            if number < len(source):
                break
            number -= len(source)
        model = source.load(number)
        if source.name in self.plain:
            model = dress(model, np.random.default_rng([self.seed, number, 7]))
        drawn = Drawn((source.name, number), model)
        self._kept[place] = drawn
        while len(self._kept) > 2 * self.window:
            self._kept.popitem(last=False)
        return drawn

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": OrderedDict()}


def shuffled(number: int, count: int, seed: int) -> int:
    """A permutation of 0 .. count - 1 without a table: steps of a size that shares no factor with the count."""
    step = int(np.random.default_rng([seed, count]).integers(count // 3, count)) if count > 3 else 1
    while np.gcd(step, count) != 1:
        step += 1
    return (number * step + seed) % count
