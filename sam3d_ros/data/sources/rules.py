"""The rule-based filter of the paper's Iso-3DO set: it drops meshes of near-zero volume, with nearly constant
normals (flat sheets), and with fragments far from the main body. The paper gives no thresholds; these are ours,
each beside the extreme household object that still has to pass it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]

from sam3d_ros.types import Float, Int

MIN_VOLUME = 2e-4
"""Of the finished solid, in cubes of its longest side; a fork has 1e-3."""
MIN_HULL = 1e-3
"""Of the convex hull of what was read, likewise: a knife has 5e-3, a sheet of A6 paper 5e-4."""
FLAT = 0.985
"""Share of the area-weighted spread of normals along one axis. A dinner plate has 0.96."""
OUTLIER = 0.6
"""Longest side of the box around all but 1 % of the surface at either end of each axis, relative to the whole
box. A balloon on a string passes where the string holds a hundredth of the area."""


def why_not(vertices: Float, faces: Int, points: Float) -> str | None:
    """Which rule a mesh breaks, or None. vertices: (V, 3), faces: (F, 3), points: (N, 3) evenly over the
    surface; any unit."""
    longest = float(np.ptp(points, axis=0).max())
    if not longest > 0:
        return "a single point"
    try:
        hull = float(ConvexHull(points[:: max(1, len(points) // 20_000)]).volume) / longest**3
    except QhullError:
        hull = 0.0
    if hull < MIN_HULL:
        return f"near-zero volume: the hull has {hull:.1e} of the cube of the longest side, {MIN_HULL:.0e} needed"
    flat = flatness(vertices, faces)
    if flat > FLAT:
        return f"nearly constant normals: {flat:.3f} of their spread along one axis, {FLAT} at most"
    low, high = np.percentile(points, [1, 99], axis=0)
    trimmed = float((high - low).max()) / longest
    if trimmed < OUTLIER:
        return f"outliers: 98 % of the surface lie within {trimmed:.2f} of the longest side, {OUTLIER} needed"
    return None


def flatness(vertices: Float, faces: Int) -> float:
    """Largest eigenvalue of the area-weighted mean of n n^T: 1 where all normals are parallel (or opposite),
    1/3 where they point everywhere."""
    corners = np.asarray(vertices, np.float64)[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    kept = area > 0
    if not kept.any():
        return 1.0
    n = normals[kept] / area[kept, None]
    spread = (n * area[kept, None]).T @ n / area[kept].sum()
    return float(np.linalg.eigvalsh(spread)[-1])
