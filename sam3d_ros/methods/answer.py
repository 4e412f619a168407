"""A completed object, posed and held against what the camera saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sam3d_ros.compact.ask import Question
from sam3d_ros.compact.model import Shape
from sam3d_ros.mesh.check import box, check
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.methods.steps import timed
from sam3d_ros.perception.frames import transform
from sam3d_ros.refine.fit import confidence, fit_of
from sam3d_ros.types import Fit, Float, Frame, Mesh, ObjectView

ASSUMED = "no support in sight: taken to stand on its lowest visible points"


@dataclass(frozen=True)
class Asked:
    """What the model was asked about an object, and what it said."""

    question: Question
    shape: Shape


@dataclass(frozen=True)
class Answer:
    """mesh: object frame, m. T_cam_obj: (4, 4) float64. size_m: (3,). note: why another method than the chosen one, or
    what was guessed. asked: of the model; None for a classical method."""

    method: str
    mesh: Mesh
    T_cam_obj: Float
    size_m: Float
    fit: Fit
    confidence: float
    note: str = ""
    asked: Asked | None = None


def answer(
    method: str,
    complete: Callable[[], Mesh],
    view: ObjectView,
    frame: Frame,
    max_faces: int,
    seconds: dict[str, float],
    asked: Asked | None = None,
) -> Answer:
    """complete: makes the mesh in the view frame, m. seconds: gets the time of the stages `shape` and `fit` added.

    Where no support was seen the note says that its level is a guess. Raises MeshError or InputError where no solid
    comes out.
    """
    with timed(seconds, "shape"):
        mesh_view, _ = simplify(check(complete()), max_faces)
        low, high = box(mesh_view)
        centre = (low + high) / 2
        T_cam_obj = view.T_cam_view @ transform(np.eye(3), centre)
        mesh = Mesh((mesh_view.vertices - centre).astype(np.float32), mesh_view.faces)
    with timed(seconds, "fit"):
        fit = fit_of(mesh, T_cam_obj, view, frame)
        trust = confidence(fit, view)
    note = ASSUMED if view.support.offset is None else ""
    return Answer(method, mesh, T_cam_obj, high - low, fit, trust, note, asked)
