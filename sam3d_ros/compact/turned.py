"""Things turned on an axis, as cups, bowls, plates, cans and bottles are: what was seen of one side tells the rest.

An answer that is nearly a solid of revolution becomes one. Every circle around the axis gets one distance, the mean
over it, in which cells beside seen points count most: walls are as thin behind as in front, and noise averages out.
What sticks out of the turned body, such as a handle, stays as it was answered.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.compact.axis import Axis, Circles, any_axis, fitted, off_axis, passes_by, upright_axis
from sam3d_ros.compact.samples import Samples
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float, Int

UNSEEN = 0.005
"""What a cell beside no seen point counts in the mean over a circle; a sheet of points gives the cells it crosses about
0.2."""
ROUND = 0.011
"""Mean squared difference of an answer from itself turned, in units of the truncation, up to which it is taken for a
solid of revolution: a third of a cell."""
HIDDEN = 2
"""How many times as far off all cells alike may be as those that were seen."""
PERHAPS = 0.02
"""As ROUND, while a handle counts as well,"""
HOPELESS = 0.035
"""and before the axis is fitted."""
STICKS_OUT = 1 / 3
"""How far outside of the turned body a solid cell is that belongs to something else, in units of the truncation;"""
FURTHEST = 0.85
"""how far such a part reaches somewhere at least;"""
LEAST = 20
"""and how many cells it has at least."""
GROWN = 3
"""Cells around such parts in which the answer stays, or they would come loose."""
MOST = 0.25
"""Share of the solid that may stick out: more is no handle."""
CENTRED = 0.5
"""How far from the axis the middle of the solid may be, in terms of the mean distance of its cells: a bar is turned
too, about an axis far off, but only a piece of what that turns."""
LEVELS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
"""Added to the means, in units of the truncation, the least that is needed: a sheet that the answer broke is lost in
them."""
SHORTER = 3
"""Cells by which each bound of the thing may come nearer."""


def turned(distance: Float, measured: Float, samples: Samples) -> Float | None:
    """Of distances (X, Y, Z) float32, positive inside, in units of the truncation, that are measured (X, Y, Z) so well
    (`measured.beside`): where they are nearly those of a solid of revolution, just those and what sticks out of it.
    None where they are not."""
    solid, normals = distance > 0, samples.normals(distance)
    for find, freedom in ((upright_axis, 2), (any_axis, 4)):
        axis = find(samples, normals)
        if passes_by(axis, samples) or off_axis(samples, axis) > HOPELESS:
            continue
        axis, off = fitted(samples, axis, freedom)
        if off > PERHAPS:
            continue
        circles = Circles.of(axis, samples.grid)
        # Every cell counts the same here: a handle that was seen well would leave its trace all around.
        aside = _sticking_out(distance, circles.turned(distance, np.ones_like(distance)))
        if aside[solid].mean() > MOST:
            continue
        rest = samples
        if aside.any():
            rest = samples.without(aside)
            axis, off = fitted(rest, axis, freedom)
            circles = Circles.of(axis, samples.grid)
        off = max(off, off_axis(rest.evenly(), axis) / HIDDEN)
        if off < ROUND and _centred(solid & ~aside, axis, samples.grid):
            body = circles.turned(distance, np.where(aside, 0, measured + np.float32(UNSEEN)))
            return _as_far(np.where(aside, np.maximum(body, distance), body), solid)
    return None


def _sticking_out(distance: Float, body: Float) -> Bool:
    """(X, Y, Z) cells in and around parts of a solid that are clearly no part of the turned body."""
    outside = (distance > 0) & (body < -STICKS_OUT)
    parts, count = ndimage.label(outside)
    number = parts[outside]
    sizes, furthest = np.bincount(number, minlength=count + 1), np.zeros(count + 1)
    np.minimum.at(furthest, number, body[outside])
    found: Bool = ((sizes >= LEAST) & (furthest < -FURTHEST))[parts]
    return ndimage.binary_dilation(found, iterations=GROWN) if found.any() else found


def _centred(solid: Bool, axis: Axis, grid: Grid) -> bool:
    """Whether the axis goes through the middle of a solid (X, Y, Z)."""
    points = (grid.origin + np.argwhere(solid) * grid.spacing).T
    _, radius = axis.circles(*np.column_stack([points, points.mean(axis=1)]))
    return bool(radius[-1] <= CENTRED * radius[:-1].mean())


def _as_far(distance: Float, solid: Bool) -> Float | None:
    """Distances (X, Y, Z), raised as far as it takes to be inside about where `solid` is bounded; None where they are
    not."""
    wanted = _bounds(solid)
    for level in LEVELS:
        raised = distance + np.float32(level)
        inside = raised > 0
        if inside.any() and (_bounds(inside) >= wanted - SHORTER).all():
            return raised
    return None


def _bounds(solid: Bool) -> Int:
    """(6,) how far a solid reaches along each axis of the grid, in cells, down (negative) and up."""
    (window,) = ndimage.find_objects(solid.astype(np.uint8))
    return np.array([bound for side in window for bound in (-side.start, side.stop - 1)])
