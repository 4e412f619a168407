"""What was measured overrules what was guessed: an answer's surface is drawn to the points that were seen.

The networks know where those points are, but put the surface there only as exactly as they learned to.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float

REACH = 1.5
"""Standard deviation, in cells, of how far around a point the surface follows it."""
FURTHEST = 1 / 3
"""No point counts for more than this, in units of the truncation: further off it is no measurement of this surface."""
DOUBT = 0.05
"""Share of the cells around that must hold points for half of their offset to be believed. A sheet of points through a
cell fills a quarter of what is around it."""


def drawn_to(points: Float, distance: Float, measured: Float, grid: Grid) -> Float:
    """The distances (X, Y, Z), positive inside, in units of the truncation, moved so that their zero comes to lie at
    points (N, 3) in the grid's frame and stays where there are none. measured: (X, Y, Z) `beside` these points. Every
    cell counts once, however many points it holds. float32."""
    index = grid.index(points)
    index = index[:, ((index >= 0) & (index <= np.array(grid.shape)[:, None] - 1)).all(axis=0)]
    off = ndimage.map_coordinates(distance, index, order=1, mode="nearest", prefilter=False)
    off = np.clip(off, -FURTHEST, FURTHEST)
    cell = np.ravel_multi_index(tuple(np.rint(index).astype(np.int64)), grid.shape)
    size = int(np.prod(grid.shape))
    count = np.bincount(cell, minlength=size)
    mean = np.bincount(cell, weights=off, minlength=size) / np.maximum(count, 1)
    moved: Float = distance - _spread(mean.reshape(grid.shape)) / (measured + np.float32(DOUBT))
    return moved.astype(np.float32)


def beside(points: Float, grid: Grid) -> Float:
    """(X, Y, Z) float32 share of the cells around each that hold one of points (N, 3): how far its distance is
    measured."""
    return _spread(grid.held(points))


def _spread(field: Float | Bool) -> Float:
    spread: Float = ndimage.gaussian_filter(field.astype(np.float32), REACH, mode="constant")
    return spread
