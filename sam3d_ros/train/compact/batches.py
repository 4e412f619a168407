"""Batches from a folder of training scenes: shuffled, mirrored, and the same again from any position."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3d_ros.train.compact.store import QUANTISED
from sam3d_ros.types import InputError

Arrays = dict[str, NDArray[Any]]
AT_ONCE = 24
"""Scenes that are mixed with each other."""
GRIDS = ("grid", "shape", "fine", "seen", "colour")
"""Arrays over (..., X, Y, Z)."""


def batches(
    folders: list[Path], size: int, seed: int, first: int = 0, fine: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Batches number first, first + 1, ... without end. Half of the examples are mirrored. fine: with what the second
    stage learns, from the scenes that have it.

    What a batch holds depends on the seed, the batch's number and the scenes that are there when its round begins:
    while the folders still grow, new scenes join the next round. Raises InputError where there is no scene.
    """
    number, round_ = 0, 0
    while True:
        scenes = [path for folder in folders for path in sorted((folder / "scenes").glob("*.npz"))]
        if fine:
            scenes = [path for path in scenes if _fine(path).exists()]
        if not scenes:
            raise InputError(f"no training scenes in {', '.join(map(str, folders))}")
        rng = np.random.default_rng([seed, round_])
        order = rng.permutation(len(scenes))
        for start in range(0, len(order), AT_ONCE):
            chosen = [scenes[i] for i in order[start : start + AT_ONCE]]
            examples = [(path, i) for path in chosen for i in range(_count(path))]
            mixed = rng.permutation(len(examples))
            loaded: dict[Path, Arrays] = {}
            for at in range(0, len(mixed) - size + 1, size):
                flips = rng.random(size) < 0.5
                if number >= first:
                    for path in chosen:
                        if path not in loaded:
                            loaded[path] = {**load(path), **(load(_fine(path)) if fine else {})}
                    picked = [(loaded[p], i) for p, i in (examples[k] for k in mixed[at : at + size])]
                    yield _batch(picked, flips)
                number += 1
        round_ += 1


def load(path: Path) -> Arrays:
    """The arrays of one file; nothing in it is executed."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _fine(path: Path) -> Path:
    return path.parents[1] / "fine" / path.name


def _count(path: Path) -> int:
    with np.load(path, allow_pickle=False) as file:
        return int(file["has_rotation"].shape[0])


def _batch(picked: list[tuple[Arrays, int]], flips: NDArray[np.bool_]) -> dict[str, Tensor]:
    out: dict[str, list[NDArray[np.float32]]] = {}
    for (arrays, i), flip in zip(picked, flips, strict=True):
        entry = {name: unquantised(name, array[i]) for name, array in arrays.items()}
        for name, value in (mirrored(entry) if flip else entry).items():
            out.setdefault(name, []).append(value)
    return {name: torch.from_numpy(np.stack(values)) for name, values in out.items()}


def unquantised(name: str, value: NDArray[Any]) -> NDArray[np.float32]:
    """float32 of a stored array."""
    return np.asarray(value, np.float32) / np.float32(127 if name in QUANTISED else 1)


def mirrored(entry: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The example as a camera would see the mirror image of the scene, left and right exchanged.

    y of the view frame points left: it changes its sign in grids, points, places and rotations.
    """
    picture = entry["picture"][..., ::-1].copy()
    picture[5] *= -1
    other_side = np.array([1, -1, 1], np.float32)
    grids = {name: entry[name][..., ::-1, :] for name in GRIDS if name in entry}
    return {
        **entry,
        **grids,
        "picture": picture,
        "translation": entry["translation"] * other_side,
        # M R M with M = diag(1, -1, 1), its first two columns.
        "rotation": entry["rotation"] * np.concatenate([other_side, -other_side]),
    }
