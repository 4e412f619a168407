"""Shape alone, as the paper measures it: both meshes scaled to [-1, 1], aligned, then compared (training and
evaluation page, section 7.2).

Where the paper is silent we chose, and say so: the prediction is first turned into the axes of the truth, so
that both are scaled in the same ones; ICP moves without scaling and starts from there and from the other 23
rotations of the cube (`icp.py`); distances are to the surface itself, which is what a million samples
approach; EMD is over 1024 points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from scipy.spatial.distance import cdist  # type: ignore[import-untyped]

from sam3d_ros.evaluate.icp import align, cloud_of, cube_rotations
from sam3d_ros.evaluate.surface import sample_surface, surface_distances
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import Bool, Float, InputError, Int

F1_DISTANCE = 0.01
RESOLUTION = 64
VOXEL_POINTS = 1_000_000
EMD_POINTS = 1024
ICP_POINTS = 2000


@dataclass(frozen=True)
class ShapeMetrics:
    """In the unit of [-1, 1]^3. f1: 0..1, surface within 0.01. viou: 0..1, surface voxels at 64^3.
    chamfer_l1: mean of the two mean distances. chamfer_l2: mean of the two mean squared distances.
    emd: mean distance of 1024 points of each in the cheapest one-to-one pairing; independent samples of one
    surface of area 10 already read about 0.06."""

    f1: float
    viou: float
    chamfer_l1: float
    chamfer_l2: float
    emd: float


def shape_metrics(p_vertices: Float, p_faces: Int, t_vertices: Float, t_faces: Int) -> ShapeMetrics:
    """Prediction against truth: vertices (V, 3) with the axes of the truth's object frame, faces (F, 3).

    Raises InputError where one of them is empty or a point.
    """
    p, t = normalised(p_vertices, p_faces, "prediction"), normalised(t_vertices, t_faces, "truth")
    found = align(
        cloud_of(p, p_faces, ICP_POINTS, seed=2),
        cloud_of(t, t_faces, ICP_POINTS, seed=3),
        cube_rotations(),
    )
    p = apply(found.T, p)
    to_truth = surface_distances(p, p_faces, t, t_faces)
    to_prediction = surface_distances(t, t_faces, p, p_faces)
    return ShapeMetrics(
        f1=f_score(to_truth, to_prediction, F1_DISTANCE),
        viou=surface_iou(p, p_faces, t, t_faces),
        chamfer_l1=float(to_truth.mean() + to_prediction.mean()) / 2,
        chamfer_l2=float((to_truth**2).mean() + (to_prediction**2).mean()) / 2,
        emd=earth_movers_distance(
            sample_surface(p, p_faces, EMD_POINTS, seed=4), sample_surface(t, t_faces, EMD_POINTS, seed=5)
        ),
    )


def normalised(vertices: Float, faces: Int, what: str) -> Float:
    """(V, 3) vertices moved and scaled evenly so that the box of the surface is centred and its longest side
    is 2."""
    used = vertices[np.unique(faces)]
    if not len(used):
        raise InputError(f"{what}: a mesh without faces has no shape")
    low, high = used.min(axis=0), used.max(axis=0)
    longest = float((high - low).max())
    if not longest > 0:
        raise InputError(f"{what}: a mesh without extent has no shape")
    scaled: Float = (vertices - (low + high) / 2) * (2 / longest)
    return scaled


def f_score(to_truth: Float, to_prediction: Float, threshold: float) -> float:
    """Harmonic mean of precision (share of the prediction near the truth) and recall (of the truth near
    it)."""
    precision, recall = float((to_truth <= threshold).mean()), float((to_prediction <= threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def surface_iou(a_vertices: Float, a_faces: Int, b_vertices: Float, b_faces: Int) -> float:
    """Overlap of the voxels that a million points of either surface fall into, 64 across [-1, 1]."""
    a = _voxels(sample_surface(a_vertices, a_faces, VOXEL_POINTS, seed=6))
    b = _voxels(sample_surface(b_vertices, b_faces, VOXEL_POINTS, seed=7))
    return float((a & b).sum()) / float((a | b).sum())


def _voxels(points: Float) -> Bool:
    """(2 * 64)^3 flat: a grid of twice the size, since what ICP moved may stick out.

    The outermost of the 64 centres lie at -1 and 1: a flat side there would otherwise fall on a border
    between cells, and rounding would decide on which side of it.
    """
    across = 2 * RESOLUTION
    index = np.rint((points + 1) * ((RESOLUTION - 1) / 2)).astype(np.int64) + RESOLUTION // 2
    np.clip(index, 0, across - 1, out=index)
    filled = np.zeros(across**3, bool)
    filled[(index[:, 0] * across + index[:, 1]) * across + index[:, 2]] = True
    return filled


def earth_movers_distance(a: Float, b: Float) -> float:
    """Mean distance of points (N, 3) and (N, 3) in the pairing of least total distance."""
    cost = cdist(a, b)
    return float(cost[linear_sum_assignment(cost)].mean())
