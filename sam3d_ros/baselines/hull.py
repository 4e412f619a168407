"""The least that can be said: the convex hull of what was seen."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]

from sam3d_ros.baselines.evidence import evidence
from sam3d_ros.types import Float, Frame, InputError, Mesh, ObjectView

THINNEST = 2e-3  # m: a sheet of points becomes a plate of this thickness


def convex(points: Float) -> Mesh:
    """Convex hull of points (N, 3), watertight and oriented outwards.

    Points on a line or a plane (a sheet seen frontally) are given a thickness of 2 mm, so that the result
    is a thin but valid solid. Raises InputError for fewer than 4 points or points that are not finite.
    """
    cloud = np.asarray(points, np.float64)
    if len(cloud) < 4 or not np.isfinite(cloud).all():
        raise InputError(f"a hull needs at least 4 finite points, got {len(cloud)}")
    middle = cloud.mean(0)
    _, _, axes = np.linalg.svd(cloud - middle, full_matrices=False)
    along = (cloud - middle) @ axes.T
    thin = np.flatnonzero(np.ptp(along, axis=0) < THINNEST)
    if len(thin):
        corners = np.array(np.meshgrid(*[[-0.5, 0.5]] * len(thin))).reshape(len(thin), -1).T * THINNEST
        shifts = corners @ axes[thin]
        cloud = (cloud[:, None] + shifts[None]).reshape(-1, 3)
    try:
        hull = ConvexHull(cloud)
    except QhullError as error:
        raise InputError(f"no hull: {str(error).splitlines()[0]}") from error
    used, flat = np.unique(hull.simplices, return_inverse=True)
    vertices = cloud[used]
    faces = flat.reshape(-1, 3).astype(np.int32)
    corners = vertices[faces]
    outward = np.einsum("ij,ij->i", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
                        hull.equations[:, :3])  # fmt: skip
    faces[outward < 0] = faces[outward < 0][:, ::-1]
    return Mesh(vertices.astype(np.float32), faces)


def hull(view: ObjectView, frame: Frame) -> Mesh:
    """Convex hull of the visible points, m, in the view frame. Raises InputError for fewer than 4 points."""
    return convex(evidence(view, frame).points)
