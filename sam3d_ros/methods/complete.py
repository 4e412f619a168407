"""One object completed by the chosen method, or by the classical one where the model cannot."""

from __future__ import annotations

from dataclasses import replace

from sam3d_ros.mesh.check import MeshError
from sam3d_ros.methods.answer import Answer, Asked, answer
from sam3d_ros.methods.choose import Chosen
from sam3d_ros.methods.classical import classical_mesh
from sam3d_ros.methods.learned import learned_answer
from sam3d_ros.methods.settings import FALLBACK, Settings
from sam3d_ros.types import Frame, InputError, ObjectView


def complete(
    chosen: Chosen,
    settings: Settings,
    frame: Frame,
    view: ObjectView,
    asked: Asked | str | None,
    seconds: dict[str, float],
) -> Answer:
    """asked: what the model said, or why it said nothing; None for a classical method.

    The classical method takes over where the model has no answer, or a doubtful one (`Settings.doubt`) that explains
    the view worse; the answer's note says why. Raises InputError or MeshError where no method has an answer.
    """
    if asked is None:
        return _classical(chosen.method, frame, view, settings, seconds)
    ours: Answer | None = None
    try:
        if isinstance(asked, str):
            raise InputError(asked)
        ours = learned_answer(asked, chosen.sampling, view, frame, settings.max_faces, seconds)
        reason = f"its confidence {ours.confidence:.2f} is below {settings.doubt:g}"
    except (InputError, MeshError) as error:
        reason = str(error)
        if not settings.fallback:
            raise
    if ours is not None and (ours.confidence >= settings.doubt or not settings.fallback):
        return ours
    try:
        theirs = _classical(FALLBACK, frame, view, settings, seconds)
    except (InputError, MeshError):
        if ours is None:
            raise
        return ours
    if ours is not None and ours.confidence >= theirs.confidence:
        return ours
    instead = f"{FALLBACK} instead of {chosen.method}: {reason}"
    return replace(theirs, note=f"{instead}; {theirs.note}" if theirs.note else instead)


def _classical(
    method: str, frame: Frame, view: ObjectView, settings: Settings, seconds: dict[str, float]
) -> Answer:
    return answer(
        method, lambda: classical_mesh(method, view, frame), view, frame, settings.max_faces, seconds
    )
