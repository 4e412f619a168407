"""Signed distance of an object, once on a fine grid, so that every view of it costs one look-up per point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.mesh.occupancy import occupancy
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float, Int, Mesh

SAMPLES = 24_000
LONGEST, SHORTEST = 72, 36
"""Samples of the grid along the longest and, at least, along every other side."""
BAND = 2
"""Cells around the surface in which the distance is that to the surface itself; beyond, to the nearest such cell."""


@dataclass(frozen=True)
class DistanceVolume:
    """grid: object frame, m. values: grid.shape float32 m, positive inside."""

    grid: Grid
    values: Float

    def at(self, points: Float) -> Float:
        """(N,) float32 m at points (N, 3) in the object frame; outside the grid to first order."""
        index = self.grid.index(points)
        inside = np.minimum(np.maximum(index, 0), np.array(self.grid.shape)[:, None] - 1)
        off = (index - inside) * self.grid.spacing[:, None]
        result: Float = self._linear(inside).astype(np.float32)
        result -= np.sqrt((off * off).sum(axis=0)).astype(np.float32)
        return result

    def _linear(self, index: Float) -> Float:
        """(N,) float32 values between the samples, at index (3, N) within the grid: as scipy's map_coordinates gives
        them, in a third of the time."""
        cell = np.minimum(index.astype(np.intp), np.array(self.grid.shape)[:, None] - 2)
        x, y, z = (index - cell).astype(np.float32)
        _, rows, columns = self.grid.shape
        corner, flat = (cell[0] * rows + cell[1]) * columns + cell[2], self.values.ravel()

        def along_z(first: Int) -> Float:
            low = flat[first]
            between: Float = low + z * (flat[first + 1] - low)
            return between

        def along_y(first: Int) -> Float:
            low = along_z(first)
            between: Float = low + y * (along_z(first + columns) - low)
            return between

        low = along_y(corner)
        between: Float = low + x * (along_y(corner + rows * columns) - low)
        return between


def distance_volume(mesh: Mesh, seed: int = 0) -> DistanceVolume:
    """Of a closed mesh. The sign is exact at every sample; the distance is that to `SAMPLES` random points of the
    surface and, close to one, to its tangent plane."""
    vertices = mesh.vertices.astype(np.float64)
    points, normals, apart = surface_samples(mesh, SAMPLES, np.random.default_rng(seed))
    grid = Grid.over(vertices.min(axis=0), vertices.max(axis=0), LONGEST, SHORTEST, finest=1e-4)
    near = grid.held(points)
    band = ndimage.maximum_filter(near, 2 * BAND + 1, mode="constant")
    distance = ndimage.distance_transform_edt(~near, sampling=grid.spacing).astype(np.float32)
    asked = grid.points().reshape(*grid.shape, 3)[band]
    to_point, which = cKDTree(points).query(asked)
    to_plane = np.abs(np.einsum("ij,ij->i", asked - points[which], normals[which]))
    distance[band] = np.where(to_point < 1.5 * apart, np.minimum(to_plane, to_point), to_point)
    inside = occupancy(vertices, mesh.faces, grid.origin - grid.spacing / 2, grid.spacing, grid.shape)
    return DistanceVolume(grid, np.where(inside, distance, -distance).astype(np.float32))


def surface_samples(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[Float, Float, float]:
    """(count, 3) float32 points spread evenly over a surface, their unit normals, and how far apart they are, m."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(normal, axis=1)
    face = rng.choice(len(corners), count, p=doubled / doubled.sum())
    u, v = rng.random((2, count, 1))
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    a, b, c = (corners[face, k] for k in range(3))
    points = (a + u * (b - a) + v * (c - a)).astype(np.float32)
    unit = (normal[face] / doubled[face, None]).astype(np.float32)
    return points, unit, float(np.sqrt(doubled.sum() / 2 / count))
