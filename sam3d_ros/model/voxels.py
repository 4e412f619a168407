"""Voxel lists between the two stages: hollow out, and halve when there are too many. numpy alone.

A voxel list is (N, 4) int32, rows [batch, x, y, z].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import MAX_VOXELS
from .tables import neighbour_table

Coords = NDArray[np.int32]


def prune_interior(coords: Coords) -> Coords:
    """Drop the voxels whose whole 3x3x3 neighbourhood is occupied; order kept.

    Only a shell carries texture, and the published texture model was trained on it.
    """
    inside = (neighbour_table(coords) < len(coords)).all(axis=1)
    return coords[~inside]


def downsample(
    coords: Coords, max_voxels: int = MAX_VOXELS, rng: np.random.Generator | None = None
) -> tuple[Coords, int]:
    """At most `max_voxels` voxels: the list itself, or squeezed to half extent about its centre.

    Returns the voxels and the factor (1 or 2) by which the predicted object scale must be multiplied.
    If the squeezed list is still too long, a random part of it is kept (rng, default seed 0).
    Coordinates are squeezed per axis by round-half-even and made unique, rows sorted.
    """
    if len(coords) <= max_voxels:
        return coords, 1
    xyz = coords[:, 1:].astype(np.float32)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    size = high - low + 1
    target = size / 2
    first = low + (size - target) / 2
    last = first + target - 1
    unit = (xyz - low) / np.maximum(high - low, 1)  # an axis with one layer has no extent to squeeze
    squeezed = np.clip(np.round(unit * (target - 1) + first), first.astype(np.int32), last.astype(np.int32))
    out = np.unique(np.column_stack([coords[:, :1], squeezed.astype(np.int32)]), axis=0)
    if len(out) > max_voxels:
        rng = np.random.default_rng(0) if rng is None else rng
        out = out[np.sort(rng.choice(len(out), max_voxels, replace=False))]
    return out, 2
