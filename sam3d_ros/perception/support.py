"""What the objects of a scene stand on: the plane under them, and its normal for 'up'.

Everything works on a grid of about 160x120 points of the image: a plane needs no more, and time stays in
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sam3d_ros.perception import frames
from sam3d_ros.types import Bool, Float, InputError, Int, Support, UpSource

GRID_POINTS = 160 * 120
HYPOTHESES = 384
SAMPLE = 1500
"""Points that score a hypothesis; as many at most of the objects."""
GRAVITY_BOUND = np.cos(np.radians(15))
"""A support is level to this, as far as gravity is known."""
TILT = np.radians(4)
"""Standard deviation of a support's normal from what is known of up."""
CAMERA_BOUND = np.cos(np.radians(110))
"""Without gravity the camera may roll or look straight down, but is not upside down."""
REST_M = 0.03
"""An object rests on a plane if points of it lie this near; its foot may be hidden or cut off by the mask."""
FACING = np.cos(np.radians(30))
HIDDEN_M = 0.3
"""Seen from so straight above, objects up to this height hide their sides and seem to float above their
support."""
MIN_INLIERS = 60
CAMERA_UP: Float = np.array([0.0, -1.0, 0.0])
LOOKS_DOWN = np.radians(35)
"""What a camera does of which nothing is known: between those that look across a table and those that look onto it."""
FLOORLIKE = np.cos(np.radians(75))
"""Without gravity a large plane may be a wall, unless its normal is this near to the top of the image."""
LARGE = 0.3
"""Share of what is seen outside of the masks."""
HOVERS_M = 0.15
"""Up to this height over a plane that nothing touches objects stand on it all the same, on feet that gave no depth."""


def depth_sigma(z: Float) -> Float:
    """Axial noise in m of a structured-light or stereo camera at depth `z`, m (Nguyen et al. 2012)."""
    return 0.0012 + 0.0019 * (z - 0.4) ** 2


def find_support(points_cam: Float, occupied: Bool, up_hint: Float | None) -> Support:
    """The dominant plane under the objects, in the optical frame.

    points_cam: (H, W, 3) m, NaN where unknown. occupied: (H, W) bool, union of all masks. up_hint: (3,)
    against gravity, any length, or None. The plane faces the camera, objects are on or above it, and at least one rests
    on it or ends little above it, so a wall or the floor behind a table is not taken for it. Its normal is near the
    hint, 15 degrees at most, or, without one, near that of the largest surface that looks like a floor, or else in the
    half of directions that the camera calls up. Points around the masks count most.

    Where there is no such plane: the hint, or the normal of that floor, or up for a camera that looks down as most do,
    with offset None. Deterministic. Raises InputError for sizes that do not match and a hint without direction.
    """
    if points_cam.ndim != 3 or points_cam.shape[2] != 3 or points_cam.shape[:2] != occupied.shape:
        raise InputError(f"points {points_cam.shape} and masks {occupied.shape} do not match")
    up = None if up_hint is None else _unit(up_hint)
    scene = _scene(points_cam, occupied)
    if scene is not None:
        level = _floor(scene) if up is None else up
        if (plane := _search(scene, level)) is not None:
            return plane
        if up is None and level is not None:
            return Support(level, None, UpSource.SUPPORT_PLANE)
    if up is not None:
        return Support(up, None, UpSource.GRAVITY)
    return Support(frames.up_cam_from_pitch(LOOKS_DOWN), None, UpSource.CAMERA)


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
    untouched = resting[0] == 0
    if below[0] > 0.2 or (untouched and up is None):
        return None
    residual = scene.free @ plane[:3] - plane[3]
    inlier = np.abs(residual) < scene.tolerance
    if not _is_surface(inlier, scene):
        return None
    rmse = float(np.sqrt(np.mean(residual[inlier] ** 2)))
    # What is far above stands on something else (a crate without a mask, a table of glass): this only says what is up.
    offset = None if untouched and _hover(plane, scene) else float(plane[3])
    return Support(plane[:3], offset, UpSource.SUPPORT_PLANE, rmse)


def _hover(plane: Float, scene: _Scene) -> bool:
    """Whether the objects end too far above a plane (4,) to stand on it with feet that gave no depth."""
    return float(np.percentile(scene.objects @ plane[:3], 2)) - float(plane[3]) >= HOVERS_M


def _floor(scene: _Scene) -> Float | None:
    """(3,) the way up that the largest surface tells which may be a floor to an upright camera, whether objects stand
    on it or not; None where that is small. What objects stand on is level like it."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(scene.free), min(SAMPLE, len(scene.free)), replace=False))
    planes = _within(_triangles(scene, chosen, rng), CAMERA_UP, FLOORLIKE)
    if not len(planes):
        return None
    # What is far from the masks counts as much.
    even = replace(scene, weight=np.ones_like(scene.weight))
    plane = _refine(planes[int(np.argmax(_near(planes, scene, chosen)))], even, chosen)
    if plane is None:
        return None
    inlier = np.abs(scene.free @ plane[:3] - plane[3]) < scene.tolerance
    up: Float = plane[:3]
    return up if inlier.mean() > LARGE and _is_surface(inlier, scene) else None


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
    return _within(planes, CAMERA_UP, CAMERA_BOUND) if up is None else _within(planes, up, GRAVITY_BOUND)


def _within(planes: Float, up: Float, bound: float) -> Float:
    """Those (M, 4) planes that the camera sees from above, nearer to `up` (3,) than the cosine `bound` says."""
    kept: Float = planes[(planes[:, :3] @ up > bound) & (planes[:, 3] < 0)]
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
    perhaps = faced(middle, normals.T) & (gap < HIDDEN_M)
    return np.where(resting, 1.0, 0.25 * perhaps).mean(axis=0), below.mean(axis=0)


def faced(points: Float, ups: Float) -> Bool:
    """Whether the camera looks at points (..., 3) from straight above, nearly, where up is one of `ups` (3, ...)."""
    faced: Bool = -(points / np.linalg.norm(points, axis=-1, keepdims=True)) @ ups > FACING
    return faced


def _rate(planes: Float, scene: _Scene, chosen: Int, up: Float | None) -> Float:
    """(M,) scores: how much of the sample is near, times how well the objects stand on the plane, times how level it
    is."""
    resting, _ = _contact(planes, scene)
    score: Float = _near(planes, scene, chosen) * (0.05 + resting) * _level(planes, up)
    return score


def _level(planes: Float, up: Float | None) -> Float:
    """(M,) how level planes (M, 4) are, 0..1, beside an up that may be a few degrees off, or as the camera sees it: a
    tilted one through the edge of a crate touches what stands on it too."""
    if up is None:
        upright: Float = (0.5 + 0.5 * (planes[:, :3] @ CAMERA_UP)) ** 2
        return upright
    tilt = np.arccos(np.clip(planes[:, :3] @ up, -1, 1))
    level: Float = np.exp(-0.5 * (tilt / TILT) ** 2)
    return level


def _near(planes: Float, scene: _Scene, chosen: Int) -> Float:
    """(M,) truncated squared distances of the sample to (M, 4) planes, 1 for a point on one (MSAC)."""
    points, slack = scene.free[chosen], scene.tolerance[chosen]
    distance = points @ planes[:, :3].T.astype(np.float32) - planes[:, 3].astype(np.float32)
    distance /= slack[:, None].astype(np.float32)
    near: Float = np.maximum(0, 1 - distance * distance).sum(axis=0)
    return near


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
