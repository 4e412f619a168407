"""What the camera saw of one object: clean points, colours and the upright frame they are looked at in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, sparse  # type: ignore[import-untyped]
from scipy.sparse import csgraph  # type: ignore[import-untyped]
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.perception import frames
from sam3d_ros.perception.level import support_for_object
from sam3d_ros.perception.masks import MaskLimits, from_edge, roi_of
from sam3d_ros.perception.support import depth_sigma
from sam3d_ros.types import Bool, Camera, Float, Frame, Int, Mask, ObjectView, RejectCode, Rejected, Support

GREY = 128
"""The colour of points where the camera has none."""
RIM = 1 / 80
"""Pixels at the edge of a mask that may be of something else, in widths of the picture; four at least. Chosen on 95
views with true masks, ragged ones, and ones that were closed and grown by four pixels (docs/evaluation.md)."""
THIN = 0.6
"""In terms of how far the largest part reaches into the mask: thin things lie within that rim altogether."""
SMALL = 0.02
"""Share of an object's points below which a part is a crumb,"""
LEAST = 3
"""pixels that it has at least: single ones fly between two surfaces,"""
CRUMB_M = 0.015
"""and side in m of the cells that, where they touch, make it hang together with others; chosen with the rim."""
MOST_CELLS = 48
"""Along the object: those of furniture, which is rejected later, are wider."""


def object_view(
    frame: Frame, mask: Mask, support: Support, limits: MaskLimits, occupied: Bool
) -> ObjectView | Rejected:
    """Collect the points of `mask` that belong to the object. `support` is that of the scene, `occupied` (H, W) the
    pixels of all its masks.

    Left out are points out of the range of `limits`, flying pixels between two surfaces, parts far from the
    main one (background seen past the edge of the mask or through a handle) and the rim of support
    that a rough mask takes along. The mask is not eroded: thin objects keep their pixels. Expects a mask
    that `check_mask` let pass.

    The view frame stands on the support of this object, which may be another level than that of the scene;
    without any at the height of its lowest points.
    """

    def reject(code: RejectCode, reason: str) -> Rejected:
        return Rejected(mask.index, code, reason, mask.label)

    roi = roi_of(mask)
    if roi.width == 0:
        return reject(RejectCode.EMPTY_MASK, "the mask has no pixels")
    # One pixel more on each side: whether a rim pixel flies shows only beside the mask.
    x0, y0 = max(0, roi.x - 1), max(0, roi.y - 1)
    window = np.s_[y0 : roi.y + roi.height + 1, x0 : roi.x + roi.width + 1]
    points, pixels = frame.points_cam[window], mask.pixels[window]
    z = points[..., 2]
    with np.errstate(invalid="ignore"):
        seen = pixels & (z >= limits.min_depth) & (z <= limits.max_depth)
    total = int(seen.sum())
    seen = seen & ~_flying(z)
    own = support_for_object(frame.points_cam, mask, support)
    seen = _own_parts(points, seen, pixels, own, frame.camera)
    seen = _without_rim(points, seen, pixels, own)
    cloud = points[seen]
    if len(cloud) < limits.min_points:
        return reject(
            RejectCode.DEGENERATE,
            f"{len(cloud)} of {total} points are left without flying pixels and background, "
            f"{limits.min_points} are needed",
        )
    # Percentiles: single points that were left over do not move the frame.
    T_up = frames.view_frame(own.up_cam, np.median(cloud, axis=0))
    upright = cloud @ T_up[:3, :3]
    low, high = np.percentile(upright, [0.5, 99.5], axis=0)
    extent = high - low
    if extent.max() > limits.max_size:
        return reject(RejectCode.TOO_LARGE, f"{extent.max():.2f} m long, {limits.max_size:g} m are allowed")
    if extent.max() < 2e-3:
        return reject(RejectCode.DEGENERATE, f"all points lie within {1000 * extent.max():.1f} mm")
    middle = 0.5 * (low + high)
    middle[2] = low[2] if own.offset is None else own.offset
    T_cam_view = frames.view_frame(own.up_cam, T_up[:3, :3] @ middle)
    colors = np.full((len(cloud), 3), GREY, np.uint8) if frame.rgb is None else frame.rgb[window][seen]
    return ObjectView(mask, roi, np.ascontiguousarray(cloud, np.float32), colors, own, T_cam_view, occupied)


def _jump(z: Float) -> Float:
    """Difference in depth, m, between neighbouring pixels above which they are on two surfaces."""
    return 0.008 + 6 * depth_sigma(z)


def _flying(z: Float) -> Bool:
    """(h, w) bool: pixels between a nearer and a farther surface, a jump from each, in a row or a column.

    The sensor averages over the edge of an object there; nothing real is at that depth.
    """
    step = _jump(z)
    flying = np.zeros(z.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        for axis in (0, 1):
            ahead = np.diff(z, axis=axis)
            middle = np.s_[1:-1] if axis == 0 else np.s_[:, 1:-1]
            before = ahead[:-1] if axis == 0 else ahead[:, :-1]
            after = ahead[1:] if axis == 0 else ahead[:, 1:]
            limit = step[middle]
            flying[middle] |= ((before > limit) & (after > limit)) | ((before < -limit) & (after < -limit))
    return flying


def _own_parts(points: Float, seen: Bool, pixels: Bool, support: Support, camera: Camera) -> Bool:
    """`seen` without parts that a jump in depth separates from the largest one and that are far from it, or what a
    rough mask takes along.

    An occluder may cut an object in two, and where a sensor has gaps a goblet comes as foot and cup. So a part with
    SMALL of the points stays if its depth is within the range of the largest part, widened by half the width of all (at
    least 3 cm). At another depth it stays if it reaches into the mask, beyond the rim where masks err, does not lie on
    the support, and is no farther from the largest part than the mask is long. Smaller ones: `_with_crumbs`.
    """
    label, sizes = _depth_components(points[..., 2], seen)
    if len(sizes) < 2:
        return seen
    flat = points[seen]
    main = int(np.argmax(sizes))
    order = np.argsort(label, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    core = flat[label == main]
    low, high = np.percentile(core, [2, 98], axis=0)
    margin = max(0.03, 0.5 * float((high - low)[:2].max()))
    lying = np.bincount(label, _on_support(flat, support)) > 0.5 * sizes
    small = sizes < max(LEAST, SMALL * len(flat))
    keep = ~small
    parts = {i: order[starts[i] : starts[i] + sizes[i]] for i in np.flatnonzero(keep)}
    elsewhere = [
        i for i, own in parts.items() if not low[2] - margin < np.median(flat[own, 2]) < high[2] + margin
    ]
    if elsewhere:
        inwards, tree = from_edge(pixels)[seen], cKDTree(core)
        rim = min(max(4.0, RIM * camera.width), THIN * float(inwards[label == main].max()))
        length = max(pixels.shape) * float(np.median(core[:, 2])) / camera.fx
        for i in elsewhere:
            own = parts[i]
            keep[i] = inwards[own].max() > rim and not lying[i] and tree.query(flat[own])[0].min() < length
    keep[main] = True
    crumbs = small & ~keep & ~lying & (sizes >= LEAST)
    kept = seen.copy()
    kept[seen] = (_with_crumbs(flat, label, keep, crumbs) if crumbs.any() else keep)[label]
    return kept


def _with_crumbs(flat: Float, label: Int, keep: Bool, crumbs: Bool) -> Bool:
    """(C,) parts to keep and, of the `crumbs`, those that hang together with them, be it by way of other crumbs, no
    farther away than what is kept is long: of a side that it looks along, a camera measures only some pixels. flat,
    label: (N, 3) m and (N,) part of each point."""
    core = flat[keep[label]]
    low, high = core.min(axis=0), core.max(axis=0)
    length = float((high - low).max())
    side = max(CRUMB_M, length / MOST_CELLS)
    cell = np.floor((flat - (low - length)) / side)
    shape = np.ceil((high - low + 2 * length) / side).astype(np.int64) + 1
    near = (keep | crumbs)[label] & (cell >= 0).all(axis=1) & (cell < shape).all(axis=1)
    number = np.ravel_multi_index(tuple(cell[near].T.astype(np.int64)), tuple(shape))
    held = np.zeros(shape, bool)
    held.ravel()[number] = True
    heaps, count = ndimage.label(held, np.ones((3, 3, 3)))
    heap, part = heaps.ravel()[number], label[near]
    with_kept = np.zeros(count + 1, bool)
    with_kept[heap[keep[part]]] = True
    kept = keep.copy()
    kept[part[with_kept[heap]]] = True
    return kept


def _on_support(points: Float, support: Support) -> Bool:
    """(N,) which of points (N, 3) m may be on the support."""
    if support.offset is None:
        return np.zeros(len(points), bool)
    on: Bool = np.abs(points @ support.up_cam - support.offset) < _slack(points)
    return on


def _slack(points: Float) -> Float:
    """Height in m within which points (..., 3) may be on the support."""
    return 2.5 * depth_sigma(points[..., 2])


def _depth_components(z: Float, seen: Bool) -> tuple[Int, Int]:
    """Components of pixels that touch (4 neighbours) without a jump: (N,) labels of the seen pixels, (C,)
    sizes."""
    count = int(seen.sum())
    number = np.zeros(seen.shape, np.int32)
    number[seen] = np.arange(count, dtype=np.int32)
    step = _jump(z)
    starts, ends = [], []
    with np.errstate(invalid="ignore"):
        for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
            joined = seen[a] & seen[b] & (np.abs(z[a] - z[b]) < step[a])
            starts.append(number[a][joined])
            ends.append(number[b][joined])
    i, j = np.concatenate(starts), np.concatenate(ends)
    graph = sparse.coo_array((np.ones(len(i), np.bool_), (i, j)), shape=(count, count))
    _, label = csgraph.connected_components(graph, directed=False)
    return label, np.bincount(label)


def _without_rim(points: Float, seen: Bool, pixels: Bool, support: Support) -> Bool:
    """`seen` without points of the support near the edge of the mask, where the object clearly rises above
    it.

    A flat object, and the flat inside of a plate, stay whole.
    """
    if support.offset is None or not seen.any():
        return seen
    with np.errstate(invalid="ignore"):  # a sensor's inf
        height = points @ support.up_cam - support.offset
    slack = _slack(points)
    if float(np.percentile(height[seen], 95)) < 4 * float(np.median(slack[seen])):
        return seen
    rim = max(3, round(0.01 * max(pixels.shape)))
    edge = from_edge(pixels) <= rim
    with np.errstate(invalid="ignore"):
        kept: Bool = seen & ~(edge & (np.abs(height) < slack))
    return kept
