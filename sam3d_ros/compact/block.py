"""Blocks: things with six flat sides at right angles that stand on one of them, as boxes, books and bricks do.

An answer that is nearly a block becomes one. Its sides are planes through all that was answered and measured along
them, so that one which nobody saw is as straight as the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import optimize  # type: ignore[import-untyped]

from sam3d_ros.compact.lift import TRUNCATION
from sam3d_ros.compact.measured import beside
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float, Int

DOUBTED = 0.02
"""What a cell beside no seen point counts; a sheet of points gives the cells it crosses about 0.2."""
NEAR = 0.7
"""Distances, in units of the truncation, from which a block is found."""
SAMPLES = 3000
USUAL = 0.05
"""Difference, in units of the truncation, from which on a sample counts less: edges may be rounded."""
FAR_OFF = 0.5
"""No sample counts for more than this difference."""
FLAT = 0.028
"""Mean squared difference of an answer from the block nearest to it, in units of the truncation, up to which it is
taken for one: half a cell."""
HOPELESS = 0.06
"""The same before the block is fitted."""


@dataclass(frozen=True)
class Block:
    """yaw: rad about z, counter-clockwise; low, high: (3,) m, corners in the frame of the grid turned by it."""

    yaw: float
    low: Float
    high: Float

    @property
    def R_block_grid(self) -> Float:
        """(3, 3), from the frame of the grid to that of the sides."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

    def distance(self, x: Float, y: Float, z: Float, grid: Grid) -> Float:
        """Of points with these coordinates, arrays that broadcast: as the model gives them for a grid, positive
        inside, in cells over the truncation, cut off at 1."""
        c, s = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        cells = 1 / np.linalg.norm(self.R_block_grid / grid.spacing, axis=1)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        inwards = [
            (float(h) - abs(along - float(m))) / float(cell * TRUNCATION)
            for along, m, h, cell in zip((c * x + s * y, c * y - s * x, z), middle, half, cells, strict=True)
        ]
        nearest = np.minimum(np.minimum(inwards[0], inwards[1]), inwards[2])
        outside = np.sqrt(sum(np.minimum(value, 0) ** 2 for value in inwards))
        return np.clip(np.where(nearest < 0, -outside, nearest), -1, 1)


def block(distance: Float, points: Float, grid: Grid) -> Float:
    """Distances (X, Y, Z) float32, positive inside, in units of the truncation, of a thing of which points (N, 3) were
    seen: those of a block where they are nearly that; else unchanged."""
    solid = np.argwhere(distance > 0)
    cells = np.flatnonzero(np.abs(distance) < NEAR)
    if len(solid) < 8 or len(cells) < 100:
        return distance
    cells = cells[:: max(1, len(cells) // SAMPLES)]
    index = np.stack(np.unravel_index(cells, distance.shape))
    x, y, z = grid.origin[:, None] + index * grid.spacing[:, None]
    values = distance.ravel()[cells].astype(np.float64)
    weight = beside(points, grid).ravel()[cells].astype(np.float64) + DOUBTED
    rough = _around(solid, grid)

    def apart(one: Block) -> Float:
        difference: Float = one.distance(x, y, z, grid) - values
        return difference

    def off(one: Block) -> float:
        return float((weight * np.minimum(apart(one) ** 2, FAR_OFF**2)).sum() / weight.sum())

    if off(rough) > HOPELESS:
        return distance
    steps = np.concatenate([[0.05], grid.spacing, grid.spacing])

    def moved(by: Float) -> Block:
        shift = steps * by
        return Block(rough.yaw + float(shift[0]), rough.low + shift[1:4], rough.high + shift[4:])

    found = optimize.least_squares(
        lambda by: np.sqrt(weight) * apart(moved(by)), np.zeros(7), loss="soft_l1", f_scale=USUAL, max_nfev=25
    )
    best = moved(found.x)
    if off(best) > FLAT or (best.high <= best.low).any():
        return distance
    across, back, up = grid.axes()
    return best.distance(across[:, None, None], back[:, None], up, grid).astype(np.float32)


def _around(solid: Int, grid: Grid) -> Block:
    """The upright block around cells (N, 3) of a grid whose base is the smallest rectangle."""
    points = (grid.origin + solid * grid.spacing).astype(np.float32)
    _, _, degrees = cv2.minAreaRect(points[:, :2])
    yaw = float(np.deg2rad(degrees))
    turned = points @ Block(yaw, points[0], points[0]).R_block_grid.T
    low, high = np.percentile(turned, (0.5, 99.5), axis=0)
    return Block(yaw, low - grid.spacing / 2, high + grid.spacing / 2)
