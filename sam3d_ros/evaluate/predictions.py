"""Results that others made, read from a folder.

FOLDER/result.json or FOLDER/<scene>/result.json, as `sam3d reconstruct` writes them; of each entry of
`objects` are read `image`, `mask` (index of the mask: position in scene_gt plus one), `mesh` (a PLY, GLB, OBJ
or STL file below the folder of result.json; vertices in the object frame, metres; GLB y up, the others z up)
and `T_cam_obj` (4x4, object to optical frame), optionally `method` and `confidence`.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from sam3d_ros.data import ply
from sam3d_ros.evaluate.source import Shot
from sam3d_ros.perception.frames import obj_from_gltf
from sam3d_ros.types import Float, InputError, Mesh

FILE_TYPES = (".ply", ".glb", ".obj", ".stl")


@dataclass(frozen=True)
class Predictions:
    """The predictions of a folder."""

    folder: Path

    @property
    def fingerprint(self) -> str:
        """Changes where a result.json does. Raises InputError where the folder has none."""
        files = sorted([*self.folder.glob("result.json"), *self.folder.glob("*/result.json")])
        if not files:
            raise InputError(f"{self.folder} has no result.json, nor has a scene's folder in it")
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]

    def find(self, shot: Shot, mask_index: int) -> tuple[Mesh, Float]:
        """Mesh (object frame, m) and T_cam_obj (4, 4). Raises InputError where there is none or it cannot be
        read."""
        root = self.folder / shot.scene
        if not (root / "result.json").is_file():
            root = self.folder
        for entry in _objects(root / "result.json"):
            if entry.get("image") == shot.picture.image and entry.get("mask") == mask_index:
                return _mesh(root, entry), _pose(root, entry)
        raise InputError(
            f"{root / 'result.json'} has no object for image {shot.picture.image}, mask {mask_index}"
        )


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    objects = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(objects, list) or not all(isinstance(entry, dict) for entry in objects):
        raise InputError(f"{path} must be a JSON object whose `objects` is a list of objects")
    return objects


def _pose(root: Path, entry: dict[str, Any]) -> Float:
    try:
        T = np.array(entry["T_cam_obj"], np.float64)
    except (KeyError, TypeError, ValueError):
        T = np.zeros(0)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise InputError(f"{root / 'result.json'}: T_cam_obj must be 4 rows of 4 finite numbers")
    R = T[:3, :3]
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise InputError(
            f"{root / 'result.json'}: the rotation of T_cam_obj is none (scale belongs in the mesh)"
        )
    return T


def _mesh(root: Path, entry: dict[str, Any]) -> Mesh:
    name = entry.get("mesh")
    if not isinstance(name, str):
        raise InputError(f"{root / 'result.json'}: mesh must name a file")
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"{root / 'result.json'}: mesh {name!r} lies outside of the folder")
    if path.suffix.lower() not in FILE_TYPES:
        raise InputError(f"{path}: a mesh is one of {', '.join(FILE_TYPES)}")
    if path.suffix.lower() == ".ply":
        return ply.read(path)
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        # From bytes, so that nothing in the file can name another file to be read.
        kind = path.suffix.lower().removeprefix(".")
        loaded = trimesh.load(io.BytesIO(path.read_bytes()), file_type=kind, process=False, force="mesh")
        if not isinstance(loaded, trimesh.Trimesh):
            raise ValueError("no triangles")
        vertices, faces = np.asarray(loaded.vertices, np.float32), np.asarray(loaded.faces, np.int32)
    except Exception as error:  # trimesh raises many kinds for damaged files
        raise InputError(f"{path} is not a readable mesh: {error}") from None
    if not len(faces):
        raise InputError(f"{path} has no faces")
    visual = getattr(loaded, "visual", None)
    colors = None
    if isinstance(visual, trimesh.visual.ColorVisuals) and visual.kind == "vertex":
        colors = np.asarray(visual.vertex_colors, np.uint8)[:, :3].copy()
    if kind == "glb":
        vertices = np.asarray(obj_from_gltf(vertices), np.float32)
    return Mesh(vertices, faces, colors)
