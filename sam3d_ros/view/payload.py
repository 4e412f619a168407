"""A page's frame as JSON. All coordinates leave here in the frame `view`: z up, x away from the camera, y to
the left, origin in the middle of what is to be seen (`frames.view_frame`). The page itself changes no axes.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from sam3d_ros.perception import frames
from sam3d_ros.types import Bool, Camera, Float, InputError, Reconstruction, UInt8
from sam3d_ros.view.arrays import Json, pack, pack_mesh, pack_points
from sam3d_ros.view.content import PageFrame, PageObject, PosedMesh

# One colour per object, distinct from each other on white and on black; text is never written in them.
PALETTE = ("#e4572e", "#2e86de", "#17a673", "#f2a90f", "#9b5de5",
           "#00a8b5", "#e0529c", "#8a9a1b", "#6c7bff", "#b9733a")  # fmt: skip


def frame_payload(frame: PageFrame, max_points: int) -> Json:
    """What the page's script needs of one frame; every value is finite and JSON's own.

    Raises InputError where the parts of the frame do not fit together.
    """
    _check(frame)
    center_cam, radius = _focus(frame)
    T_cam_view = frames.view_frame(_up(frame), center_cam)
    T_view_cam = frames.inverse(T_cam_view)
    columns = list(dict.fromkeys(name for o in frame.objects for name in o.columns))
    colors = _colors(frame)
    picture_shape = None if colors is None else colors.shape[:2]
    return {
        "name": frame.name,
        "radius": radius,
        "floor": _floor(frame.objects, T_view_cam),
        "picture": None if colors is None else _picture(frame, colors),
        "camera": None if frame.camera is None else _camera(frame.camera, T_view_cam, radius),
        "points": None if colors is None else _points(frame, colors, T_view_cam, max_points),
        "columns": columns,
        "objects": [
            _object(o, color, T_view_cam, columns, picture_shape)
            for o, color in zip(frame.objects, itertools.cycle(PALETTE), strict=False)
        ],
        "rejected": [
            [str(r.mask_index), r.label, r.code.name.lower().replace("_", " "), r.reason]
            for r in frame.rejected
        ],
    }


def _check(frame: PageFrame) -> None:
    shapes = {
        "rgb": None if frame.rgb is None else frame.rgb.shape[:2],
        "points_cam": None if frame.points_cam is None else frame.points_cam.shape[:2],
        "camera": None if frame.camera is None else (frame.camera.height, frame.camera.width),
    }
    given = {name: shape for name, shape in shapes.items() if shape is not None}
    if len(set(given.values())) > 1 or (0 in itertools.chain(*given.values())):
        raise InputError(f"frame '{frame.name}': heights and widths must be the same and not 0, not {given}")
    if len({o.id for o in frame.objects}) < len(frame.objects):
        raise InputError(f"frame '{frame.name}': two objects have the same id")
    poses = [(o.id, o.reconstruction.T_cam_obj) for o in frame.objects]
    poses += [(o.id, o.truth.T_cam_obj) for o in frame.objects if o.truth]
    for name, T in poses:
        if T.shape != (4, 4) or not np.isfinite(T).all():
            raise InputError(f"frame '{frame.name}': a pose of object '{name}' is no finite 4x4 matrix")


def _up(frame: PageFrame) -> Float:
    if frame.up_cam is not None:
        return frame.up_cam
    if frame.objects:
        up: Float = frame.objects[0].reconstruction.T_cam_obj[:3, 2]
        return up
    return frames.cam_from_body(np.array([0.0, 0.0, 1.0]))


def _size(r: Reconstruction) -> Float:
    """(3,) extents for drawing: 0 where they are not known."""
    return np.where(np.isfinite(r.size_m), r.size_m, 0.0)


def _box_corners(r: Reconstruction, T: Float) -> Float:
    """(8, 3) corners of the object's box, moved by `T @ T_cam_obj`."""
    half = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * _size(r)
    return frames.apply(T @ r.T_cam_obj, half)


def _focus(frame: PageFrame) -> tuple[Float, float]:
    """(3,) middle, optical frame, and radius, m, of the objects; without any, of the bulk of the points."""
    if frame.objects:
        corners = np.concatenate([_box_corners(o.reconstruction, np.eye(4)) for o in frame.objects])
        low, high = corners.min(axis=0), corners.max(axis=0)
    else:
        points = np.zeros((0, 3)) if frame.points_cam is None else frame.points_cam
        points = points[_finite(points)]
        if not len(points):
            return np.array([0.0, 0.0, 1.0]), 0.5
        low, high = np.percentile(points, (5, 95), axis=0).astype(np.float64)
    return (low + high) / 2, max(0.05, float(np.linalg.norm(high - low)) / 2)


def _finite(points: Float) -> Bool:
    """(...) which of the points (..., 3) are numbers."""
    finite: Bool = np.all(np.isfinite(points), axis=-1)
    return finite


def _floor(objects: Sequence[PageObject], T_view_cam: Float) -> float | None:
    """Height of the lowest box, m: where the grid is drawn."""
    bottoms = [float(_box_corners(o.reconstruction, T_view_cam)[:, 2].min()) for o in objects]
    return min(bottoms, default=None)


def _colors(frame: PageFrame) -> UInt8 | None:
    """(H, W, 3) sRGB of the pixels and of their points."""
    if frame.rgb is not None or frame.points_cam is None:
        return frame.rgb
    return _depth_colors(frame.points_cam)


def _depth_colors(points_cam: Float) -> UInt8:
    """(H, W, 3) uint8: near is red, far is blue, nothing measured is black."""
    depth, valid = points_cam[..., 2], _finite(points_cam)
    if not valid.any():
        return np.zeros(points_cam.shape, np.uint8)
    near, far = np.percentile(depth[valid], (1, 99))
    share = np.clip((far - np.where(valid, depth, far)) / max(float(far - near), 1e-6), 0, 1)
    colored = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(valid[..., None], colored, 0).astype(np.uint8)


def _picture(frame: PageFrame, colors: UInt8) -> Json:
    bgr = np.ascontiguousarray(colors[..., ::-1], np.uint8)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return {
        "src": "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(),
        "size": [colors.shape[1], colors.shape[0]],
        "caption": "Depth: near is red, far is blue" if frame.rgb is None else "Camera image",
    }


def _camera(camera: Camera, T_view_cam: Float, radius: float) -> Json:
    """Pose as position and directions, the image's edges as tangents (pixel centres are whole numbers)."""
    R_view_body = T_view_cam[:3, :3] @ frames.R_CAM_BODY
    left, right = (-0.5 - camera.cx) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx
    top, bottom = (-0.5 - camera.cy) / camera.fy, (camera.height - 0.5 - camera.cy) / camera.fy
    # The drawn image plane: near the camera, so that it hides little of the scene.
    reach = min(0.16 * float(np.linalg.norm(T_view_cam[:3, 3])), radius)
    corners_cam = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]) * reach
    return {
        "position": T_view_cam[:3, 3].tolist(),
        "forward": R_view_body[:, 0].tolist(),
        "up": R_view_body[:, 2].tolist(),
        "edges": {"left": left, "right": right, "above": -top, "below": -bottom},
        "image": {"width": camera.width, "height": camera.height},
        "corners": frames.apply(T_view_cam, corners_cam).tolist(),
    }


def _points(frame: PageFrame, colors: UInt8, T_view_cam: Float, max_points: int) -> Json | None:
    """The pointmap in two parts, `scene` and what lies in the objects' masks, so that a page can show either.

    Every k-th row and column is taken where there are more than `max_points`. `spacing` is the distance
    between neighbours at one metre from the camera.
    """
    if frame.points_cam is None:
        return None
    height, width = frame.points_cam.shape[:2]
    owned: Bool = np.zeros((height, width), bool)
    for o in frame.objects:
        if o.reconstruction.mask.pixels.shape == owned.shape:
            owned |= o.reconstruction.mask.pixels
    stride = max(1, math.ceil(math.sqrt(height * width / max_points)))
    every = np.s_[::stride, ::stride]
    points, colors, owned = frame.points_cam[every].astype(np.float64), colors[every], owned[every]
    valid = _finite(points)
    clouds = {
        name: {
            "positions": pack_points(frames.apply(T_view_cam, points[chosen])),
            "colors": pack(colors[chosen]),
        }
        for name, chosen in (("scene", valid & ~owned), ("objects", valid & owned))
        if chosen.any()
    }
    if not clouds:
        return None
    # Without intrinsics: as a camera whose image is as wide as it is far away.
    focal = frame.camera.fx if frame.camera else width
    return {"sensor": T_view_cam[:3, 3].tolist(), "spacing": stride / focal, **clouds}


def _outline(pixels: Bool) -> str:
    """The mask's border as an SVG path in pixel coordinates (centres are whole numbers)."""
    contours, _ = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    lines = (" ".join(f"{x},{y}" for x, y in c[:, 0]) for c in contours if len(c) > 2)
    return "".join(f"M{line}Z" for line in lines)


def _posed(posed: PosedMesh, T_view_cam: Float, name: str) -> Json:
    try:
        mesh = pack_mesh(posed.mesh)
    except IndexError as error:
        raise InputError(f"object '{name}': {error}") from error
    return {"pose": (T_view_cam @ posed.T_cam_obj).tolist(), "mesh": mesh}


def _object(
    o: PageObject,
    color: str,
    T_view_cam: Float,
    columns: Sequence[str],
    picture_shape: tuple[int, ...] | None,
) -> Json:
    r = o.reconstruction
    others = [o.columns.get(name, "") for name in columns]
    return {
        "id": o.id,
        "label": o.label or f"object {o.id}",
        "color": color,
        **_posed(PosedMesh(r.mesh, r.T_cam_obj), T_view_cam, o.id),
        "size": _size(r).tolist(),
        "truth": _posed(o.truth, T_view_cam, o.id) if o.truth else None,
        "outline": _outline(r.mask.pixels) if r.mask.pixels.shape == picture_shape else "",
        "cells": [_size_text(r), _number(r.confidence, "{:.2f}"), *others],
        "details": _details(r),
        "seconds": [[stage, float(s)] for stage, s in r.seconds.items() if math.isfinite(s) and s >= 0],
    }


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "unknown"


def _size_text(r: Reconstruction) -> str:
    return " × ".join(_number(1000 * float(s), "{:.0f}") for s in r.size_m) + " mm"


def _details(r: Reconstruction) -> list[list[str]]:
    """Name and text of what is known about one object, in reading order."""
    q = frames.quaternion_from_matrix(r.T_cam_obj[:3, :3])
    rows = {
        "Position (optical frame)": ", ".join(f"{v:.3f}" for v in r.T_cam_obj[:3, 3]) + " m",
        "Quaternion xyzw": ", ".join(f"{v:.3f}" for v in q),
        "Size x × y × z": _size_text(r),
        "Confidence": _number(r.confidence, "{:.2f}"),
        "Method": r.method,
        "Depth error (RMS)": _number(1000 * r.fit.depth_rmse, "{:.1f} mm"),
        "Points within 10 mm": _number(100 * r.fit.inlier_ratio, "{:.0f} %"),
        "Mask overlap (IoU)": _number(r.fit.mask_iou, "{:.2f}"),
        "Mesh": f"{len(r.mesh.vertices):,} vertices, {len(r.mesh.faces):,} faces",
        "Watertight": "yes" if r.watertight else "no",
        "Scale": "metric" if r.metric else "not metric",
        "Up taken from": r.up_source.value.replace("_", " "),
    }
    return [[name, text] for name, text in rows.items()]
