"""Where bundles lie: folders of the user, of the source tree and of the installed package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sam3d_ros.types import InputError

from .bundle import MANIFEST, Bundle, read_bundle

VARIABLE = "SAM3D_ENGINES"
"""Environment variable with more folders of bundles, separated like those of PATH; they are looked at first."""


@dataclass(frozen=True)
class Damaged:
    """A folder that has a manifest but cannot be used, and why."""

    folder: Path
    reason: str


def user_folder() -> Path:
    """Where bundles that the user exported are kept: $XDG_DATA_HOME/sam3d_ros/engines."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "sam3d_ros" / "engines"


def folders(module: Path = Path(__file__)) -> list[Path]:
    """Existing folders in which bundles are looked for, best first.

    $SAM3D_ENGINES, the user's folder, `engines/` of the source tree this module lies in or links to, and
    `share/sam3d_ros/engines` of the prefix it is installed in, whichever installed it (colcon, pip, pip --user).
    """
    given = [Path(p) for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    root = module.resolve().parents[2]
    source = [root / "engines"] if (root / "package.xml").is_file() else []
    installed = [p / "share" / "sam3d_ros" / "engines" for p in module.absolute().parents]
    every = [*given, user_folder(), *source, *installed]
    return [p for p in dict.fromkeys(every) if p.is_dir()]


def candidates() -> Iterator[Path]:
    """Every folder with a manifest, best first. The same name may come again from a later place."""
    for folder in folders():
        yield from sorted(p for p in folder.iterdir() if (p / MANIFEST).is_file())


def bundles() -> list[Bundle | Damaged]:
    """Every bundle that can be used by name, and every damaged one, best place first."""
    found: dict[str, Bundle | Damaged] = {}
    for folder in candidates():
        if folder.name in found:
            continue
        try:
            found[folder.name] = read_bundle(folder)
        except InputError as error:
            found[folder.name] = Damaged(folder, str(error))
    return list(found.values())


def find_bundle(name: str) -> Bundle:
    """A bundle by the name of its folder, or by a path to its folder. Raises InputError that says what there is."""
    if os.sep in name:
        return read_bundle(Path(name).expanduser())
    for folder in candidates():
        if folder.name == name:
            return read_bundle(folder)
    known = ", ".join(dict.fromkeys(f.name for f in candidates())) or "none"
    places = ", ".join(str(p) for p in folders())
    raise InputError(
        f"no bundle {name!r}; there are: {known} (looked in {places or 'no folder that exists'})"
    )
