"""Hollows that nobody saw into: believed only where the answers agree on them, and where things are like that.

A can from above and a cup upside down look alike, and the model may take the one for the other. What the camera saw
through is hollow whatever else is true; a closed front without a doubt about what is behind it is taken for a solid.
Bowls, plates and cups for stacking are wider at the mouth: what is as wide at its top as at its base is closed far more
often than it stands upside down, whatever the model says.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]

from sam3d_ros.types import Bool, Float, Int

LEAST = 0.03
"""Share of the convex hull that a hollow fills at least; smaller ones are left alone."""
SEEN = 0.005
"""Share of a hollow's cells that the camera saw through, from which on it was seen into."""
AGREED = 0.05
"""Mean difference of two answers in a hollow, in units of the truncation, below which they agree on it."""
MOUTH = 0.4
"""Share of a solid's base, from which on a hollow there opens downwards."""
TAPERED = 0.72
"""Area of the top over that of the base, up to which a thing may stand upside down."""
NEAR_END = 0.15
"""Share of the height from base and top at which these areas are taken."""
FILLED = 0.3
"""Distance in a filled hollow, in units of the truncation: clearly inside."""
ON_PLANE = 1e-3
"""Cells by which a cell may lie outside a plane of the hull: its corners are cells themselves."""
RIM = 1
"""Cells by which the space between hull and solid shrinks before it is divided into hollows: a gap as thin as this
joins none."""


def doubtful(distance: Float, level: float, clearance: Float) -> Bool:
    """(X, Y, Z) cells of hollows in an answer that are to be filled.

    distance: (candidates, X, Y, Z), positive inside; with one candidate no hollow that was not seen into is believed.
    clearance: (X, Y, Z), negative where the camera saw through, as in the channel CLEARANCE of `lift`.
    """
    solid = distance.mean(axis=0) + np.float32(level) > 0
    nothing = np.zeros(solid.shape, np.bool_)
    hull = _hull(solid)
    if hull is None:
        return nothing
    empty = hull & ~solid
    parts, count = ndimage.label(ndimage.binary_erosion(empty, iterations=RIM))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = [i for i in range(1, count + 1) if sizes[i] >= LEAST * hull.sum()]
    if not large:
        return nothing
    through = clearance < 0
    apart = np.abs(distance[0] - distance[-1])
    found = nothing.copy()
    for i in large:
        part = parts == i
        agreed = len(distance) > 1 and apart[part].mean() < AGREED
        believed = agreed and (_tapered(hull) or not _opens_downwards(part, empty, hull))
        if not believed and through[part].mean() < SEEN:
            found |= part
    if not found.any():
        return nothing
    grown: Bool = ndimage.binary_dilation(found, iterations=RIM + 1) & empty & ~through
    return grown


def _tapered(hull: Bool) -> bool:
    """Whether a hull (X, Y, Z), z up, is narrower above than below."""
    areas = hull.sum(axis=(0, 1))
    levels = np.flatnonzero(areas)
    low, high = (levels[round(share * (len(levels) - 1))] for share in (NEAR_END, 1 - NEAR_END))
    return bool(areas[high] <= TAPERED * areas[low])


def _opens_downwards(part: Bool, empty: Bool, hull: Bool) -> bool:
    """Whether a hollow, one of the parts of what is empty in a hull, is the mouth of something upside down."""
    lowest = int(np.flatnonzero(hull.any(axis=(0, 1)))[0]) + RIM
    base = np.s_[:, :, lowest : lowest + 2]
    return bool(part[base].any() and empty[base].sum() >= MOUTH * hull[base].sum())


def fill(distance: Float, cells: Bool) -> Float:
    """Distances (..., X, Y, Z) that are inside at these cells; of a finer grid over the same box (X, Y, Z) too."""
    if not cells.any():
        return distance
    side = distance.shape[-1]
    nearest = ((np.arange(side) + 0.5) * cells.shape[-1] / side).astype(np.int64)
    there = cells[np.ix_(nearest, nearest, nearest)]
    filled: Float = np.where(there, np.maximum(distance, np.float32(FILLED)), distance)
    return filled


def _hull(solid: Bool) -> Bool | None:
    """The cells in the convex hull of a solid; None of one that is flat or nothing."""
    cells: Int = np.argwhere(solid & ~ndimage.binary_erosion(solid))
    if len(cells) < 4:
        return None
    try:
        planes = ConvexHull(cells).equations.astype(np.float32)
    except QhullError:
        return None
    low, high = cells.min(axis=0), cells.max(axis=0) + 1
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    x, y, z = np.ix_(*(np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)))
    inside = np.ones(high - low, np.bool_)
    # Plane by plane: a product of matrices would wake the threads of BLAS, which then turn for nothing.
    for a, b, c, d in planes:
        inside &= a * x + b * y + (c * z + d) <= ON_PLANE
    hull = np.zeros(solid.shape, np.bool_)
    hull[window] = inside
    return hull
