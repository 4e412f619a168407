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
from sam3d_ros.compact.samples import Samples
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float, Int

USUAL = 0.05
"""Difference, in units of the truncation, from which on a sample counts less: edges may be rounded."""
FLAT = 0.028
"""Mean squared difference of an answer from the block nearest to it, in units of the truncation, up to which it is
taken for one: half a cell. By what was seen, and by all cells alike."""
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
        cells = grid.steps(self.R_block_grid)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        inwards = [
            (float(h) - abs(along - float(m))) / float(cell * TRUNCATION)
            for along, m, h, cell in zip((c * x + s * y, c * y - s * x, z), middle, half, cells, strict=True)
        ]
        nearest = np.minimum(np.minimum(inwards[0], inwards[1]), inwards[2])
        outside = np.sqrt(sum(np.minimum(value, 0) ** 2 for value in inwards))
        return np.clip(np.where(nearest < 0, -outside, nearest), -1, 1)


def block(distance: Float, samples: Samples) -> Float | None:
    """Of distances (X, Y, Z), positive inside, in units of the truncation, and samples of them: where they are nearly
    those of a block, just those, float32. None where they are not."""
    grid = samples.grid
    x, y, z = samples.points
    rough = _around(np.argwhere(distance > 0), grid)
    if samples.off(rough.distance(x, y, z, grid)) > HOPELESS:
        return None
    steps = np.concatenate([[0.05], grid.spacing, grid.spacing])
    share = np.sqrt(samples.weight)

    def moved(by: Float) -> Block:
        shift = steps * by
        return Block(rough.yaw + float(shift[0]), rough.low + shift[1:4], rough.high + shift[4:])

    found = optimize.least_squares(
        lambda by: share * (moved(by).distance(x, y, z, grid) - samples.distance),
        np.zeros(7),
        loss="soft_l1",
        f_scale=USUAL,
        max_nfev=25,
    )
    best = moved(found.x)
    expected = best.distance(x, y, z, grid)
    off = max(samples.off(expected), samples.evenly().off(expected))
    if off > FLAT or (best.high <= best.low).any():
        return None
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
