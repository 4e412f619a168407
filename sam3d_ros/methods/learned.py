"""The compact model on all objects of a frame: questions in batches, each answer with a mesh or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sam3d_ros.compact.ask import ask
from sam3d_ros.compact.model import CompactModel, Sampling
from sam3d_ros.mesh.check import MeshError
from sam3d_ros.methods.answer import Answer, Asked, answer
from sam3d_ros.types import Cancelled, Frame, InputError, ObjectView


def ask_model(
    model: CompactModel,
    sampling: Sampling,
    views: Sequence[ObjectView],
    frame: Frame,
    should_stop: Callable[[], bool] | None = None,
) -> list[Asked | str]:
    """Per view the model's shape, or why there is none. Raises Cancelled between two steps of the flow."""
    answers: list[Asked | str] = []
    questions = []
    for view in views:
        try:
            questions.append(ask(view, frame, model.side, model.pixels))
            answers.append("")
        except InputError as error:
            answers.append(str(error))
    asked = [i for i, reason in enumerate(answers) if not reason]
    try:
        shapes = model.shapes(questions, sampling, should_stop)
        for _ in range(1, sampling.looks):
            again = {
                i: question
                for i in range(len(questions))
                if (question := model.ask_again(questions[i], shapes[i])) is not None
            }
            closer = model.shapes(list(again.values()), sampling, should_stop)
            for i, shape in zip(again, closer, strict=True):
                questions[i], shapes[i] = again[i], shape
    except Cancelled:
        raise
    except Exception as error:  # no memory, a driver: the classical method still works
        reason = f"the model failed: {type(error).__name__}: {error}"
        return [given or reason for given in answers]
    for i, question, shape in zip(asked, questions, shapes, strict=True):
        answers[i] = Asked(question, shape)
    return answers


def learned_answer(
    asked: Asked,
    sampling: Sampling,
    view: ObjectView,
    frame: Frame,
    max_faces: int,
    seconds: dict[str, float],
) -> Answer:
    """The mesh of the mean of all candidates, or with `pick` "best" that of the candidate which explains the view best.

    Raises MeshError where no candidate has an inside.
    """
    shapes = [asked.shape]
    if sampling.pick == "best":
        shapes = [asked.shape.candidate(i) for i in range(len(asked.shape.distance))]
    found: list[Answer] = []
    failed: MeshError | None = None
    for shape in shapes:
        try:
            found.append(
                answer(
                    "compact",
                    lambda shape=shape: shape.mesh(sampling.level),  # type: ignore[misc]
                    view,
                    frame,
                    max_faces,
                    seconds,
                    replace(asked, shape=shape),
                )
            )
        except MeshError as error:
            failed = error
    if not found:
        raise failed or MeshError("the model gave no candidate")
    return max(found, key=lambda one: one.confidence)
