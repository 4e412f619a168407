"""Points on a surface, and how far they are from another one."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.refine.fit import point_triangle
from sam3d_ros.types import Float, Int

QUERIES, TARGETS, CANDIDATES = 5_000, 20_000, 8
"""Points on a surface whose distance is measured; points that stand for the triangles of the other surface,
and how many of the nearest of these name a triangle to measure."""


def surface_distances(from_vertices: Float, from_faces: Int, to_vertices: Float, to_faces: Int) -> Float:
    """(QUERIES,) distances of points spread evenly over one surface to the other surface."""
    return distances(sample_surface(from_vertices, from_faces, QUERIES, seed=0), to_vertices, to_faces)


def distances(points: Float, vertices: Float, faces: Int) -> Float:
    """(N,) distances of points (N, 3) to a surface.

    The distance is exact to the triangles on which the nearest surface samples lie, so it is never too small,
    and too large only where the nearest triangle holds none of the eight nearest samples.
    """
    targets, face = sample_faces(vertices, faces, TARGETS, seed=1)
    _, near = cKDTree(targets).query(points, k=CANDIDATES)
    repeated = np.repeat(points, CANDIDATES, axis=0)
    exact = point_triangle(repeated, vertices[faces[face[near.ravel()]]])
    nearest: Float = exact.reshape(near.shape).min(axis=1)
    return nearest


def surface_area(vertices: Float, faces: Int) -> float:
    """Of vertices (V, 3) and faces (F, 3), in their unit squared; 0 without faces."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def sample_surface(vertices: Float, faces: Int, count: int, seed: int) -> Float:
    """(count, 3) points of even density: at equal steps of accumulated area, anywhere in their triangle.

    They come in the order of the faces, so every k-th of them is spread over the surface as well.
    """
    return sample_faces(vertices, faces, count, seed)[0]


def sample_faces(vertices: Float, faces: Int, count: int, seed: int) -> tuple[Float, Int]:
    """As `sample_surface`, and (count,) the face of each point. The surface has an area."""
    corners = vertices[faces]
    edges = corners[:, 1:] - corners[:, :1]
    area = np.cumsum(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))
    rng = np.random.default_rng(seed)
    # Points k + offset, k = 0, 1, ..., on a scale on which the whole area is `count`.
    before = np.floor(area * (count / area[-1]) + (1 - rng.random())).astype(np.int64)
    before[-1] = count
    per_face = np.diff(np.minimum(before, count), prepend=0)
    face = np.repeat(np.arange(len(faces)), per_face)
    u, v = rng.random((2, count), np.float32)
    outside = u + v > 1
    u[outside], v[outside] = 1 - u[outside], 1 - v[outside]
    points: Float = np.repeat(corners[:, 0], per_face, axis=0)
    points += u[:, None] * np.repeat(edges[:, 0], per_face, axis=0)
    points += v[:, None] * np.repeat(edges[:, 1], per_face, axis=0)
    return points, face
