"""Reading objects as SA-3DAO gives them: a photograph, the mask of one object, and the mesh an artist made of it.

    <folder>/<name>/image.png      (or .jpg)
    <folder>/<name>/mask.png       anything above 0 is the object (of four channels the last)
    <folder>/<name>/mesh.glb       (or .gltf, .obj, .ply, .stl)
    <folder>/<name>/pose.json      optional: {"T_cam_obj": 4x4 rows, "cam_K": 3x3 rows}, metres, z-up mesh
    <folder>/<name>/depth.png      optional: 16 bit, mm

They come as the types of `bop.py`, so that one evaluation reads both: the object has obj_id 1 and mask index 1, and
without pose.json there are no truths. Without cam_K a field of view of 60 degrees over the longer side is assumed.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from sam3d_ros.data.bop import MM, BopImage, BopModel, Truth
from sam3d_ros.data.sources.raw import in_folder, read_raw
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.perception.frames import R_OBJ_GLTF
from sam3d_ros.types import Bool, Camera, Float, InputError, Mask, Mesh, UInt8

MESHES = ("mesh.glb", "mesh.gltf", "mesh.obj", "mesh.ply", "mesh.stl")
PICTURES = ("image.png", "image.jpg", "image.jpeg")
FIELD_OF_VIEW_DEG = 60.0


def list_objects(folder: Path) -> list[str]:
    """Names of the subfolders with an image, a mask and a mesh. Raises InputError where there are none."""
    found = sorted(
        p.name
        for p in (folder.iterdir() if folder.is_dir() else [])
        if p.is_dir() and _first(p, PICTURES) and _first(p, MESHES) and (p / "mask.png").is_file()
    )
    if not found:
        raise InputError(f"{folder} holds no folders with image.png, mask.png and mesh.glb")
    return found


def read_object(folder: Path, name: str) -> tuple[BopImage, BopModel]:
    """One object. Raises InputError for files that are missing, damaged or of different sizes, and for a name that
    leads out of the folder."""
    root = folder / name
    if Path(name).name != name or name in ("", ".", "..") or not root.is_dir():
        raise InputError(f"{folder} has no object {name!r}")
    picture, mesh = _first(root, PICTURES), _first(root, MESHES)
    if picture is None or mesh is None:
        raise InputError(f"{root} has no image or no mesh")
    rgb = read_rgb(picture)
    mask = _read_mask(root / "mask.png", rgb.shape[:2])
    camera, T_cam_obj = _read_pose(root / "pose.json", rgb.shape[1], rgb.shape[0])
    truths = () if T_cam_obj is None else (Truth(1, T_cam_obj, 1),)
    depth = read_depth(root / "depth.png", rgb.shape[:2])
    image = BopImage(0, rgb, depth, camera, (Mask(1, mask, name),), truths)
    return image, BopModel(read_mesh(mesh), name)


def read_mesh(path: Path) -> Mesh:
    """The triangles of a file as they are (not made solid), z up; glTF is turned upright. Colours are lost."""
    try:
        raw = read_raw(path.read_bytes(), path.suffix.lower()[1:], in_folder(path.parent))
    except Unusable as error:
        raise InputError(f"{path}: {error}") from None
    if path.suffix.lower() in (".glb", ".gltf"):
        raw = raw.moved(R_OBJ_GLTF)
    return Mesh(raw.vertices.astype(np.float32), raw.faces.astype(np.int32))


def read_rgb(path: Path) -> UInt8:
    """(H, W, 3) uint8. Raises InputError where it is no picture."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"{path} is missing or not a readable image")
    return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8, copy=False)


def read_depth(path: Path, size: tuple[int, ...]) -> Float:
    """(H, W) float32 m of a 16-bit picture in mm; all NaN where there is no file."""
    if not path.is_file():
        return np.full(size, np.nan, np.float32)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape != size:
        raise InputError(f"{path} must be a 16-bit picture of {size[1]}x{size[0]} pixels")
    return np.where(pixels > 0, pixels * np.float32(MM), np.float32(np.nan)).astype(np.float32)


def _read_mask(path: Path, size: tuple[int, ...]) -> Bool:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{path} is missing or not a readable image")
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    if pixels.shape != size:
        raise InputError(f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, the image is {size[1]}x{size[0]}")
    mask: Bool = pixels > 0
    return mask


def _read_pose(path: Path, width: int, height: int) -> tuple[Camera, Float | None]:
    f = max(width, height) / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW_DEG) / 2)
    guessed = Camera(width, height, float(f), float(f), (width - 1) / 2, (height - 1) / 2)
    if not path.is_file():
        return guessed, None
    try:
        entry = json.loads(path.read_text())
        T = np.array(entry["T_cam_obj"], np.float64).reshape(4, 4)
        K = np.array(entry["cam_K"], np.float64).reshape(3, 3) if "cam_K" in entry else guessed.K
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    R = T[:3, :3]
    if not np.isfinite(T).all() or np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise InputError(f"{path}: T_cam_obj is not a rigid transform")
    if not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise InputError(f"{path}: cam_K has no positive focal lengths")
    return Camera(width, height, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])), T


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)
