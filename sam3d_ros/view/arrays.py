"""Arrays as JSON: deflated, base64, and small. `data.js` is the reader."""

from __future__ import annotations

import base64
import zlib
from typing import Any, TypeAlias

import numpy as np

from sam3d_ros.types import Float, Int, Mesh, UInt8

Json: TypeAlias = dict[str, Any]


def pack(array: Int | UInt8) -> Json:
    """`type` is uint8, uint16 or uint32; `data` the base64 of the deflated little-endian values by rows."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": array.dtype.name, "data": base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()}


def pack_points(points: Float) -> Json:
    """(N, 3) finite coordinates in 65536 steps over their bounding box: 5 um for an object of 30 cm."""
    low = points.min(axis=0).astype(np.float64)
    step = (points.max(axis=0).astype(np.float64) - low) / 65535
    steps = np.rint((points - low) / np.where(step > 0, step, 1)).astype(np.uint16)
    return {"low": low.tolist(), "step": step.tolist(), "steps": pack(steps)}


def pack_mesh(mesh: Mesh) -> Json | None:
    """Vertices, faces and colours; None where no face is left.

    Faces with a vertex that is not finite are left out, and so are vertices without a face. Raises IndexError
    where a face names a vertex that is not there.
    """
    vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
    faces = np.asarray(mesh.faces, np.int64).reshape(-1, 3)
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise IndexError(f"a face names vertex {faces.max()} (or a negative one) of {len(vertices)}")
    finite = np.all(np.isfinite(vertices), axis=1)
    used, corners = np.unique(faces[np.all(finite[faces], axis=1)], return_inverse=True)
    if not len(used):
        return None
    indices: Int = corners.reshape(-1).astype(np.uint16 if len(used) <= 65536 else np.uint32)
    packed = {"vertices": pack_points(vertices[used]), "faces": pack(indices)}
    if mesh.colors is not None:
        packed["colors"] = pack(mesh.colors[used])
    return packed
