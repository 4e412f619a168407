"""Axes of turned things: what normals meet, and about what an answer differs least from itself turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize  # type: ignore[import-untyped]

from sam3d_ros.compact.samples import Samples
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float

PER_CELL = 2
"""Radii per cell of a whole grid for which there is a mean: at one, sheets as thin as a cell get holes."""


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
        across = float(grid.steps(np.stack(_across(direction))).min())
        return Axis(point, direction, float(grid.steps(direction)), across)

    def circles(self, x: Float, y: Float, z: Float, per_cell: int = 1) -> tuple[Float, Float]:
        """Of points with these coordinates, arrays that broadcast: how far along the axis they lie, in cells and from 0
        on, and how far from it, in parts of which a cell has `per_cell`."""
        a, b, c = (float(v) for v in self.direction / np.linalg.norm(self.direction))
        x, y, z = (value - float(origin) for value, origin in zip((x, y, z), self.point, strict=True))
        height = a * x + b * y + c * z
        radius = np.sqrt(np.maximum(x * x + y * y + z * z - height * height, 0))
        return (height - height.min()) / self.height, radius * (per_cell / self.radius)


def passes_by(axis: Axis, samples: Samples) -> bool:
    """Whether the axis is farther from the middle of samples than they reach from it. Where normals are nearly parallel
    the line that they meet is far off, and circles around it are too large to count."""
    middle = samples.points.mean(axis=1)
    from_axis = np.linalg.norm(np.cross(axis.direction, middle - axis.point))
    reach = np.linalg.norm(samples.points - middle[:, None], axis=0).max()
    return not from_axis <= reach  # true of NaN


def upright_axis(samples: Samples, normals: Float) -> Axis:
    """The vertical line that the normals (3, N) of samples come closest to."""
    (x, y, _), (a, b, _) = samples.points, normals
    rows, goal = np.stack([b, -a]), b * x - a * y

    def solve(weight: Float) -> tuple[Float, Float]:
        weighted = rows * (weight * weight)
        centre = np.linalg.solve(weighted @ rows.T + 1e-9 * weight.sum() * np.eye(2), weighted @ goal)
        return centre, centre @ rows - goal

    centre = _robust(solve, np.sqrt(samples.weight))
    return Axis.of(np.array([*centre, 0.0]), np.array([0.0, 0.0, 1.0]), samples.grid)


def any_axis(samples: Samples, normals: Float) -> Axis:
    """The line that the normals (3, N) of samples come closest to. Lines (point p, direction n) and (c, u) meet where
    u . (p x n) + n . (c x u) = 0: linear in u and the moment c x u."""
    middle, length = samples.points.mean(axis=1), float(np.ptp(samples.points, axis=1).max())
    moments = np.cross((samples.points - middle[:, None]) / length, normals, axis=0)

    def solve(weight: Float) -> tuple[Float, Float]:
        m, n = moments * weight, normals * weight
        # The moment that is best for each direction, then the direction.
        ridge = 1e-6 * float((weight * weight).sum()) * np.eye(3)
        best = np.linalg.solve(n @ n.T + ridge, n @ m.T)
        _, vectors = np.linalg.eigh(m @ m.T - m @ n.T @ best)
        line = np.concatenate([vectors[:, 0], -best @ vectors[:, 0]])
        return line, line[:3] @ moments + line[3:] @ normals

    line = _robust(solve, np.sqrt(samples.weight))
    return Axis.of(middle + length * np.cross(line[:3], line[3:]), line[:3], samples.grid)


def off_axis(samples: Samples, axis: Axis) -> float:
    """Mean squared difference of samples from their means over circles around the axis."""
    circles = Circles(*axis.circles(*samples.points))
    return samples.off(circles.read(circles.mean(samples.distance, samples.weight)))


def fitted(samples: Samples, axis: Axis, freedom: int) -> tuple[Axis, float]:
    """The axis about which samples differ least from themselves turned, found near `axis`, and by how much they do
    (`off_axis`). freedom: 2 to shift it, 4 to tilt it too."""
    along = axis.direction
    first, second = _across(along)
    start = axis.point + along * float((samples.points.mean(axis=1) - axis.point) @ along)
    steps = np.array([*2 * samples.grid.steps(np.stack([first, second])), 0.05, 0.05])[:freedom]

    def moved(by: Float) -> Axis:
        shift = steps * by
        tilt = first * shift[2] + second * shift[3] if freedom == 4 else 0
        return replace(axis, point=start + first * shift[0] + second * shift[1], direction=along + tilt)

    simplex = np.concatenate([np.zeros((1, freedom)), np.eye(freedom)])
    found = optimize.minimize(
        lambda by: off_axis(samples, moved(by)),
        simplex[0],
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.05, "fatol": 1e-4, "maxfev": 35 * freedom},
    )
    return moved(found.x), float(found.fun)


class Circles:
    """Means over circles around an axis, for a grid of heights and radii between whose points they are linear."""

    @staticmethod
    def of(axis: Axis, grid: Grid) -> Circles:
        """Of all cells of a grid."""
        x, y, z = grid.axes()
        height, radius = axis.circles(x[:, None, None], y[:, None], z, PER_CELL)
        return Circles(height.ravel(), radius.ravel())

    def __init__(self, height: Float, radius: Float) -> None:
        """height, radius: (N,) of the cells, as `Axis.circles` counts them."""
        i, j = height.astype(np.intp), radius.astype(np.intp)
        up, out = height - i, radius - j
        columns = int(j.max()) + 2
        self.size = columns * (int(i.max()) + 2)
        self._at = i * columns + j + np.array([[0], [1], [columns], [columns + 1]])
        self._share = np.stack([(1 - up) * (1 - out), (1 - up) * out, up * (1 - out), up * out])

    def mean(self, values: Float, weight: Float) -> Float:
        """(size,) weighted means of values (N,); -1, far outside, where no cell counts."""
        at, share = self._at.ravel(), self._share * weight
        count = np.bincount(at, share.ravel(), self.size)
        total = np.bincount(at, (share * values).ravel(), self.size)
        return np.where(count > 1e-9, total / np.maximum(count, 1e-9), -1.0)

    def read(self, means: Float) -> Float:
        """(N,) what `means` (size,) are at the cells."""
        value: Float = np.einsum("cn,cn->n", self._share, means[self._at])
        return value

    def turned(self, distance: Float, weight: Float) -> Float:
        """Distances (X, Y, Z) whose every cell has its circle's mean. float32."""
        mean = self.mean(distance.ravel(), weight.ravel()).astype(np.float32)
        return self.read(mean).reshape(distance.shape).astype(np.float32)


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
