"""Writing the BOP scene format that `bop.py` describes and reads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]
from scipy.spatial.distance import pdist  # type: ignore[import-untyped]

from sam3d_ros.data import ply
from sam3d_ros.data.bop import MM, BopImage, BopModel, Truth, read_table
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Float, InputError, Mask, Mesh


def write_image(folder: Path, scene: str | int, image: BopImage, depth_scale: float = 1.0) -> None:
    """Add an image to a scene, creating the folders; an image of that number is replaced.

    depth_scale: mm per unit of the depth file. Names and nominal sizes go to scene_objects.json where a mask
    has a label. The JSON files are replaced as a whole, so that a reader never sees half of one.
    Raises InputError where sizes differ, the camera has a lens model (BOP images are rectified) or the depth
    does not fit 16 bit.
    """
    _check_writable(image, depth_scale)
    name = f"{int(scene):06d}" if str(scene).isdecimal() else str(scene)
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
        raise InputError(f"scene {name!r} must be a plain folder name")
    root = folder / name
    for sub in ("rgb", "depth", "mask_visib"):
        (root / sub).mkdir(parents=True, exist_ok=True)
    _write_png(root / "rgb" / f"{image.image:06d}.png", np.ascontiguousarray(image.rgb[..., ::-1]))
    units = np.nan_to_num(image.depth_m / (depth_scale * MM), nan=0.0, posinf=0.0, neginf=0.0)
    _write_png(root / "depth" / f"{image.image:06d}.png", np.rint(units).astype(np.uint16))
    for stale in (root / "mask_visib").glob(f"{image.image:06d}_*.png"):
        stale.unlink()
    for mask in image.masks:
        path = root / "mask_visib" / f"{image.image:06d}_{mask.index - 1:06d}.png"
        _write_png(path, mask.pixels.astype(np.uint8) * 255)

    camera = {"cam_K": image.camera.K.ravel().tolist(), "depth_scale": depth_scale}
    _update_json(root / "scene_camera.json", image.image, camera)
    if image.truths:
        by_index = {mask.index: mask for mask in image.masks}
        _update_json(root / "scene_gt.json", image.image, [_gt_entry(truth) for truth in image.truths])
        infos = [
            _gt_info_entry(truth, by_index.get(truth.mask_index), image.depth_m) for truth in image.truths
        ]
        _update_json(root / "scene_gt_info.json", image.image, infos)
    if any(mask.label for mask in image.masks):
        _update_json(root / "scene_objects.json", image.image, _object_entries(image))


def write_models(folder: Path, models: Mapping[int, BopModel]) -> None:
    """`models/obj_NNNNNN.ply` in mm with vertex colours, and models_info.json with sizes and symmetries.

    Models of earlier calls stay. The extra key "name" of models_info.json holds the name of a model.
    """
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for obj_id, model in models.items():
        mm = Mesh((model.mesh.vertices / MM).astype(np.float32), model.mesh.faces, model.mesh.colors)
        ply.write(folder / "models" / f"obj_{obj_id:06d}.ply", mm)
        _update_json(folder / "models" / "models_info.json", obj_id, _model_info(model, mm.vertices))


def _check_writable(image: BopImage, depth_scale: float) -> None:
    size = (image.camera.height, image.camera.width)
    shapes = {
        "rgb": image.rgb.shape[:2],
        "depth_m": image.depth_m.shape,
        **{f"mask {m.index}": m.pixels.shape for m in image.masks},
    }
    for what, shape in shapes.items():
        if shape != size:
            raise InputError(f"{what} has {shape} pixels, the camera {size}")
    if image.camera.distortion_model and any(image.camera.distortion):
        raise InputError("BOP images are rectified: the camera must have no distortion")
    if depth_scale <= 0:
        raise InputError(f"depth_scale {depth_scale} must be positive")
    farthest = np.nanmax(image.depth_m, initial=0.0, where=np.isfinite(image.depth_m))
    if farthest / (depth_scale * MM) > np.iinfo(np.uint16).max:
        raise InputError(f"a depth of {farthest:.3f} m does not fit 16 bit at depth_scale {depth_scale}")
    if any(m.index < 1 for m in image.masks):
        raise InputError("the index of a mask must be 1 or more: position in scene_gt plus one")
    if [t.mask_index for t in image.truths] != list(range(1, len(image.truths) + 1)):
        raise InputError("truths must be in the order of their masks: mask_index 1, 2, 3, ...")


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    if not cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3]):
        raise OSError(f"cannot write {path}")


def _update_json(path: Path, key: int, value: Any) -> None:
    """Set one entry of a {number: entry} file and replace the file in one step."""
    table = read_table(path, object) if path.is_file() else {}
    table[key] = value
    text = ",\n".join(f'  "{k}": {json.dumps(table[k])}' for k in sorted(table))
    partial = path.with_suffix(".json.partial")
    partial.write_text("{\n" + text + "\n}\n")
    os.replace(partial, path)


def _gt_entry(truth: Truth) -> dict[str, Any]:
    return {
        "cam_R_m2c": truth.T_cam_obj[:3, :3].ravel().tolist(),
        "cam_t_m2c": (truth.T_cam_obj[:3, 3] / MM).tolist(),
        "obj_id": truth.obj_id,
    }


def _gt_info_entry(truth: Truth, mask: Mask | None, depth_m: Float) -> dict[str, Any]:
    """Boxes are x, y, width, height in pixels; [-1, -1, -1, -1] is BOP's "not visible"."""
    box, visible, valid = [-1, -1, -1, -1], 0, 0
    if mask is not None and mask.pixels.any():
        rows, columns = np.nonzero(mask.pixels)
        x, y = int(columns.min()), int(rows.min())
        box = [x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1]
        visible, valid = len(rows), int(np.isfinite(depth_m[rows, columns]).sum())
    entry: dict[str, Any] = {"bbox_visib": box, "px_count_visib": visible, "px_count_valid": valid}
    if truth.pixels_all:
        entry["px_count_all"] = truth.pixels_all
    if np.isfinite(truth.visible):
        entry["visib_fract"] = truth.visible
    return entry


def _object_entries(image: BopImage) -> list[dict[str, Any]]:
    count = max((mask.index for mask in image.masks), default=0)
    entries: list[dict[str, Any]] = [{"name": ""} for _ in range(count)]
    for mask in image.masks:
        entries[mask.index - 1]["name"] = mask.label
        if mask.index in image.nominal_sizes_m:
            size_m = np.asarray(image.nominal_sizes_m[mask.index], np.float64)
            entries[mask.index - 1]["nominal_size_mm"] = (size_m / MM).round(3).tolist()
    return entries


def _model_info(model: BopModel, vertices_mm: Float) -> dict[str, Any]:
    low, high = vertices_mm.min(axis=0).astype(float), vertices_mm.max(axis=0).astype(float)
    info: dict[str, Any] = {"diameter": diameter(vertices_mm)}
    for axis, letter in enumerate("xyz"):
        info[f"min_{letter}"] = low[axis]
        info[f"size_{letter}"] = high[axis] - low[axis]
    if model.name:
        info["name"] = model.name
    if model.rotations:
        info["symmetries_discrete"] = [transform(R, np.zeros(3)).ravel().tolist() for R in model.rotations]
    if model.axis is not None:
        info["symmetries_continuous"] = [{"axis": np.asarray(model.axis).tolist(), "offset": [0, 0, 0]}]
    return info


def diameter(points: Float) -> float:
    """The greatest distance between two of the points (N, 3)."""
    points = np.asarray(points, np.float64)
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # flat, or fewer than four points: take them all
        points = np.unique(points, axis=0)
    return float(pdist(points).max(initial=0.0))
