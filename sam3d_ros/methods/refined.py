"""The model's second stage on the objects of a frame: finer meshes, with colours where nothing was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sam3d_ros.compact.model import CompactModel, Refined, Sampling
from sam3d_ros.mesh.check import check
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.methods.answer import Answer, Asked
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.refine.fit import confidence, fit_of
from sam3d_ros.types import Cancelled, Fit, Frame, InputError, Mesh, ObjectView

Second: TypeAlias = Refined | str
"""The second stage's answer about an object, or why there is none."""
WORSE = 0.05
"""A finer mesh whose confidence is lower than the first one's by more than this is not used."""


@dataclass(frozen=True)
class Finer:
    """mesh: object frame of the first answer, m, coloured. It may go beyond the first one's box by part of a cell."""

    mesh: Mesh
    fit: Fit
    confidence: float


def refine_all(
    model: CompactModel,
    sampling: Sampling,
    asked: Sequence[Asked],
    should_stop: Callable[[], bool] | None = None,
) -> list[Second]:
    """The second stage's answer per object, or why there is none. Raises Cancelled between two steps of the flow."""
    try:
        return list(
            model.refine([a.question for a in asked], [a.shape for a in asked], sampling, should_stop)
        )
    except Cancelled:
        raise
    except Exception as error:  # no memory, a driver: the first answer stands
        return [f"the second stage failed: {type(error).__name__}: {error}" for _ in asked]


def finer(
    second: Second, level: float, first: Answer, view: ObjectView, frame: Frame, max_faces: int
) -> Finer:
    """The finer mesh in the frame of the first answer. Raises MeshError where it has no inside, InputError where there
    is none or it explains the view clearly worse than the first."""
    if isinstance(second, str):
        raise InputError(second)
    reduced, _ = simplify(check(second.mesh(level)), max_faces)
    T_obj_view = inverse(first.T_cam_obj) @ view.T_cam_view
    colors = second.colors_at(reduced.vertices)
    vertices = apply(T_obj_view, reduced.vertices.astype(np.float64)).astype(np.float32)
    mesh = Mesh(vertices, reduced.faces, colors)
    fit = fit_of(mesh, first.T_cam_obj, view, frame)
    trust = confidence(fit, view)
    if trust < first.confidence - WORSE:
        raise InputError(f"the finer mesh fits worse ({trust:.2f} after {first.confidence:.2f})")
    return Finer(mesh, fit, trust)
