"""The box in which the compact model reconstructs: upright, around what was seen and what may hide behind it.

Its sides are stretched to the object's own proportions, so that a plate or a spoon gets as many samples across its
thickness as along its length. All in the view frame of one object (types.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float

MARGIN = 0.12
"""Added on each horizontal side, in terms of the visible extent along it."""
COMMON = 0.06
"""Added on each side, in terms of the longest extent: what is hidden may stick out to any side."""
DEPTH_PRIOR = 0.9
"""A thing seen from the side is taken to be this deep, in terms of the smaller of its width and height."""
THINNEST = 0.15
"""No extent is taken to be less than this share of the longest, nor than LEAST_M."""
LEAST_M = 0.01
BELOW = 0.04
"""Added below the support, in terms of the height."""
LEVELS = (0.5, 99.5)
"""Percentiles that bound the visible points: single points that were left over do not move the box."""


@dataclass(frozen=True)
class ObjectBox:
    """low: (3,) float64 m, the corner in the view frame; size: (3,) m, its sides."""

    low: Float
    size: Float

    def grid(self, side: int) -> Grid:
        """Sample points in the middles of side^3 equal cells."""
        cell = self.size / side
        return Grid(self.low + cell / 2, cell, (side, side, side))

    def unit(self, points: Float) -> Float:
        """Points (N, 3) m in coordinates of the box: -1 to 1 along each side."""
        # A row per axis: loops along the points are several times as fast as loops over three numbers.
        rows = np.ascontiguousarray(points.T)
        inside: Float = 2 * (rows - self.low[:, None]) / self.size[:, None] - 1
        return inside.T


def box_of(points: Float) -> ObjectBox:
    """The box for the visible points (N, 3) of an object, view frame, m: down to its support at z = 0."""
    low, high = np.percentile(points.astype(np.float64), LEVELS, axis=0)
    low[2], high[2] = 0.0, max(high[2], LEAST_M)
    extent = high - low
    # x points away from the camera: what is hidden lies behind.
    high[0] += max(0.0, DEPTH_PRIOR * min(extent[1], extent[2]) - extent[0])
    return box_around(low, high)


def leaves(translation: Float, scale: Float) -> bool:
    """Whether bounds, given as `box_again` takes them, stick out of the box at its sides or at its top."""
    low, high = _bounds(translation, scale)
    return bool((low[:2] < 0).any() or (high > 1).any())


def box_again(box: ObjectBox, translation: Float, scale: Float, points: Float) -> ObjectBox:
    """The box for a second look at a thing on a support: around what the first answer, asked in `box`, says of its
    bounds, and around the visible points (N, 3) m, view frame.

    translation (3,): centre of the bounds relative to that of the box, over the box's sides; scale (3,): log of the
    bounds' sides over the box's. Behind other things an object is often larger than what is seen of it.
    """
    believed_low, believed_high = (box.low + box.size * corner for corner in _bounds(translation, scale))
    seen_low, seen_high = np.percentile(points.astype(np.float64), LEVELS, axis=0)
    low, high = np.minimum(believed_low, seen_low), np.maximum(believed_high, seen_high)
    low[2], high[2] = 0.0, max(high[2], LEAST_M)
    return box_around(low, high)


def _bounds(translation: Float, scale: Float) -> tuple[Float, Float]:
    """Low and high corner (3,) of bounds, from the box's low corner on in terms of its sides."""
    half = np.exp(scale) / 2
    return 0.5 + translation - half, 0.5 + translation + half


def box_around(low: Float, high: Float) -> ObjectBox:
    """The box of a thing that stands at z = 0 and whose bounds are believed to be low, high (3,) m, view frame: no side
    too thin, margins."""
    extent = high - low
    longest = max(float(extent.max()), LEAST_M)
    least = max(THINNEST * longest, LEAST_M)
    missing = np.maximum(least - extent, 0.0)
    low = low - missing * np.array([0.5, 0.5, 0.0])
    high = high + missing * np.array([0.5, 0.5, 1.0])
    extent = high - low
    margin = MARGIN * extent + COMMON * longest
    low = low - margin
    high = high + margin
    low[2] = -BELOW * extent[2] - 0.002
    return ObjectBox(low, high - low)
