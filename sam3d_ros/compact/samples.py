"""Cells near the surface of an answer: by them it is held against regular things."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float, Int

NEAR = 0.7
"""Distances, in units of the truncation, of cells that are looked at."""
SAMPLES = 3000
LEAST = 100
DOUBTED = 0.02
"""What a cell beside no seen point counts; a sheet of points gives the cells it crosses about 0.2."""
FAR_OFF = 0.5
"""No cell counts for more than this difference, in units of the truncation: it is no part of the regular thing."""


@dataclass(frozen=True)
class Samples:
    """cells: (N,) numbers on `grid`, none at its border; points: (3, N) m; distance, weight: (N,)."""

    grid: Grid
    cells: Int
    points: Float
    distance: Float
    weight: Float

    @staticmethod
    def of(distance: Float, measured: Float, grid: Grid) -> Samples | None:
        """Of distances (X, Y, Z), positive inside, in units of the truncation, that are measured (X, Y, Z) so well
        (`measured.beside`). None where there is no inside or there are too few cells."""
        inner = np.zeros(distance.shape, np.bool_)
        inner[1:-1, 1:-1, 1:-1] = True
        cells = np.flatnonzero((np.abs(distance) < NEAR) & inner)
        if len(cells) < LEAST or not (distance > 0).any():
            return None
        cells = cells[:: max(1, len(cells) // SAMPLES)]
        index = np.stack(np.unravel_index(cells, distance.shape))
        points = grid.origin[:, None] + index * grid.spacing[:, None]
        values, seen = (field.ravel()[cells].astype(np.float64) for field in (distance, measured))
        return Samples(grid, cells, points, values, seen + DOUBTED)

    def normals(self, distance: Float) -> Float:
        """(3, N) unit vectors along which the distances (X, Y, Z) grow."""
        flat = distance.ravel()
        strides = (distance.shape[1] * distance.shape[2], distance.shape[2], 1)
        slope = np.stack([flat[self.cells + s] - flat[self.cells - s] for s in strides])
        slope = slope / self.grid.spacing[:, None]
        normals: Float = slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-9)
        return normals

    def without(self, region: Bool) -> Samples:
        """Those outside of a region (X, Y, Z)."""
        kept = ~region.ravel()[self.cells]
        return replace(
            self,
            cells=self.cells[kept],
            points=self.points[:, kept],
            distance=self.distance[kept],
            weight=self.weight[kept],
        )

    def evenly(self) -> Samples:
        """The same, every cell counting alike."""
        return replace(self, weight=np.ones_like(self.weight))

    def off(self, expected: Float) -> float:
        """Weighted mean squared difference from distances (N,)."""
        apart = self.distance - expected
        return float((self.weight * np.minimum(apart * apart, FAR_OFF**2)).sum() / self.weight.sum())
