"""A solid from points that stand on a support: every point fills the column below it, what was seen through
is empty.

The solid is where four continuous bounds agree: below the observed tops, above the support, inside the
footprint, and not in front of the observed depth. Each bound is a signed distance in metres, so the surface
is placed between the samples of the grid and a flat top stays flat.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.mesh.check import MeshError
from sam3d_ros.mesh.surface import Grid, surface
from sam3d_ros.types import Bool, Float, Mesh

LONGEST, SHORTEST = 48, 24  # samples along the sides of the box
SMOOTHING = 0.6  # samples; takes the noise of single pixels off


def footprint(points: Float, grid: Grid) -> tuple[Float, Bool, Bool]:
    """(X, Y) float32 height of the nearest column with a point, m, and (X, Y) bool the convex footprint of
    points."""
    cells = np.rint((points[:, :2] - grid.origin[:2]) / grid.spacing[:2]).astype(np.int32)
    top = np.full(grid.shape[:2], -np.inf, np.float32)
    np.maximum.at(top, (cells[:, 0], cells[:, 1]), points[:, 2])
    inside = np.zeros(grid.shape[:2], np.uint8)
    seen = np.isfinite(top)
    # The hull of the cells, not of the points: many lie in one cell.
    cv2.fillConvexPoly(inside, cv2.convexHull(np.argwhere(seen)[:, ::-1].astype(np.int32)), 1)
    nearest = ndimage.distance_transform_edt(
        ~seen, sampling=grid.spacing[:2], return_distances=False, return_indices=True
    )
    return top[nearest[0], nearest[1]], inside > 0, seen


def signed_distance(inside: Bool, spacing: Float) -> Float:
    """(X, Y) m to the border between cells inside and outside, positive inside."""
    within = ndimage.distance_transform_edt(inside, sampling=spacing)
    beyond = ndimage.distance_transform_edt(~inside, sampling=spacing)
    half = float(spacing.mean()) / 2
    distance: Float = np.where(inside, within - half, half - beyond).astype(np.float32)
    return distance


def crumbs(inside: Bool) -> Bool:
    """(X, Y, Z) bool: parts that touch no larger one and have less than 5 % of the largest one's samples.

    They are left where a bit of hidden space is enclosed by what was seen. An occluder may cut an object into
    larger parts, which stay.
    """
    parts, count = ndimage.label(inside)
    if count < 2:
        return np.zeros(inside.shape, np.bool_)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    small: Bool = np.asarray((sizes > 0) & (sizes < 0.05 * sizes.max()))[parts]
    return small


def columns(points: Float, clearance: Float, grid: Grid) -> Float:
    """(X, Y, Z) float32 m, positive inside: the columns under points (N, 3), view frame, m, less what was seen
    through.

    clearance: (X * Y * Z,) m of the grid's points, negative in observed free space (`Evidence.clearance`).
    """
    low = min(0.0, float(points[:, 2].min()))
    top, inside, seen = footprint(points, grid)
    side = signed_distance(inside, grid.spacing[:2])
    z = grid.axes()[2]
    field = np.minimum(top[..., None] - z, side[..., None])
    field = np.minimum(field, z - np.float32(low))
    field = np.minimum(field, clearance.reshape(grid.shape))
    # A floor thinner than the samples, such as that of a pan, stays as a sheet of a few samples where it was
    # seen.
    sheet = np.float32(1.2 * grid.spacing[2])
    middle = np.maximum(top - sheet, sheet / 2)[..., None]
    field = np.where(seen[..., None], np.maximum(field, sheet - np.abs(z - middle)), field)
    kept: Float = np.where(crumbs(field > 0), -np.abs(field), field).astype(np.float32)
    return kept


def stand(points: Float, clearance: Callable[[Float], Float]) -> Mesh:
    """Watertight mesh of the columns under points (N, 3), view frame, m, less where `clearance` (m) is
    negative.

    Raises MeshError where nothing is left.
    """
    low = points.min(0).astype(np.float64)
    low[2] = min(0.0, low[2])
    grid = Grid.over(low, points.max(0), LONGEST, SHORTEST)
    field = columns(points, clearance(grid.points()), grid)
    limit = 3 * float(grid.spacing.max())
    field = np.clip(field, -limit, limit)
    try:
        return surface(ndimage.gaussian_filter(field, SMOOTHING), grid)
    except MeshError:
        return surface(field, grid)  # thinner than the smoothing
