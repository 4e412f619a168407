"""On which level one object stands: on a shelf, a box or a step the plane of the scene is not the one under it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from sam3d_ros.perception import frames
from sam3d_ros.perception.masks import from_edge
from sam3d_ros.perception.support import depth_sigma, faced
from sam3d_ros.types import Bool, Float, Mask, Support, UpSource

SUNK = 0.015
"""Share of an object's points that may be below the level it stands on: noise, and what a mask takes along."""
TOUCHES = 0.025
"""m over a level up to which an object that is seen from the side touches it, the rim of its mask left out."""
FRONT_M = 0.005
BESIDE = 0.2
"""Share of a level that lies farther than the front of the object, by FRONT_M at least: what carries a thing is seen
beside it too, what it stands behind is not."""
RIM = 1 / 160
"""Width in terms of the image's of a rim inside a mask that may show what is behind or under the object, and of one
around it where the depth may be the object's;"""
THIN = 0.5
"""the inner one in terms of how far a thing's middle is from its edge too."""
CLEAR = 0.1
"""Share of a level under an object seen from straight above that is seen beyond the outer rim."""


def support_for_object(points_cam: Float, mask: Mask, support: Support) -> Support:
    """The support under this one object: the same up, and another offset where it stands on another level.

    On a shelf, a box or a step the plane of the scene is not the one under the object. The level is the
    height at which most points right beside the mask lie, among those between 6 cm below and 2 cm above the
    object's lowest points. Vertical neighbours spread over all heights and do not count as a level, nor do depths of
    the object itself around its mask, nor the top of another thing that it reaches below or, seen from the side, does
    not touch or merely stands behind.
    `support` comes back as it is where up is only the camera's, the level is within a centimetre of it, or
    no level is seen.
    """
    if support.source is UpSource.CAMERA:
        return support
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask.pixels).view(np.uint8))
    margin = max(6, mask.pixels.shape[1] // 40)
    window = np.s_[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]
    pixels = mask.pixels[window]
    points = points_cam[window]
    known = np.isfinite(points[..., 2])  # all three or none are known
    inwards = from_edge(pixels)
    rim = RIM * mask.pixels.shape[1]
    inside = points[(inwards > min(rim, THIN * float(inwards.max()))) & known]
    outwards = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, 3)
    around = (outwards > 0) & (outwards <= margin) & known
    beside, clear = points[around], outwards[around] > rim
    if len(inside) < 10 or not len(beside):
        return support
    up = support.up_cam
    low = float(np.percentile(inside @ up, 2))
    # Level distance of the points beside to the box around the object.
    across = np.linalg.svd(up[None])[2][1:]  # two level axes
    # A row per axis: loops along the points are several times as fast as loops over two numbers.
    plan, plan_inside = (np.ascontiguousarray((points @ across.T).T) for points in (beside, inside))
    low_edge, high_edge = (edge[:, None] for edge in (plan_inside.min(axis=1), plan_inside.max(axis=1)))
    outside = np.maximum(low_edge - plan, plan - high_edge).max(axis=0)
    heights = beside @ up
    near = np.sort(heights[outside < 0.05])
    near = near[(near > low - 0.06) & (near < low + 0.02)]
    if len(near) < 25:
        return support
    slack = 2 * float(np.median(depth_sigma(inside[:, 2])))
    ends = np.searchsorted(near, near + 2 * slack)
    counts = ends - np.arange(len(near))
    start = int(np.argmax(counts))
    level = float(np.median(near[start : ends[start]]))
    if counts[start] < max(25, 0.4 * len(near)):
        return support
    if support.offset is not None and abs(level - support.offset) < 0.01:
        return support
    at_level = np.abs(heights - level) < slack
    if _carries(level, slack, inside, beside[at_level], clear[at_level], up):
        return replace(support, offset=level)
    return support


def _carries(level: float, slack: float, inside: Float, carrying: Float, clear: Bool, up: Float) -> bool:
    """Whether an object stands on a level, m along up, to within `slack` m. inside, carrying: (N, 3), (M, 3) m, points
    of the object and of the level right beside it; clear: (M,) which of those lie beyond the rim around the mask.

    From straight above only the top of a tall object is seen, and depths of that leak out of its mask.

    The top of something that stands before the object has the object's visible part right above it in the image too.
    But behind its edge the camera sees further down, and it is not seen at the object's sides.
    """
    heights = inside @ up
    if (heights < level - slack).mean() > SUNK:
        return False
    middle = inside.mean(axis=0)
    if faced(middle, up):
        return bool(clear.mean() > CLEAR)
    away = frames.view_frame(up, middle)[:3, 0]
    front = float(np.percentile(inside @ away, 2)) + FRONT_M
    touches = float(np.percentile(heights, 2)) - level < TOUCHES
    return touches and bool((carrying @ away > front).mean() > BESIDE)
