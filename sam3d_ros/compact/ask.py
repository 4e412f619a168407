"""From a view of an object to the arrays the compact model reads. Training and the robot use this same function."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sam3d_ros.baselines.evidence import MARGIN, Evidence, evidence
from sam3d_ros.compact.box import ObjectBox, box_of
from sam3d_ros.compact.lift import globals_of, lift
from sam3d_ros.compact.picture import picture
from sam3d_ros.types import Float, Frame, ObjectView

MARGIN_SHARE = 0.3
"""Pixels around the mask in which free space is looked up, in terms of its longer side: the box reaches that far."""


@dataclass(frozen=True)
class Question:
    """What the model is asked about one object.

    seen: the evidence; box: where the answer lies (view frame). grid (6, G, G, G), picture (8, P, P), numbers (6,):
    float32, as `lift`, `picture` and `globals_of` describe them.
    """

    seen: Evidence
    box: ObjectBox
    grid: Float
    picture: Float
    numbers: Float


def ask(view: ObjectView, frame: Frame, side: int, pixels: int) -> Question:
    """side: G, samples per side of the box; pixels: P, of the picture. Raises InputError where fewer than 4 points are
    left above the support."""
    view, roi = _standing(view), view.roi
    seen = evidence(view, frame, max(MARGIN, round(MARGIN_SHARE * max(roi.width, roi.height))))
    return ask_in(box_of(seen.points), seen, side, pixels)


def _standing(view: ObjectView) -> ObjectView:
    """On a level that was seen, or else on its lowest visible points, where its view frame is: the model knows no
    things that hover, and what stands in the open shows the edge it stands on."""
    support = view.support
    if support.offset is not None:
        return view
    lowest = float(support.up_cam @ view.T_cam_view[:3, 3])
    return replace(view, support=replace(support, offset=lowest))


def ask_in(box: ObjectBox, seen: Evidence, side: int, pixels: int) -> Question:
    """The same evidence in a box of its own choice."""
    return Question(
        seen, box, lift(seen, box, side), picture(seen.view, seen.frame, box, pixels), globals_of(seen, box)
    )


def stacked(questions: list[Question]) -> dict[str, Float]:
    """The inputs of a batch, by name."""
    return {
        name: np.ascontiguousarray(np.stack([getattr(q, name) for q in questions]), np.float32)
        for name in ("grid", "picture", "numbers")
    }
