"""How good a posed reconstruction is, measured where the robot acts: in the camera frame, without any
alignment.

ADD-S and 3-D IoU follow the paper's layout metrics (section 7.2 of the training and evaluation page); solid
vIoU and F1 at 5 % of half the longest side judge shape and pose together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.data.bop_write import diameter
from sam3d_ros.evaluate.shape import f_score
from sam3d_ros.evaluate.surface import surface_area, surface_distances
from sam3d_ros.mesh.occupancy import clean, is_closed, occupancy
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import Float, InputError, Int, Mesh

RESOLUTION = 64
F1_SHARE = 0.05


@dataclass(frozen=True)
class PosedMetrics:
    """viou: 0..1, solid overlap; 0 where the prediction is not closed and so has no inside, NaN where the truth
    is not. f1: 0..1, surface within 5 % of half the truth's longest side. add_s: mean
    distance of the surfaces over the truth's diameter. box_iou: 0..1, boxes along the camera axes.
    centre_error_m: between the centres of these boxes. chamfer_m: mean of the two mean surface distances.

    An empty prediction scores 0, 0, inf, 0, inf, inf; the infinities are for the reader to count, not to
    average.
    """

    viou: float
    f1: float
    add_s: float
    box_iou: float
    centre_error_m: float
    chamfer_m: float


EMPTY = PosedMetrics(0.0, 0.0, float("inf"), 0.0, float("inf"), float("inf"))


def posed_metrics(prediction: Mesh, T_cam_pred: Float, truth: Mesh, T_cam_truth: Float) -> PosedMetrics:
    """All metrics of one object; poses are (4, 4) object to optical frame, metres.

    Raises InputError where the truth is empty, or a mesh or a pose is not finite.
    """
    for what, T in (("prediction", T_cam_pred), ("truth", T_cam_truth)):
        if not np.isfinite(T).all():
            raise InputError(f"the pose of the {what} is not finite")
    p_vertices, p_faces = clean(prediction, "prediction")
    t_vertices, t_faces = clean(truth, "truth")
    if not surface_area(t_vertices, t_faces) > 0:
        raise InputError("the true mesh is empty")
    if not surface_area(p_vertices, p_faces) > 0:
        return EMPTY
    p_vertices, t_vertices = apply(T_cam_pred, p_vertices), apply(T_cam_truth, t_vertices)
    to_truth = surface_distances(p_vertices, p_faces, t_vertices, t_faces)
    to_prediction = surface_distances(t_vertices, t_faces, p_vertices, p_faces)
    # The object's own longest side, which turning it does not change.
    threshold = F1_SHARE * float(np.ptp(np.asarray(truth.vertices, np.float64), axis=0).max()) / 2
    p_box, t_box = _box(p_vertices), _box(t_vertices)
    return PosedMetrics(
        viou=_viou(p_vertices, p_faces, t_vertices, t_faces),
        f1=f_score(to_truth, to_prediction, threshold),
        add_s=float(to_truth.mean() + to_prediction.mean()) / (2 * diameter(t_vertices)),
        box_iou=box_iou(*p_box, *t_box),
        centre_error_m=float(np.linalg.norm((p_box[0] + p_box[1]) / 2 - (t_box[0] + t_box[1]) / 2)),
        chamfer_m=float(to_truth.mean() + to_prediction.mean()) / 2,
    )


def _viou(p_vertices: Float, p_faces: Int, t_vertices: Float, t_faces: Int) -> float:
    if not is_closed(t_faces):
        return float("nan")
    return solid_iou(p_vertices, p_faces, t_vertices, t_faces) if is_closed(p_faces) else 0.0


def solid_iou(
    a_vertices: Float, a_faces: Int, b_vertices: Float, b_faces: Int, resolution: int = RESOLUTION
) -> float:
    """Intersection over union of two closed meshes in one frame, counted at the centres of cubic cells,
    `resolution` of them along the longest side of the box around both; 0 where both are thinner than that."""
    both = np.concatenate([a_vertices, b_vertices])
    low, size = both.min(axis=0), np.ptp(both, axis=0)
    cell = float(size.max()) / resolution
    if cell == 0:
        return 0.0
    shape = np.maximum(np.ceil(size / cell - 1e-9), 1).astype(int)
    # The grid is centred on the box, so that turning everything around changes nothing.
    origin = low + size / 2 - shape * cell / 2
    cells = (int(shape[0]), int(shape[1]), int(shape[2]))
    a = occupancy(a_vertices, a_faces, origin, cell, cells)
    b = occupancy(b_vertices, b_faces, origin, cell, cells)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def box_iou(a_low: Float, a_high: Float, b_low: Float, b_high: Float) -> float:
    """Intersection over union of two boxes (3,) along the same axes; 0 where both are flat."""
    overlap = np.prod(np.maximum(np.minimum(a_high, b_high) - np.maximum(a_low, b_low), 0))
    union = np.prod(a_high - a_low) + np.prod(b_high - b_low) - overlap
    return float(overlap / union) if union > 0 else 0.0


def _box(vertices: Float) -> tuple[Float, Float]:
    return vertices.min(axis=0), vertices.max(axis=0)
