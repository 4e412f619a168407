"""Fewer triangles with the same shape: fast-simplification, and manifold3d where that would open a closed mesh."""

from __future__ import annotations

from dataclasses import replace

import fast_simplification  # type: ignore[import-untyped]
import manifold3d
import numpy as np
from scipy.spatial import cKDTree

from sam3d_ros.mesh.check import box, is_watertight
from sam3d_ros.types import Mesh


def simplify(mesh: Mesh, faces: int) -> tuple[Mesh, bool]:
    """A mesh with about `faces` triangles, and whether that was reached without opening it.

    Quadric edge collapse (Garland and Heckbert 1997) first. A watertight mesh that it opens goes through edge
    collapses that keep the topology, with a growing tolerance up to 2 % of the longest side. False where the
    result is still larger than asked for, or the mesh not a manifold and returned unchanged. A vertex takes the colour
    of the nearest one of before.
    """
    if faces < 4:
        raise ValueError(f"a closed mesh has at least 4 faces, not {faces}")
    if len(mesh.faces) <= faces:
        return mesh, True
    smaller, fine = _simplify(mesh, faces)
    if mesh.colors is None or smaller is mesh:
        return smaller, fine
    nearest = cKDTree(mesh.vertices).query(smaller.vertices)[1]
    return replace(smaller, colors=mesh.colors[nearest]), fine


def _simplify(mesh: Mesh, faces: int) -> tuple[Mesh, bool]:
    vertices, kept = fast_simplification.simplify(
        np.ascontiguousarray(mesh.vertices, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
        target_count=faces,
    )
    used, flat = np.unique(kept, return_inverse=True)
    smaller = Mesh(vertices[used].astype(np.float32), flat.reshape(-1, 3).astype(np.int32))
    if not is_watertight(mesh) or is_watertight(smaller):
        return smaller, True
    closed = _simplify_closed(mesh, faces)
    return (closed, len(closed.faces) <= faces) if is_watertight(closed) else (mesh, False)


def _simplify_closed(mesh: Mesh, faces: int) -> Mesh:
    """The first of growing tolerances that gives at most `faces`, or the last one tried."""
    low, high = box(mesh)
    longest = float((high - low).max())
    solid = manifold3d.Manifold(
        manifold3d.Mesh(
            np.array(mesh.vertices, np.float32, order="C"), np.array(mesh.faces, np.uint32, order="C")
        )
    )
    if solid.status() != manifold3d.Error.NoError:
        return mesh
    for tolerance in np.geomspace(1e-4, 2e-2, 8) * longest:
        solid = solid.simplify(float(tolerance))
        if solid.num_tri() <= faces:
            break
    out = solid.to_mesh()
    return Mesh(np.ascontiguousarray(out.vert_properties[:, :3], np.float32), out.tri_verts.astype(np.int32))
