"""Fewer triangles with the same shape (quadric edge collapse, Garland and Heckbert 1997, by
fast-simplification)."""

from __future__ import annotations

import fast_simplification  # type: ignore[import-untyped]
import numpy as np

from sam3d_ros.mesh.check import is_watertight
from sam3d_ros.types import Mesh


def simplify(mesh: Mesh, faces: int) -> tuple[Mesh, bool]:
    """A mesh with about `faces` triangles without colours, and whether it is still as closed as it was.

    A watertight mesh that would open is returned unchanged with False, so a collision shape never gets holes.
    """
    if faces < 4:
        raise ValueError(f"a closed mesh has at least 4 faces, not {faces}")
    if len(mesh.faces) <= faces:
        return mesh, True
    vertices, kept = fast_simplification.simplify(
        np.ascontiguousarray(mesh.vertices, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
        target_count=faces,
    )
    used, flat = np.unique(kept, return_inverse=True)
    smaller = Mesh(vertices[used].astype(np.float32), flat.reshape(-1, 3).astype(np.int32))
    if is_watertight(mesh) and not is_watertight(smaller):
        return mesh, False
    return smaller, True
