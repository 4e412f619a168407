"""Triangle meshes with vertex colours as binary PLY, the model files of the BOP format. Lengths are kept."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import trimesh

from sam3d_ros.types import InputError, Mesh


def write(path: Path, mesh: Mesh) -> None:
    """One binary little-endian PLY file; `mesh.colors` as red, green, blue."""
    count, colors = len(mesh.vertices), mesh.colors
    fields: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    fields += [] if colors is None else [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.zeros(count, np.dtype(fields))
    for axis, letter in enumerate("xyz"):
        vertices[letter] = mesh.vertices[:, axis]
    if colors is not None:
        for channel, name in enumerate(("red", "green", "blue")):
            vertices[name] = colors[:, channel]
    faces = np.zeros(len(mesh.faces), np.dtype([("count", "u1"), ("indices", "<i4", 3)]))
    faces["count"], faces["indices"] = 3, mesh.faces
    properties = [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in fields]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {count}",
        *properties,
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    path.write_bytes(("\n".join(header) + "\n").encode() + vertices.tobytes() + faces.tobytes())


def read(path: Path) -> Mesh:
    """Any PLY of triangles or polygons. Raises InputError where it is missing, damaged, or has no faces."""
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        # From bytes, so that nothing in the file can name another file to be read.
        loaded = trimesh.load(io.BytesIO(path.read_bytes()), file_type="ply", process=False, force="mesh")
    except Exception as error:  # trimesh raises many kinds for damaged files
        raise InputError(f"{path} is not a readable PLY file: {error}") from None
    if not isinstance(loaded, trimesh.Trimesh) or not len(loaded.faces):
        raise InputError(f"{path} has no faces")
    vertices = np.asarray(loaded.vertices, np.float32)
    faces = np.asarray(loaded.faces, np.int32)
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"{path} has vertices that are not finite or faces that name missing vertices")
    visual = loaded.visual
    colors = None
    if isinstance(visual, trimesh.visual.ColorVisuals) and visual.kind == "vertex":
        colors = np.asarray(visual.vertex_colors, np.uint8)[:, :3].copy()
    return Mesh(vertices, faces, colors)
