"""Where objects come from: one small interface, and the source that invents them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sam3d_ros.data.objects import CATEGORIES, ObjectModel, make_object
from sam3d_ros.types import InputError


class Unusable(InputError):
    """This object of a source cannot be used; the text says why. Others of the source can."""


class ObjectSource(Protocol):
    """A numbered collection of objects. Picklable, so that it can be read in several processes."""

    @property
    def name(self) -> str:
        """Of the source, a plain file name."""

    @property
    def names(self) -> Sequence[str]:
        """Of its objects."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> ObjectModel:
        """The same object for the same index. Raises Unusable where it has to be left out, InputError for
        an index that does not exist."""


@dataclass(frozen=True)
class Procedural:
    """`count` designs of all categories in turn; object i is the same in a source of any count."""

    seed: int = 0
    count: int = 10_000
    categories: tuple[str, ...] = CATEGORIES
    name: str = "procedural"

    @property
    def names(self) -> Sequence[str]:
        return [self._name(i) for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> ObjectModel:
        check_index(index, self.count, self.name)
        category = self.categories[index % len(self.categories)]
        model = make_object(category, np.random.default_rng([self.seed, index]))
        return replace(model, name=self._name(index), licence="made by this package, free of any")

    def _name(self, index: int) -> str:
        return f"{self.categories[index % len(self.categories)]}-{self.seed}-{index}"


def check_index(index: int, count: int, name: str) -> None:
    """Raises InputError unless 0 <= index < count."""
    if not 0 <= index < count:
        raise InputError(f"{name} has objects 0 to {count - 1}, not {index}")
