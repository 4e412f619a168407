"""What the objects stand on: the plane under them, its normal for 'up' and its height per object.

Everything works on a grid of about 160x120 points of the image: a plane needs no more, and time stays in
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sam3d_ros.perception import frames
from sam3d_ros.perception.masks import from_edge
from sam3d_ros.types import Bool, Float, InputError, Int, Mask, Support, UpSource

GRID_POINTS = 160 * 120
HYPOTHESES = 384
SAMPLE = 1500
"""Points that score a hypothesis; as many at most of the objects."""
GRAVITY_BOUND = np.cos(np.radians(15))
"""A support is level to this, as far as gravity is known."""
CAMERA_BOUND = np.cos(np.radians(110))
"""Without gravity the camera may roll or look straight down, but is not upside down."""
REST_M = 0.03
"""An object rests on a plane if points of it lie this near; its foot may be hidden or cut off by the mask."""
FACING = np.cos(np.radians(30))
HIDDEN_M = 0.3
"""Seen from so straight above, objects up to this height hide their sides and seem to float above their
support."""
MIN_INLIERS = 60
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
CAMERA_UP: Float = np.array([0.0, -1.0, 0.0])


def depth_sigma(z: Float) -> Float:
    """Axial noise in m of a structured-light or stereo camera at depth `z`, m (Nguyen et al. 2012)."""
    return 0.0012 + 0.0019 * (z - 0.4) ** 2


def find_support(points_cam: Float, occupied: Bool, up_hint: Float | None) -> Support:
    """The dominant plane under the objects, in the optical frame.

    points_cam: (H, W, 3) m, NaN where unknown. occupied: (H, W) bool, union of all masks. up_hint: (3,)
    against gravity, any length, or None. The plane faces the camera, objects are on or above it and at
    least one rests on it, so a wall or the floor behind a table is not taken for it; its normal is within
    15 degrees of the hint, or, without one, in the half of directions that the camera calls up. Points
    around the masks count most.

    Where there is no such plane: the hint, or the top of the image, with offset None. Deterministic. Raises
    InputError for sizes that do not match and a hint without direction.
    """
    if points_cam.ndim != 3 or points_cam.shape[2] != 3 or points_cam.shape[:2] != occupied.shape:
        raise InputError(f"points {points_cam.shape} and masks {occupied.shape} do not match")
    up = None if up_hint is None else _unit(up_hint)
    scene = _scene(points_cam, occupied)
    plane = None if scene is None else _search(scene, up)
    if plane is not None:
        return plane
    if up is not None:
        return Support(up, None, UpSource.GRAVITY)
    return Support(CAMERA_UP.copy(), None, UpSource.CAMERA)


def _unit(vector: Float) -> Float:
    up = np.asarray(vector, np.float64)
    norm = float(np.linalg.norm(up))
    if up.shape != (3,) or not 1e-9 < norm < np.inf:
        raise InputError(f"up hint {up.tolist()} is no direction")
    return up / norm


@dataclass(frozen=True)
class _Scene:
    """The grid: free (F, 3) points outside of all masks with weights (F,) and tolerances (F,); grid index
    (h, w) into free, -1 elsewhere; object (O, 3) points with tolerances (O,) and component one-hot (O,
    C)."""

    free: Float
    weight: Float
    tolerance: Float
    index: Int
    objects: Float
    object_tolerance: Float
    starts: Int


def _scene(points_cam: Float, occupied: Bool) -> _Scene | None:
    """Thin out the image; None with too few points for a plane."""
    step = max(1, round(float(np.sqrt(occupied.size / GRID_POINTS))))
    grid = np.ascontiguousarray(points_cam[::step, ::step], np.float32)
    inside = occupied[::step, ::step].astype(np.uint8)
    known = np.isfinite(grid).all(axis=2) & (grid[..., 2] > 0)
    near_mask = cv2.dilate(inside, np.ones((3, 3), np.uint8)).astype(bool)
    free = known & ~near_mask
    count = int(free.sum())
    if count < MIN_INLIERS:
        return None
    # Weight falls to a half at a sixteenth of the image width from the masks.
    reach = grid.shape[1] / 16
    gap = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3) if inside.any() else np.zeros(inside.shape)
    points = grid[free]
    index = np.full(free.shape, -1, np.int64)
    index[free] = np.arange(count)

    _, labels = cv2.connectedComponents(inside)
    solid = known & (labels > 0)
    objects, label = grid[solid], labels[solid]
    thin = max(1, len(objects) // SAMPLE)
    objects, label = objects[::thin], label[::thin]
    whole = np.bincount(label)[label] >= 4 if len(label) else np.zeros(0, bool)
    order = np.flatnonzero(whole)[np.argsort(label[whole], kind="stable")]
    objects, label = objects[order], label[order]
    return _Scene(
        points,
        (1 / (1 + (gap[free] / reach) ** 2)).astype(np.float32),
        3 * depth_sigma(points[:, 2]),
        index,
        objects,
        3 * depth_sigma(objects[:, 2]),
        np.flatnonzero(np.diff(label, prepend=-1)),
    )


def _search(scene: _Scene, up: Float | None) -> Support | None:
    """RANSAC: many small triangles, the best five refined, the best of those refined on all points."""
    rng = np.random.default_rng(0)
    # A weighted sample without replacement (Efraimidis and Spirakis): the largest keys.
    keys = rng.random(len(scene.free)) ** (1 / scene.weight)
    size = min(SAMPLE, len(keys))
    chosen = np.sort(np.argpartition(keys, -size)[-size:])
    planes = _admissible(_triangles(scene, chosen, rng), up)
    if up is not None:  # level planes through single points
        some = scene.free[rng.choice(chosen, min(64, size), replace=False)].astype(np.float64)
        level = np.column_stack([np.broadcast_to(up, some.shape), some @ up])
        planes = np.concatenate([planes, _admissible(level, up)])
    if not len(planes):
        return None
    best = np.argsort(-_rate(planes, scene, chosen, up), kind="stable")[:5]
    refined = [_refine(plane, scene, chosen) for plane in planes[best]]
    planes = _admissible(np.array([plane for plane in refined if plane is not None]).reshape(-1, 4), up)
    if not len(planes):
        return None
    best_plane = planes[int(np.argmax(_rate(planes, scene, chosen, up)))]
    plane = _refine(best_plane, scene, np.arange(len(scene.free)))
    if plane is None or not len(_admissible(plane[None], up)):
        return None
    resting, below = _contact(plane[None], scene)
    if resting[0] == 0 or below[0] > 0.2:
        return None
    residual = scene.free @ plane[:3] - plane[3]
    inlier = np.abs(residual) < scene.tolerance
    if not _is_surface(inlier, scene):
        return None
    rmse = float(np.sqrt(np.mean(residual[inlier] ** 2)))
    return Support(plane[:3], float(plane[3]), UpSource.SUPPORT_PLANE, rmse)


def _triangles(scene: _Scene, chosen: Int, rng: np.random.Generator) -> Float:
    """(M, 4) planes (normal towards the camera, offset) through points near each other in the image."""
    rows, columns = np.nonzero(scene.index >= 0)
    pivot = rng.choice(chosen, HYPOTHESES)
    h, w = scene.index.shape
    reach = max(4, w // 10)
    shift = rng.integers(-reach, reach + 1, (2, 2, HYPOTHESES))
    v, u = rows[pivot] + shift[0], columns[pivot] + shift[1]
    inside = (v >= 0) & (v < h) & (u >= 0) & (u < w)
    other = np.where(inside, scene.index[np.clip(v, 0, h - 1), np.clip(u, 0, w - 1)], -1)
    good = (other >= 0).all(axis=0)
    a = scene.free[pivot[good]].astype(np.float64)
    b, c = (scene.free[o[good]].astype(np.float64) for o in other)
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    wide = area > 1e-4  # square metres: a centimetre by a centimetre
    normal, a = normal[wide] / area[wide, None], a[wide]
    offset = (normal * a).sum(axis=1)
    towards = np.where(offset > 0, -1.0, 1.0)  # the camera is at the origin, above what it sees
    return np.column_stack([normal * towards[:, None], offset * towards])


def _admissible(planes: Float, up: Float | None) -> Float:
    """Those (M, 4) planes whose normal is near enough to up and that the camera sees from above."""
    level = planes[:, :3] @ up > GRAVITY_BOUND if up is not None else planes[:, :3] @ CAMERA_UP > CAMERA_BOUND
    kept: Float = planes[level & (planes[:, 3] < 0)]
    return kept


def _contact(planes: Float, scene: _Scene) -> tuple[Float, Float]:
    """How the objects stand on (M, 4) planes: (M,) mean over them of 1 where one rests on it and 1/4 where it
    may, and (M,) mean share of points that are below it.

    One that seems to float may rest on a plane that the camera faces: from above its sides are hidden.
    """
    if not len(scene.starts):
        return np.ones(len(planes)), np.zeros(len(planes))
    normals, offsets = planes[:, :3].astype(np.float32), planes[:, 3].astype(np.float32)
    height = scene.objects @ normals.T - offsets
    slack = scene.object_tolerance[:, None].astype(np.float32)
    total = np.diff(scene.starts, append=len(height))[:, None]
    below = np.add.reduceat(height < -slack - 0.01, scene.starts, axis=0, dtype=np.float32) / total
    near = np.add.reduceat(np.abs(height) < slack + REST_M, scene.starts, axis=0, dtype=np.float32)
    resting = (near >= np.maximum(2, 0.01 * total)) & (below < 0.2)
    gap = np.minimum.reduceat(height, scene.starts, axis=0)
    middle = np.add.reduceat(scene.objects, scene.starts, axis=0) / total
    perhaps = _faced(middle, normals.T) & (gap < HIDDEN_M)
    return np.where(resting, 1.0, 0.25 * perhaps).mean(axis=0), below.mean(axis=0)


def _faced(points: Float, ups: Float) -> Bool:
    """Whether the camera looks at points (..., 3) from straight above, nearly, where up is one of `ups` (3, ...)."""
    faced: Bool = -(points / np.linalg.norm(points, axis=-1, keepdims=True)) @ ups > FACING
    return faced


def _rate(planes: Float, scene: _Scene, chosen: Int, up: Float | None) -> Float:
    """(M,) scores: truncated squared distances of the sample (MSAC), times how well the objects stand on
    the plane, times how much it looks like a floor to a camera that is held upright."""
    points, slack = scene.free[chosen], scene.tolerance[chosen]
    distance = points @ planes[:, :3].T.astype(np.float32) - planes[:, 3].astype(np.float32)
    distance /= slack[:, None].astype(np.float32)
    support = np.maximum(0, 1 - distance * distance).sum(axis=0)
    resting, _ = _contact(planes, scene)
    upright = 1.0 if up is not None else (0.5 + 0.5 * (planes[:, :3] @ CAMERA_UP)) ** 2
    score: Float = support * (0.05 + resting) * upright
    return score


def _refine(plane: Float, scene: _Scene, chosen: Int) -> Float | None:
    """Least squares on inliers, three times; (4,) or None where they do not span a plane."""
    points, slack = scene.free[chosen].astype(np.float64), scene.tolerance[chosen]
    weight = scene.weight[chosen] / slack**2
    for widening in (1.5, 1.0, 1.0):
        inlier = np.abs(points @ plane[:3] - plane[3]) < widening * slack
        if inlier.sum() < MIN_INLIERS // 2:
            return None
        w = weight[inlier] / weight[inlier].sum()
        centre = w @ points[inlier]
        spread = points[inlier] - centre
        values, vectors = np.linalg.eigh((spread * w[:, None]).T @ spread)
        if values[1] < 0.01**2:  # a line, a centimetre wide
            return None
        normal = vectors[:, 0] * (1 if vectors[:, 0] @ plane[:3] > 0 else -1)
        plane = np.append(normal, normal @ centre)
    return plane


def _is_surface(inlier: Bool, scene: _Scene) -> bool:
    """Whether the neighbours in the image of points (F,) on a plane are mostly on it too.

    A plane cuts any cloud of points somewhere, but what it cuts out of clutter lies scattered among the rest.
    """
    known = (scene.index >= 0).astype(np.float32)
    on_plane = np.zeros_like(known)
    on_plane[scene.index >= 0] = inlier
    share = cv2.boxFilter(on_plane, -1, (3, 3)) / np.maximum(cv2.boxFilter(known, -1, (3, 3)), 1e-6)
    dense = int(np.count_nonzero(share[on_plane > 0] > 0.5))
    return dense > max(MIN_INLIERS, 0.5 * int(np.count_nonzero(inlier)))


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
    if _faced(middle, up):
        return bool(clear.mean() > CLEAR)
    away = frames.view_frame(up, middle)[:3, 0]
    front = float(np.percentile(inside @ away, 2)) + FRONT_M
    touches = float(np.percentile(heights, 2)) - level < TOUCHES
    return touches and bool((carrying @ away > front).mean() > BESIDE)
