"""Meshes as files: GLB (y up, as glTF 2.0 asks), PLY, OBJ and STL (z up, as they are). A file is whole or
not there."""

from __future__ import annotations

import json
import os
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from sam3d_ros.perception.frames import R_OBJ_GLTF, gltf_from_obj, inverse, transform
from sam3d_ros.types import Float, Mesh, UInt8

FORMATS = ("glb", "ply", "obj", "stl")


@dataclass(frozen=True)
class Posed:
    """A mesh in a scene: T_world_obj (4, 4) takes it to a world with z up."""

    name: str
    mesh: Mesh
    T_world_obj: Float


def safe_name(text: str) -> str:
    """A file name from any text, such as an id out of a message: letters, digits, '_', '-' and inner dots
    only.

    It has no separators, does not begin with a dot and has at most 80 characters, so it cannot leave its
    folder.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:80].strip(".")
    return name or "object"


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside the target and rename, so that a reader or a crash never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_mesh(mesh: Mesh, folder: Path, name: str, file_format: str) -> Path:
    """Write `folder`/`name`.`file_format` and return its path; `name` goes through `safe_name`.

    Raises ValueError for a format that is not in FORMATS. STL has no colours.
    """
    path = folder / f"{safe_name(name)}.{file_format}"
    write_atomic(path, encode(mesh, file_format))
    return path


def encode(mesh: Mesh, file_format: str) -> bytes:
    """The bytes of a mesh file. Raises ValueError for a format that is not in FORMATS."""
    if file_format not in FORMATS:
        raise ValueError(f"mesh format {file_format!r} is not one of {', '.join(FORMATS)}")
    if file_format == "glb":
        return glb({"object": [Posed("object", mesh, np.eye(4))]})
    colors = None if mesh.colors is None or file_format == "stl" else mesh.colors
    data = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False).export(
        file_type=file_format
    )
    return data.encode() if isinstance(data, str) else bytes(data)


def glb(scenes: Mapping[str, Sequence[Posed]]) -> bytes:
    """A binary glTF 2.0 file; every entry is one glTF scene, the first is the one that viewers show.

    Vertices and poses go to y up. Colours go from sRGB to the linear values that COLOR_0 holds (glTF 2.0,
    3.7.2.1), with 16 bits, because 8 linear ones would lose the dark colours.
    """
    buffer = bytearray()
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "sam3d_ros"},
        "scene": 0,
        "scenes": [],
        "nodes": [],
        "meshes": [],
        "accessors": [],
        "bufferViews": [],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9}}],
    }

    def add(array: NDArray[Any], component: int, kind: str, target: int, **more: Any) -> int:
        document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(buffer), "byteLength": array.nbytes, "target": target}
        )
        buffer.extend(array.tobytes())
        document["accessors"].append(
            {"bufferView": len(document["bufferViews"]) - 1, "componentType": component, "count": len(array)}
            | {"type": kind}
            | more
        )
        return len(document["accessors"]) - 1

    for scene, objects in scenes.items():
        nodes = []
        for item in objects:
            positions = np.ascontiguousarray(gltf_from_obj(item.mesh.vertices), "<f4")
            bounds = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
            attributes = {"POSITION": add(positions, 5126, "VEC3", 34962, **bounds)}
            if item.mesh.colors is not None:
                attributes["COLOR_0"] = add(linear(item.mesh.colors), 5123, "VEC4", 34962, normalized=True)
            indices = add(np.ascontiguousarray(item.mesh.faces.reshape(-1), "<u4"), 5125, "SCALAR", 34963)
            document["meshes"].append(
                {
                    "name": item.name,
                    "primitives": [{"attributes": attributes, "indices": indices, "material": 0}],
                }
            )
            T_world_gltf = transform(R_OBJ_GLTF, np.zeros(3))
            matrix = inverse(T_world_gltf) @ item.T_world_obj @ T_world_gltf
            document["nodes"].append(
                {"name": item.name, "mesh": len(document["meshes"]) - 1, "matrix": matrix.T.ravel().tolist()}
            )
            nodes.append(len(document["nodes"]) - 1)
        document["scenes"].append({"name": scene} | ({"nodes": nodes} if nodes else {}))
    if not buffer:  # a file without objects: empty lists are not allowed
        for key in ("nodes", "meshes", "accessors", "bufferViews"):
            del document[key]
        return _container(document, b"")
    document["buffers"] = [{"byteLength": len(buffer)}]
    return _container(document, bytes(buffer))


def linear(colors: UInt8) -> NDArray[np.uint16]:
    """(V, 3) uint8 sRGB to (V, 4) uint16 linear RGBA, opaque (IEC 61966-2-1)."""
    c = np.arange(256) / 255
    table = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    rgba = np.full((len(colors), 4), 65535, "<u2")
    rgba[:, :3] = np.rint(table * 65535).astype("<u2")[colors]
    return rgba


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks
