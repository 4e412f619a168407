"""Smooth shading with sharp edges: a normal for each corner of each face."""

from __future__ import annotations

import numpy as np

from sam3d_ros.types import Float, Int

CREASE_DEG = 35.0
"""Faces that meet at a sharper angle keep an edge; others are shaded as one smooth surface."""


def corner_normals(vertices: Float, faces: Int) -> Float:
    """(F, 3, 3) float32 normal at each corner of each face: the mean over the faces around the vertex that
    meet this one at less than CREASE_DEG, weighted by area."""
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-20)
    # All pairs of faces that share a vertex: corners sorted by vertex, paired at every distance in a run.
    vertex = faces.ravel()
    order = np.argsort(vertex, kind="stable")
    face, sorted_vertex = order // 3, vertex[order]
    normals = area[np.arange(len(vertex)) // 3].copy()
    shift = 1
    while True:
        same = np.flatnonzero(sorted_vertex[shift:] == sorted_vertex[:-shift])
        if not len(same):
            break
        a, b = face[same], face[same + shift]
        smooth = np.einsum("ij,ij->i", unit[a], unit[b]) > np.cos(np.deg2rad(CREASE_DEG))
        a, b, same = a[smooth], b[smooth], same[smooth]
        # Within one shift every corner occurs once as the first and once as the second.
        normals[order[same]] += area[b]
        normals[order[same + shift]] += area[a]
        shift += 1
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    shaped: Float = normals.reshape(-1, 3, 3).astype(np.float32)
    return shaped
