"""From a look at an object to the arrays that the compact geometry model is trained on."""

from __future__ import annotations

import numpy as np

from sam3d_ros.compact.ask import Question
from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.compact.lift import cells_of
from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.train.compact.scenes import Look
from sam3d_ros.types import Float

OUTSIDE = 0.4
"""Share of the vertices that may lie outside the box: a thing that the picture cuts off cannot be learned from."""


def example(look: Look, question: Question) -> dict[str, Float] | None:
    """One training example, None where too much of the object lies outside its box:

    grid (6, G, G, G), picture (8, 96, 96) and globals (6,) of the question; shape (G, G, G) distance in cells over
    TRUNCATION, positive inside; translation, scale (3,) as `layout_of` gives them; rotation (6,) and has_rotation ()
    1 or 0. All float32.
    """
    box = question.box
    T_view_obj = inverse(look.view.T_cam_view) @ look.T_cam_obj
    T_obj_view = inverse(T_view_obj)
    vertices = apply(T_view_obj, look.thing.model.mesh.vertices.astype(np.float64))
    if (np.abs(box.unit(vertices)) > 1).any(axis=1).mean() > OUTSIDE:
        return None
    grid = box.grid(question.grid.shape[-1])
    metres = look.thing.volume.at(apply(T_obj_view, grid.points().astype(np.float64))).reshape(grid.shape)
    translation, scale = layout_of(vertices, box)
    rotation = rotation_of(look.thing.model, T_view_obj[:3, :3])
    return {
        "grid": question.grid,
        "picture": question.picture,
        "globals": question.numbers,
        "shape": cells_of(metres, grid),
        "translation": translation,
        "scale": scale,
        "rotation": np.zeros(6, np.float32) if rotation is None else rotation,
        "has_rotation": np.array(rotation is not None, np.float32),
    }


def layout_of(vertices: Float, box: ObjectBox) -> tuple[Float, Float]:
    """Of an object with vertices (V, 3) in the view frame: (3,) centre of its bounds relative to that of the box, over
    the box's sides; (3,) log of the bounds' sides over those of the box. float32."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centre = ((low + high) / 2 - box.low - box.size / 2) / box.size
    return centre.astype(np.float32), np.log(np.maximum(high - low, 1e-3) / box.size).astype(np.float32)


def rotation_of(model: ObjectModel, R_view_obj: Float) -> Float | None:
    """(6,) first two columns of the rotation from the object's canonical frame to the view frame; of the rotations
    that its symmetry makes equal, the one nearest to the identity. None where the canonical frame means nothing: its
    symmetry is not known, or every turn about an axis looks the same."""
    symmetry = model.symmetry
    if not symmetry.known or symmetry.about_z:
        return None
    equal = [R_view_obj, *(R_view_obj @ turn for turn in symmetry.rotations)]
    nearest = max(equal, key=lambda R: float(np.trace(R)))
    columns: Float = np.concatenate([nearest[:, 0], nearest[:, 1]]).astype(np.float32)
    return columns
