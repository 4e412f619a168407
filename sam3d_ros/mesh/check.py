"""What a mesh must be before it leaves the package: finite, closed, oriented outwards."""

from __future__ import annotations

import numpy as np

from sam3d_ros.types import Float, Mesh


class MeshError(ValueError):
    """A mesh is not what it is said to be; the text says what is wrong."""


def is_watertight(mesh: Mesh) -> bool:
    """True where every directed edge is met by exactly one opposite edge: closed, and consistently
    oriented."""
    faces = np.asarray(mesh.faces, np.int64)
    if len(faces) < 4:
        return False
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    if (edges[:, 0] == edges[:, 1]).any():
        return False
    n = len(mesh.vertices)
    forward = np.sort(edges[:, 0] * n + edges[:, 1])
    backward = np.sort(edges[:, 1] * n + edges[:, 0])
    return bool((forward[1:] != forward[:-1]).all() and (forward == backward).all())


def volume(mesh: Mesh) -> float:
    """Signed volume in m^3: positive where faces are counter-clockwise seen from outside (divergence
    theorem)."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    corners = corners - mesh.vertices.mean(0, dtype=np.float64)
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def box(mesh: Mesh) -> Float:
    """(2, 3) float64 lower and upper corner of the vertices, m."""
    vertices = mesh.vertices.astype(np.float64)
    return np.stack([vertices.min(0), vertices.max(0)])


def check(mesh: Mesh) -> Mesh:
    """The mesh itself. Raises MeshError where it is empty, not finite, has indices out of range, or is
    inside out."""
    if len(mesh.vertices) == 0 or len(mesh.faces) == 0:
        raise MeshError("the mesh is empty")
    if (
        mesh.vertices.ndim != 2
        or mesh.vertices.shape[1] != 3
        or mesh.faces.ndim != 2
        or mesh.faces.shape[1] != 3
    ):
        raise MeshError(
            f"vertices {mesh.vertices.shape} and faces {mesh.faces.shape} must be (V, 3) and (F, 3)"
        )
    if not np.isfinite(mesh.vertices).all():
        raise MeshError("the mesh has vertices that are not finite")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise MeshError(f"faces name vertices outside 0..{len(mesh.vertices) - 1}")
    if mesh.colors is not None and mesh.colors.shape != mesh.vertices.shape:
        raise MeshError(f"colors {mesh.colors.shape} do not match vertices {mesh.vertices.shape}")
    if is_watertight(mesh) and volume(mesh) < 0:
        raise MeshError("the mesh is inside out")
    return mesh
