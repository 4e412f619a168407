"""The box of the second look as training makes it: the true bounds, off by errors of all sizes.

At run time the model is asked again in the box that its first answer gives (`compact.box.box_again`).
"""

from __future__ import annotations

import numpy as np

from sam3d_ros.compact.ask import Question
from sam3d_ros.compact.box import ObjectBox, box_again
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.train.compact.examples import layout_of
from sam3d_ros.train.compact.scenes import Look
from sam3d_ros.types import Float

ERRORS = (0.02, 0.2)
"""Standard deviation of the bounds' centre over their sides and of the log of their sides, from things that are seen
whole to things half hidden. Drawn log-uniformly for every look."""


def believed_box(look: Look, first: Question, rng: np.random.Generator) -> ObjectBox:
    """The box of a second question about `look`, after the first one."""
    T_view_obj = inverse(look.view.T_cam_view) @ look.T_cam_obj
    vertices = apply(T_view_obj, look.thing.model.mesh.vertices.astype(np.float64))
    return box_again(first.box, *believed(vertices, first.box, rng), first.seen.points)


def believed(vertices: Float, box: ObjectBox, rng: np.random.Generator) -> tuple[Float, Float]:
    """For an object with vertices (V, 3) in the view frame and the box of the first question: translation (3,) and
    scale (3,) as `layout_of` gives them, off by an error of random size."""
    translation, scale = layout_of(vertices, box)
    error = np.exp(rng.uniform(*np.log(ERRORS)))
    off = error * np.exp(scale) * rng.standard_normal(3)
    return translation + off, scale + error * rng.standard_normal(3)
