"""What the camera saw, lifted into the grid in which the compact model answers.

A network that gets the pointmap where its output lives needs no thousands of examples to learn perspective
(docs/training.md has the figures). Lengths are counted in cells, because the box is stretched.
"""

from __future__ import annotations

import numpy as np

from sam3d_ros.baselines.columns import columns
from sam3d_ros.baselines.evidence import Evidence
from sam3d_ros.baselines.extrude import SEEN_SKIN, deepen
from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float, UInt8

TRUNCATION = 3.0
"""Cells at which distances are cut off, here and in the model's answer."""
FAR = int(TRUNCATION**2)
CHANNELS = ("clearance", "open", "surface", "column", "height", "silhouette")
CLEARANCE = CHANNELS.index("clearance")
BLANK = (1.0, 1.0, -1.0, 0.0, None, None)
"""What the channels hold where nothing was measured at all; height and silhouette need no depth."""
GLOBALS = ("log_size_x", "log_size_y", "log_size_z", "on_support", "elevation", "log_distance")


def cells_of(field: Float, grid: Grid) -> Float:
    """A signed distance `field` (X, Y, Z) m in cells of the stretched grid, to first order, cut off and scaled to
    -1 .. 1.

    One cell along axis i is grid.spacing[i] long; the distance in cells is the field over the length of its gradient
    per cell. Where the gradient vanishes, as in the middle of a thin wall, the smallest spacing stands for it.
    """
    gradient = np.gradient(field)
    slope = np.sqrt(sum(g * g for g in gradient))
    scaled: Float = field / np.maximum(slope, np.float32(grid.spacing.min()))
    return np.clip(scaled / np.float32(TRUNCATION), -1, 1).astype(np.float32)


def lift(seen: Evidence, box: ObjectBox, side: int) -> Float:
    """(6, side, side, side) float32 in -1 .. 1, channels as named in CHANNELS:

    clearance: how far behind the seen surface, negative where the camera saw through; open: 1 where nothing is known;
    surface: 1 on a seen point, -1 from `TRUNCATION` cells on; column: the classical completion, positive inside
    (`extrude`); height: 0 on the support, 1 at the top of the box; silhouette: 1 inside the mask, -1 outside.
    """
    grid = box.grid(side)
    metres, own = seen.look_up(grid.points())
    known = np.isfinite(metres)
    cell = np.float32(np.cbrt(np.prod(grid.spacing)))
    clearance = np.clip(np.where(known, metres, np.inf) / (TRUNCATION * cell), -1, 1)
    standing = columns(_within(deepen(seen), box), metres + np.float32(SEEN_SKIN), grid)
    height = np.broadcast_to(grid.axes()[2] / np.float32(box.low[2] + box.size[2]), grid.shape)
    channels = (
        clearance.reshape(grid.shape),
        np.where(known, -1, 1).reshape(grid.shape),
        near_surface(seen.points, grid),
        cells_of(standing, grid),
        np.clip(height, -1, 1),
        np.where(own, 1, -1).reshape(grid.shape),
    )
    lifted = np.empty((len(channels), *grid.shape), np.float32)
    for target, channel in zip(lifted, channels, strict=True):  # np.stack would make all of them float64
        target[...] = channel
    return lifted


def _within(points: Float, box: ObjectBox) -> Float:
    """Those of points (N, 3) that lie in the box; it holds nearly all of them."""
    return points[(np.abs(box.unit(points)) < 1).all(axis=1)]


def near_surface(points: Float, grid: Grid) -> Float:
    """(X, Y, Z) float32: 1 in the cells of points (N, 3) m, falling to -1 at TRUNCATION cells from them."""
    falling: Float = (1 - 2 * np.sqrt(np.arange(FAR + 1)) / TRUNCATION).clip(-1).astype(np.float32)
    return falling[_squared_distance(grid.held(points))]


def _squared_distance(hit: Bool) -> UInt8:
    """(X, Y, Z) squared distance in cells to the nearest cell of `hit`, exact below FAR, and FAR from there on.

    A distance transform without bound takes ten times as long.
    """
    squared = np.where(hit, np.uint8(0), np.uint8(FAR))
    for axis in range(3):
        nearest, before = squared.swapaxes(0, axis), squared.swapaxes(0, axis).copy(order="K")
        for step in range(1, int(np.ceil(TRUNCATION))):
            further = before + np.uint8(step * step)
            np.minimum(nearest[step:], further[:-step], out=nearest[step:])
            np.minimum(nearest[:-step], further[step:], out=nearest[:-step])
    return squared


def globals_of(seen: Evidence, box: ObjectBox) -> Float:
    """(6,) float32 as named in GLOBALS: log of the box's sides over 0.15 m, that it stands on a support, how
    steeply the camera looks down (rad), log of its distance over 0.7 m."""
    from_camera = seen.view.points_cam.mean(axis=0).astype(np.float64)
    distance = float(np.linalg.norm(from_camera))
    down = -float(from_camera @ seen.view.T_cam_view[:3, 2]) / max(distance, 1e-6)
    return np.array(
        [
            *np.log(box.size / 0.15),
            1.0,  # whatever is asked about stands on something
            np.arcsin(np.clip(down, -1, 1)),
            np.log(max(distance, 1e-3) / 0.7),
        ],
        np.float32,
    )
