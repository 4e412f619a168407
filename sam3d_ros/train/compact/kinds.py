"""Where the object of an example comes from, as far as its category says: what the mix of a stage weighs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from sam3d_ros.data.objects import DESIGNS
from sam3d_ros.data.sources.random_urdfs import CATEGORY as RANDOM_SHAPE

Kind = Literal["procedural", "random_urdfs", "artist"]


def kind(category: str) -> Kind:
    """Our own designs, random shapes, or anything else: things that people modelled."""
    if category in DESIGNS:
        return "procedural"
    return "random_urdfs" if category == RANDOM_SHAPE else "artist"


def kinds_of(scene: Path) -> list[Kind]:
    """Of every example of FOLDER/scenes/NUMBER.npz, in their order."""
    folder = scene.parents[1]
    with np.load(folder / "looks" / scene.name, allow_pickle=False) as file:
        numbers = file["thing"]
    return [kind(_category(folder / "objects" / f"{number:06d}.npz")) for number in numbers]


@lru_cache(maxsize=100_000)
def _category(path: Path) -> str:
    with np.load(path, allow_pickle=False) as file:
        return str(file["category"])
