"""Colours that were seen, on the grid: what the texture stage starts from."""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float, UInt8

CHANNELS = ("red", "green", "blue", "closeness")
REACH = 8.0
"""Cells after which a seen colour says nothing."""


def seen_colours(points: Float, colors: UInt8, grid: Grid) -> Float:
    """(4, X, Y, Z) float32 in -1 .. 1: colour of the nearest cell that holds a point, and how close that cell is (1
    here, -1 from REACH cells on). points: (N, 3) m in the frame of the grid; colors: (N, 3) sRGB. Grey and -1 where
    no point lies in the grid."""
    index, inside = grid.nearest(points)
    cell = np.ravel_multi_index(tuple(index), grid.shape)
    size = int(np.prod(grid.shape))
    count = np.bincount(cell, minlength=size)
    if not count.any():
        nothing = np.zeros((4, *grid.shape), np.float32)
        nothing[3] = -1
        return nothing
    linear = colors[inside].astype(np.float64) / 127.5 - 1
    total = np.stack([np.bincount(cell, weights=linear[:, k], minlength=size) for k in range(3)])
    mean = (total / np.maximum(count, 1)).reshape(3, *grid.shape)
    distance, nearest = ndimage.distance_transform_edt(count.reshape(grid.shape) == 0, return_indices=True)
    filled = mean[:, nearest[0], nearest[1], nearest[2]]
    close = 1 - 2 * np.minimum(distance / REACH, 1)
    stack: Float = np.concatenate([filled, close[None]]).astype(np.float32)
    return stack
