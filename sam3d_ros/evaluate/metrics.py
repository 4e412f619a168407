"""Every metric of one object, and what each is called in tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sam3d_ros.evaluate.layout import icp_rotation_deg, mask_iou
from sam3d_ros.evaluate.posed import posed_metrics
from sam3d_ros.evaluate.shape import shape_metrics
from sam3d_ros.evaluate.surface import surface_area
from sam3d_ros.evaluate.texture import texture_metrics
from sam3d_ros.mesh.occupancy import clean, is_closed
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Camera, Float, InputError, Mesh

VERSION = 1
"""Raised when a metric changes: results of another version are not continued."""


@dataclass(frozen=True)
class Metric:
    """name: key in results. heading: column of a table, its unit included. better: which way is good.
    missing: what an object without a prediction counts; None leaves it out of the mean, since no number would
    be right, and the share that was found must be read beside it."""

    name: str
    heading: str
    better: Literal["higher", "lower"]
    missing: float | None


METRICS = (
    Metric("viou", "vIoU", "higher", 0.0),
    Metric("f1", "F1@5%", "higher", 0.0),
    Metric("add_s", "ADD-S", "lower", None),
    Metric("add_s_10", "ADD-S@.1", "higher", 0.0),
    Metric("add_s_05", "ADD-S@.05", "higher", 0.0),
    Metric("add_s_02", "ADD-S@.02", "higher", 0.0),
    Metric("box_iou", "3D IoU", "higher", 0.0),
    Metric("icp_rot_deg", "ICP-Rot deg", "lower", None),
    Metric("mask_iou", "mask IoU", "higher", 0.0),
    Metric("centre_error_m", "centre m", "lower", None),
    Metric("chamfer_m", "Chamfer m", "lower", None),
    Metric("shape_f1", "F1@.01", "higher", 0.0),
    Metric("shape_viou", "surface vIoU", "higher", 0.0),
    Metric("shape_chamfer_l1", "Chamfer L1", "lower", None),
    Metric("shape_chamfer_l2", "Chamfer L2", "lower", None),
    Metric("shape_emd", "EMD", "lower", None),
    Metric("psnr", "PSNR dB", "higher", None),
    Metric("ssim", "SSIM", "higher", 0.0),
    Metric("watertight", "closed", "higher", 0.0),
)
Scores = Mapping[str, float]
ALIGNED = ("icp_rot_deg", "shape_f1", "shape_viou", "shape_chamfer_l1", "shape_chamfer_l2", "shape_emd")
"""Metrics that need ICP: four fifths of the time."""


def score(
    prediction: Mesh,
    T_cam_pred: Float,
    truth: Mesh,
    T_cam_truth: Float,
    camera: Camera,
    aligned: bool = True,
) -> Scores:
    """A value per name of METRICS, without `aligned` of those that are not in ALIGNED; NaN where a metric is not
    defined (no colours, truth without an inside).

    Meshes in metres, poses (4, 4) object to optical frame. Raises InputError where the prediction is empty or
    not finite (it counts as missing then), or the truth is.
    """
    p_vertices, p_faces = clean(prediction, "prediction")
    t_vertices, t_faces = clean(truth, "truth")
    if not surface_area(p_vertices, p_faces) > 0:
        raise InputError("the predicted mesh is empty or has no area")
    if not surface_area(t_vertices, t_faces) > 0:
        raise InputError("the true mesh is empty or has no area")
    posed = posed_metrics(prediction, T_cam_pred, truth, T_cam_truth)
    p_cam, t_cam = apply(T_cam_pred, p_vertices), apply(T_cam_truth, t_vertices)
    texture = texture_metrics(prediction, T_cam_pred, truth, T_cam_truth)
    found = {
        **dataclasses.asdict(posed),
        "add_s_10": float(posed.add_s < 0.1),
        "add_s_05": float(posed.add_s < 0.05),
        "add_s_02": float(posed.add_s < 0.02),
        "mask_iou": mask_iou(p_cam, p_faces, t_cam, t_faces, camera),
        **dataclasses.asdict(texture),
        "watertight": float(is_closed(p_faces)),
    }
    if aligned:
        # The shape alone: only the turn into the truth's axes, the rest is what normalisation takes away.
        p_obj = apply(inverse(T_cam_truth), p_cam)
        shape = shape_metrics(p_obj, p_faces, t_vertices, t_faces)
        found |= {f"shape_{name}": value for name, value in dataclasses.asdict(shape).items()}
        found["icp_rot_deg"] = icp_rotation_deg(p_cam, p_faces, t_cam, t_faces)
    return {metric.name: found[metric.name] for metric in METRICS if metric.name in found}
