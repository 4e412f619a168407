"""Things turned on an axis, as cups, bowls, plates, cans and bottles are: what was seen of one side tells the rest.

An answer that is nearly a solid of revolution becomes one. Every circle around the axis gets one distance, the mean
over it, in which cells beside seen points count most: walls are as thin behind as in front, and noise averages out.
What sticks out of the turned body, such as a handle, stays as it was answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, optimize  # type: ignore[import-untyped]

from sam3d_ros.compact.measured import beside
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float, Int

DOUBTED = 0.02
"""What a cell beside no seen point counts where an axis is sought; a sheet of points gives the cells it crosses about
0.2;"""
UNSEEN = 0.005
"""and what it counts in the mean over a circle."""
NEAR = 0.7
"""Distances, in units of the truncation, from which an axis is found."""
SAMPLES = 3000
PER_CELL = 2
"""Radii per cell for which there is a mean: at one per cell, sheets as thin as a cell get holes."""
FAR_OFF = 0.5
"""No sample counts for more than this difference, in units of the truncation: it is no part of the turned body."""
ROUND = 0.0115
"""Mean squared difference of an answer from itself turned, in units of the truncation, up to which it is taken for a
solid of revolution: a third of a cell."""
PERHAPS = 0.02
"""The same while a handle counts as well,"""
HOPELESS = 0.05
"""and before the axis is fitted."""
STICKS_OUT = 1 / 3
"""How far outside of the turned body a solid cell is that belongs to something else, in units of the truncation;"""
FURTHEST = 0.85
"""how far such a part reaches somewhere at least;"""
LEAST = 20
"""and how many cells it has at least."""
MOST = 0.25
"""Share of the solid that may stick out: more is no handle."""
LEVELS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
"""Added to the means, in units of the truncation, the least that is needed: a sheet that the answer broke is lost in
them."""
SHORTER = 3
"""Cells by which each bound of the thing may come nearer."""
GROWN = 3
"""Cells around such parts in which the answer stays, or they would come loose."""


@dataclass(frozen=True)
class Axis:
    """point (3,) m on it and its direction (3,), in the frame of a grid; height, radius: m, lengths of the grid's cells
    along it and across."""

    point: Float
    direction: Float
    height: float
    radius: float

    @staticmethod
    def of(point: Float, direction: Float, grid: Grid) -> Axis:
        """direction: a unit vector."""
        across = min(_cell(one, grid) for one in _across(direction))
        return Axis(point, direction, _cell(direction, grid), across)

    def circles(self, x: Float, y: Float, z: Float, per_cell: int = 1) -> tuple[Float, Float]:
        """Of points with these coordinates, arrays that broadcast: how far along the axis they lie, in cells and from 0
        on, and how far from it, in parts of which a cell has `per_cell`."""
        a, b, c = (float(v) for v in self.direction / np.linalg.norm(self.direction))
        x, y, z = (value - float(origin) for value, origin in zip((x, y, z), self.point, strict=True))
        height = a * x + b * y + c * z
        radius = np.sqrt(np.maximum(x * x + y * y + z * z - height * height, 0))
        return (height - height.min()) / self.height, radius * (per_cell / self.radius)


def turned(distance: Float, points: Float, grid: Grid) -> Float:
    """Distances (X, Y, Z) float32, positive inside, in units of the truncation, of a thing of which points (N, 3) were
    seen: where they are nearly those of a solid of revolution, just those and what sticks out of it; else unchanged."""
    solid = distance > 0
    if not solid.any():
        return distance
    measured = beside(points, grid)
    samples = _Samples.of(distance, measured + np.float32(DOUBTED), grid)
    if samples is None:
        return distance
    weight = measured + np.float32(UNSEEN)
    for axis, freedom in ((samples.upright_axis(), 2), (samples.any_axis(), 4)):
        if samples.off(axis) > HOPELESS:
            continue
        axis, off = samples.fitted(axis, freedom)
        if off > PERHAPS:
            continue
        circles = _Profile.of(axis, grid)
        # Every cell counts the same here: a handle that was seen well would leave its trace all around.
        aside = _sticking_out(distance, circles.turned(distance, np.ones_like(weight)))
        if aside[solid].mean() > MOST:
            continue
        if aside.any():
            axis, off = samples.without(aside).fitted(axis, freedom)
            circles = _Profile.of(axis, grid)
        if off < ROUND:
            body = circles.turned(distance, np.where(aside, 0, weight))
            whole = _as_far(np.where(aside, np.maximum(body, distance), body), solid)
            return distance if whole is None else whole
    return distance


@dataclass(frozen=True)
class _Samples:
    """Cells near the surface. cells: (N,) numbers on `grid`; points, normals: (3, N) m; distance, weight: (N,)."""

    grid: Grid
    cells: Int
    points: Float
    normals: Float
    distance: Float
    weight: Float

    @staticmethod
    def of(distance: Float, weight: Float, grid: Grid) -> _Samples | None:
        """None where there are too few to find an axis from."""
        inner = np.zeros(distance.shape, np.bool_)
        inner[1:-1, 1:-1, 1:-1] = True
        cells = np.flatnonzero((np.abs(distance) < NEAR) & inner)
        cells = cells[:: max(1, len(cells) // SAMPLES)]
        if len(cells) < 100:
            return None
        flat, index = distance.ravel(), np.stack(np.unravel_index(cells, distance.shape))
        strides = (distance.shape[1] * distance.shape[2], distance.shape[2], 1)
        slope = np.stack([(flat[cells + s] - flat[cells - s]) for s in strides]) / grid.spacing[:, None]
        length = np.maximum(np.linalg.norm(slope, axis=0), 1e-9)
        points = grid.origin[:, None] + index * grid.spacing[:, None]
        values = flat[cells].astype(np.float64), weight.ravel()[cells].astype(np.float64)
        return _Samples(grid, cells, points, slope / length, *values)

    def without(self, region: Bool) -> _Samples:
        """Those outside of a region (X, Y, Z)."""
        kept = ~region.ravel()[self.cells]
        return replace(
            self,
            cells=self.cells[kept],
            points=self.points[:, kept],
            normals=self.normals[:, kept],
            distance=self.distance[kept],
            weight=self.weight[kept],
        )

    def upright_axis(self) -> Axis:
        """The vertical line that the normals come closest to."""
        (x, y, _), (a, b, _) = self.points, self.normals
        rows, goal = np.stack([b, -a]), b * x - a * y

        def solve(weight: Float) -> tuple[Float, Float]:
            weighted = rows * (weight * weight)
            centre = np.linalg.solve(weighted @ rows.T + 1e-9 * weight.sum() * np.eye(2), weighted @ goal)
            return centre, centre @ rows - goal

        centre = _robust(solve, np.sqrt(self.weight))
        return Axis.of(np.array([*centre, 0.0]), np.array([0.0, 0.0, 1.0]), self.grid)

    def any_axis(self) -> Axis:
        """The line that the normals come closest to. Lines (point p, direction n) and (c, u) meet where
        u . (p x n) + n . (c x u) = 0: linear in u and the moment c x u."""
        middle, length = self.points.mean(axis=1), float(np.ptp(self.points, axis=1).max())
        moments = np.cross((self.points - middle[:, None]) / length, self.normals, axis=0)

        def solve(weight: Float) -> tuple[Float, Float]:
            m, n = moments * weight, self.normals * weight
            # The moment that is best for each direction, then the direction.
            ridge = 1e-6 * float((weight * weight).sum()) * np.eye(3)
            best = np.linalg.solve(n @ n.T + ridge, n @ m.T)
            _, vectors = np.linalg.eigh(m @ m.T - m @ n.T @ best)
            line = np.concatenate([vectors[:, 0], -best @ vectors[:, 0]])
            return line, line[:3] @ moments + line[3:] @ self.normals

        line = _robust(solve, np.sqrt(self.weight))
        return Axis.of(middle + length * np.cross(line[:3], line[3:]), line[:3], self.grid)

    def fitted(self, axis: Axis, freedom: int) -> tuple[Axis, float]:
        """The axis about which the answer differs least from itself turned, found near `axis`, and the mean squared
        difference. freedom: 2 to shift it, 4 to tilt it too."""
        along = axis.direction
        first, second = _across(along)
        start = axis.point + along * float((self.points.mean(axis=1) - axis.point) @ along)
        steps = np.array([2 * _cell(first, self.grid), 2 * _cell(second, self.grid), 0.05, 0.05])[:freedom]

        def moved(by: Float) -> Axis:
            shift = steps * by
            tilt = first * shift[2] + second * shift[3] if freedom == 4 else 0
            return replace(axis, point=start + first * shift[0] + second * shift[1], direction=along + tilt)

        simplex = np.concatenate([np.zeros((1, freedom)), np.eye(freedom)])
        options = {"initial_simplex": simplex, "xatol": 0.03, "fatol": 1e-6, "maxfev": 35 * freedom}
        found = optimize.minimize(
            lambda by: self.off(moved(by)), simplex[0], method="Nelder-Mead", options=options
        )
        return moved(found.x), float(found.fun)

    def off(self, axis: Axis) -> float:
        """Mean squared difference of the distances from their mean over each circle."""
        profile = _Profile(*axis.circles(*self.points))
        apart = self.distance - profile.read(profile.mean(self.distance, self.weight))
        return float((self.weight * np.minimum(apart * apart, FAR_OFF**2)).sum() / self.weight.sum())


class _Profile:
    """Means over circles around an axis, for a grid of heights and radii between whose points they are linear."""

    @staticmethod
    def of(axis: Axis, grid: Grid) -> _Profile:
        """Of all cells of a grid."""
        x, y, z = grid.axes()
        height, radius = axis.circles(x[:, None, None], y[:, None], z, PER_CELL)
        return _Profile(height.ravel(), radius.ravel())

    def __init__(self, height: Float, radius: Float) -> None:
        """height, radius: (N,) of the cells, as `Axis.circles` counts them."""
        i, j = height.astype(np.int32), radius.astype(np.int32)
        up, out = height - i, radius - j
        self.columns = int(j.max()) + 2
        self.size = self.columns * (int(i.max()) + 2)
        first = i * self.columns + j
        self._parts = (
            (first, (1 - up) * (1 - out)),
            (first + 1, (1 - up) * out),
            (first + self.columns, up * (1 - out)),
            (first + self.columns + 1, up * out),
        )

    def mean(self, values: Float, weight: Float) -> Float:
        """(size,) weighted means of values (N,); -1, far outside, where no cell counts."""
        total, count = np.zeros(self.size), np.zeros(self.size)
        for at, share in self._parts:
            part = weight * share
            total += np.bincount(at, part * values, self.size)
            count += np.bincount(at, part, self.size)
        return np.where(count > 1e-9, total / np.maximum(count, 1e-9), -1.0)

    def read(self, means: Float) -> Float:
        """(N,) what `means` (size,) are at the cells."""
        (at, share), *others = self._parts
        value: Float = share * means[at]
        for at, share in others:
            value += share * means[at]
        return value

    def turned(self, distance: Float, weight: Float) -> Float:
        """Distances (X, Y, Z) whose every cell has its circle's mean. float32."""
        mean = self.mean(distance.ravel(), weight.ravel()).astype(np.float32)
        return self.read(mean).reshape(distance.shape).astype(np.float32)


def _sticking_out(distance: Float, body: Float) -> Bool:
    """(X, Y, Z) cells in and around parts of a solid that are clearly no part of the turned body."""
    outside = (distance > 0) & (body < -STICKS_OUT)
    parts, count = ndimage.label(outside)
    number = parts[outside]
    sizes, furthest = np.bincount(number, minlength=count + 1), np.zeros(count + 1)
    np.minimum.at(furthest, number, body[outside])
    found: Bool = ((sizes >= LEAST) & (furthest < -FURTHEST))[parts]
    return ndimage.binary_dilation(found, iterations=GROWN) if found.any() else found


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
    bounds: list[int] = []
    for axis in range(3):
        there = np.flatnonzero(solid.any(axis=tuple(a for a in range(3) if a != axis)))
        bounds += [-int(there[0]), int(there[-1])]
    return np.array(bounds)


def _robust(solve: Callable[[Float], tuple[Float, Float]], weight: Float, rounds: int = 8) -> Float:
    """What `solve(weights)` finds when samples that do not fit count less: it gives an answer and what is left of each
    sample."""
    current = weight
    for _ in range(rounds):
        answer, left = solve(current)
        usual = 3 * float(np.median(np.abs(left))) + 1e-6
        current = weight / np.sqrt(1 + (left / usual) ** 2)
    return answer


def _across(along: Float) -> tuple[Float, Float]:
    """Two unit vectors (3,) at right angles to a unit vector (3,) and each other."""
    first = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    first /= np.linalg.norm(first)
    return first, np.cross(along, first)


def _cell(direction: Float, grid: Grid) -> float:
    """Length of a cell, m, along a unit vector (3,)."""
    return float(1 / np.linalg.norm(direction / grid.spacing))
