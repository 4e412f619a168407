"""From a field on a grid to a closed triangle mesh in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.measure import marching_cubes

from sam3d_ros.mesh.check import MeshError
from sam3d_ros.types import Bool, Float, Int, Mesh


@dataclass(frozen=True)
class Grid:
    """Sample points `origin + spacing * (i, j, k)` for i, j, k below `shape`. origin, spacing: (3,) float64
    m."""

    origin: Float
    spacing: Float
    shape: tuple[int, int, int]

    @staticmethod
    def over(low: Float, high: Float, longest: int, shortest: int = 12, finest: float = 5e-4) -> Grid:
        """A grid that covers the box low..high (3,) m and two more samples on every side.

        `longest` samples lie along the longest side and at least `shortest` along every other (a plate
        keeps its thickness), but none closer than `finest` m.
        """
        size = np.asarray(high, np.float64) - low
        spacing = np.minimum(size.max() / max(longest - 5, 1), size / max(shortest - 5, 1))
        spacing = np.maximum(spacing, finest)
        counts = np.ceil(size / spacing).astype(int) + 5
        middle = (np.asarray(high, np.float64) + low) / 2
        return Grid(
            middle - spacing * (counts - 1) / 2, spacing, (int(counts[0]), int(counts[1]), int(counts[2]))
        )

    def axes(self) -> tuple[Float, Float, Float]:
        """Coordinates along x, y and z, each float32 m."""
        x, y, z = (
            (self.origin[i] + self.spacing[i] * np.arange(self.shape[i])).astype(np.float32) for i in range(3)
        )
        return x, y, z

    def points(self) -> Float:
        """(X * Y * Z, 3) float32 sample points, z fastest."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1).reshape(-1, 3)

    def index(self, points: Float) -> Float:
        """(3, N) float64: where points (N, 3) m lie, counted in samples from the origin.

        A row per axis: loops along the points are several times as fast as loops over three numbers.
        """
        rows = np.ascontiguousarray(points.T)
        found: Float = (rows - self.origin[:, None]) / self.spacing[:, None]
        return found

    def nearest(self, points: Float) -> tuple[Int, Bool]:
        """(3, M) int64 samples nearest to those of points (N, 3) m that lie in the grid, and (N,) which these are."""
        index = np.rint(self.index(points)).astype(np.int64)
        inside = np.asarray(((index >= 0) & (index < np.array(self.shape)[:, None])).all(axis=0))
        return index[:, inside], inside

    def held(self, points: Float) -> Bool:
        """(X, Y, Z) samples that are the nearest of one of points (N, 3) m."""
        held = np.zeros(self.shape, np.bool_)
        held[tuple(self.nearest(points)[0])] = True
        return held

    def steps(self, directions: Float) -> Float:
        """(...,) m from one sample to the next along unit vectors (..., 3)."""
        lengths: Float = 1 / np.linalg.norm(directions / self.spacing, axis=-1)
        return lengths


def surface(field: Float, grid: Grid) -> Mesh:
    """The zero level of `field` (X, Y, Z), positive inside; closed because everything outside the grid is
    outside.

    Raises MeshError where nothing is inside.
    """
    inside: Float = np.asarray(field, np.float32).reshape(grid.shape)
    if not (inside > 0).any():
        raise MeshError("the field has no inside")
    # A value of exactly zero would put three vertices on one point; move it by a thousandth of a sample.
    tiny = np.float32(1e-3 * grid.spacing.min())
    inside = np.where(np.abs(inside) < tiny, np.where(inside > 0, tiny, -tiny), inside)
    padded = np.pad(inside, 1, constant_values=-np.float32(grid.spacing.min()))
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        padded, 0.0, gradient_direction="ascent"
    )
    vertices = vertices.astype(np.float64) * grid.spacing + (grid.origin - grid.spacing)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))
