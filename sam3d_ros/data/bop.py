"""Reading and writing the BOP scene format, the layout of the 6-DoF pose benchmarks (bop.felk.cvut.cz).

    <folder>/<scene>/rgb/000001.png               8-bit colour (.jpg is read too)
    <folder>/<scene>/depth/000001.png             16-bit; times depth_scale gives mm, 0 is "no depth"
    <folder>/<scene>/mask_visib/000001_000000.png visible pixels of the object at position 0 of scene_gt
    <folder>/<scene>/scene_camera.json            cam_K and depth_scale per image
    <folder>/<scene>/scene_gt.json                obj_id and pose (cam_R_m2c, cam_t_m2c in mm) per object
    <folder>/<scene>/scene_gt_info.json           boxes, pixel counts and the visible share per object
    <folder>/models/obj_000001.ply, models_info.json      meshes in mm and their sizes

BOP's camera frame is our optical frame. Only `rgb`, `depth` and `scene_camera.json` must be there. Two
additions to the format are understood: a label image `mask/000001.png` (value v is the object at position
v - 1) where `mask_visib` has nothing for that image, and `scene_objects.json`, which gives each object of an
image a `name` and a `nominal_size_mm`. `bop_write.py` writes the same files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3d_ros.data import ply
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Camera, Float, InputError, Int, Mask, Mesh, UInt8

MM = 0.001


@dataclass(frozen=True)
class Truth:
    """One object of an image as scene_gt has it; its mask is the one with `index == mask_index`.

    T_cam_obj: (4, 4) float64, model frame to optical frame, metres. visible: share of the silhouette that can
    be seen, NaN where scene_gt_info does not say; pixels_all: pixels of the whole silhouette, 0 likewise.
    """

    obj_id: int
    T_cam_obj: Float
    mask_index: int
    visible: float = float("nan")
    pixels_all: int = 0


@dataclass(frozen=True)
class BopImage:
    """One image of a scene.

    rgb: (H, W, 3) uint8 sRGB. depth_m: (H, W) float32 along the optical axis, NaN where the sensor gave
    nothing. masks: `index` is the object's position in scene_gt (and in the mask's file name) plus one, so
    that it can be a value of a label image; `label` its name where one is known. truths: in the order of
    scene_gt, empty where there is no ground truth. nominal_sizes_m: (3,) outer size per mask index, where
    scene_objects.json gives one.
    """

    image: int
    rgb: UInt8
    depth_m: Float
    camera: Camera
    masks: tuple[Mask, ...]
    truths: tuple[Truth, ...] = ()
    nominal_sizes_m: Mapping[int, Float] = field(default_factory=dict)


@dataclass(frozen=True)
class BopModel:
    """An object model: mesh in metres, `rotations` (3, 3) that leave its shape as it is, and the direction
    `axis` (3,) of a continuous symmetry through the origin, or None."""

    mesh: Mesh
    name: str = ""
    rotations: tuple[Float, ...] = ()
    axis: Float | None = None


def scene_folder(folder: Path, scene: str | int) -> Path:
    """The folder of a scene named like "000001" (or 1). Raises InputError where the name leads elsewhere."""
    name = str(scene)
    if not (folder / name).is_dir() and name.isdecimal():
        name = f"{int(name):06d}"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise InputError(f"scene {str(scene)!r} is not the name of a folder inside {folder}")
    if not (folder / name).is_dir():
        raise InputError(f"{folder} has no scene {name!r}")
    return folder / name


def list_images(folder: Path, scene: str | int) -> list[int]:
    """The image numbers of a scene, ascending; those that scene_camera.json names."""
    return sorted(read_table(scene_folder(folder, scene) / "scene_camera.json", dict))


def read_image(folder: Path, scene: str | int, image: int) -> BopImage:
    """One image with everything the scene says about it.

    Raises InputError for files that are missing or damaged, sizes that differ, and values that make no sense.
    """
    root = scene_folder(folder, scene)
    entry = read_table(root / "scene_camera.json", dict).get(image)
    if entry is None:
        raise InputError(f"{root / 'scene_camera.json'} has no image {image}")
    rgb = _read_rgb(root, image)
    height, width = rgb.shape[:2]
    camera = _camera(root / "scene_camera.json", entry, width, height)
    depth = _read_png(root / "depth" / f"{image:06d}.png", np.uint16, (height, width))
    scale = _number(entry.get("depth_scale", 1.0), root / "scene_camera.json", "depth_scale")
    if scale <= 0:
        raise InputError(
            f"{root / 'scene_camera.json'}: depth_scale of image {image} is {scale}, must be positive"
        )
    depth_m = np.where(depth > 0, depth * np.float32(scale * MM), np.float32(np.nan)).astype(np.float32)
    names, sizes = _read_names(root, image)
    return BopImage(
        image=image,
        rgb=rgb,
        depth_m=depth_m,
        camera=camera,
        masks=_read_masks(root, image, (height, width), names),
        truths=_read_truths(root, image),
        nominal_sizes_m=sizes,
    )


def read_model(folder: Path, obj_id: int) -> BopModel:
    """One model, in metres. Raises InputError where it is missing or damaged."""
    mesh = ply.read(folder / "models" / f"obj_{obj_id:06d}.ply")
    path = folder / "models" / "models_info.json"
    info = read_table(path, dict).get(obj_id, {}) if path.is_file() else {}
    discrete = [_numbers(m, 16, path, "symmetries_discrete") for m in info.get("symmetries_discrete", [])]
    axes = [_numbers(s.get("axis"), 3, path, "axis") for s in info.get("symmetries_continuous", [])]
    return BopModel(
        mesh=Mesh((mesh.vertices * MM).astype(np.float32), mesh.faces, mesh.colors),
        name=str(info.get("name", "")),
        rotations=tuple(m.reshape(4, 4)[:3, :3] for m in discrete),
        axis=axes[0] if axes else None,
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None


def read_table(path: Path, kind: type) -> dict[int, Any]:
    """{number: entry} of a BOP file, whose keys are numbers written as text, leading zeros or not."""
    table = _read_json(path)
    if not isinstance(table, dict) or not all(isinstance(value, kind) for value in table.values()):
        raise InputError(f"{path} must be a JSON object that maps numbers to {kind.__name__}s")
    try:
        return {int(key): value for key, value in table.items()}
    except ValueError as error:
        raise InputError(f"{path}: a key is not a number: {error}") from None


def _number(value: Any, path: Path, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f"{path}: {what} is {value!r}, must be a finite number")
    return float(value)


def _numbers(value: Any, count: int, path: Path, what: str) -> Float:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{path}: {what} must be a list of {count} numbers")
    return np.array([_number(v, path, what) for v in value])


def _read_png(path: Path, dtype: type, size: tuple[int, int]) -> NDArray[Any]:
    """A single-channel image of exactly this type and size (height, width)."""
    if not path.is_file():
        raise InputError(f"{path} is missing")
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{path} is not a readable image")
    if pixels.dtype != dtype or pixels.ndim != 2:
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        raise InputError(
            f"{path} must have one channel of {np.dtype(dtype).name}, has {channels} of {pixels.dtype}"
        )
    if pixels.shape != size:
        raise InputError(f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, the image is {size[1]}x{size[0]}")
    return pixels


def _read_rgb(root: Path, image: int) -> UInt8:
    for suffix in (".png", ".jpg"):
        path = root / "rgb" / f"{image:06d}{suffix}"
        if path.is_file():
            pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if pixels is None:
                raise InputError(f"{path} is not a readable image")
            return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8, copy=False)
    raise InputError(f"{root / 'rgb' / f'{image:06d}.png'} is missing")


def _camera(path: Path, entry: Mapping[str, Any], width: int, height: int) -> Camera:
    k = _numbers(entry.get("cam_K"), 9, path, "cam_K")
    if k[0] <= 0 or k[4] <= 0:
        raise InputError(f"{path}: focal lengths {k[0]} and {k[4]} must be positive")
    if k[1] != 0:
        raise InputError(f"{path}: cam_K has a skew of {k[1]}, only cameras without skew are supported")
    return Camera(width, height, fx=float(k[0]), fy=float(k[4]), cx=float(k[2]), cy=float(k[5]))


def _read_names(root: Path, image: int) -> tuple[dict[int, str], dict[int, Float]]:
    """Names and nominal sizes by mask index; both empty where the scene has no scene_objects.json."""
    path = root / "scene_objects.json"
    if not path.is_file():
        return {}, {}
    names: dict[int, str] = {}
    sizes: dict[int, Float] = {}
    for index, entry in enumerate(read_table(path, list).get(image, []), start=1):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: every object of image {image} must be a JSON object")
        names[index] = str(entry.get("name", ""))
        if "nominal_size_mm" in entry:
            sizes[index] = _numbers(entry["nominal_size_mm"], 3, path, "nominal_size_mm") * MM
    return names, sizes


def _read_masks(root: Path, image: int, size: tuple[int, int], names: Mapping[int, str]) -> tuple[Mask, ...]:
    found = {}
    for path in sorted((root / "mask_visib").glob(f"{image:06d}_*.png")):
        position = path.stem.partition("_")[2]
        if not position.isdecimal():
            raise InputError(f"{path}: the name must be IIIIII_OOOOOO.png")
        found[int(position) + 1] = _read_png(path, np.uint8, size) > 0
    label_image = root / "mask" / f"{image:06d}.png"
    if not found and label_image.is_file():
        labels = _read_labels(label_image, size)
        found = {int(value): labels == value for value in np.unique(labels) if value > 0}
    return tuple(Mask(index, pixels, names.get(index, "")) for index, pixels in sorted(found.items()))


def _read_labels(path: Path, size: tuple[int, int]) -> Int:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{path} is not a readable image")
    return _read_png(path, np.uint16 if pixels.dtype == np.uint16 else np.uint8, size)


def _read_truths(root: Path, image: int) -> tuple[Truth, ...]:
    path = root / "scene_gt.json"
    if not path.is_file():
        return ()
    info_path = root / "scene_gt_info.json"
    infos = read_table(info_path, list).get(image, []) if info_path.is_file() else []
    truths = []
    for position, entry in enumerate(read_table(path, list).get(image, [])):
        if not isinstance(entry, dict) or not isinstance(entry.get("obj_id"), int):
            raise InputError(f"{path}: object {position} of image {image} has no obj_id")
        rotation = _numbers(entry.get("cam_R_m2c"), 9, path, "cam_R_m2c").reshape(3, 3)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise InputError(f"{path}: cam_R_m2c of object {position} of image {image} is not a rotation")
        t_mm = _numbers(entry.get("cam_t_m2c"), 3, path, "cam_t_m2c")
        info = infos[position] if position < len(infos) and isinstance(infos[position], dict) else {}
        truths.append(
            Truth(
                obj_id=entry["obj_id"],
                T_cam_obj=transform(rotation, t_mm * MM),
                mask_index=position + 1,
                visible=_number(info["visib_fract"], info_path, "visib_fract")
                if "visib_fract" in info
                else float("nan"),
                pixels_all=int(_number(info.get("px_count_all", 0), info_path, "px_count_all")),
            )
        )
    return tuple(truths)
