"""The mirrored example is the example of the mirrored world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sam3d_ros.compact.ask import ask
from sam3d_ros.compact.mirror import mirrored
from sam3d_ros.data.distance import DistanceVolume
from sam3d_ros.data.solids import Symmetry
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.perception.view import object_view
from sam3d_ros.train.compact.data_command import training_sources
from sam3d_ros.train.compact.examples import example
from sam3d_ros.train.compact.objects import ObjectStream, TrainingObject
from sam3d_ros.train.compact.scenes import Look, looks
from sam3d_ros.types import Frame, Mesh, ObjectView

IN_CAMERA, IN_OBJECT = np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, 1, 1])
"""Left and right are x in the optical frame, and taken to be y in the object's; y of the view frame points left."""


@pytest.fixture(scope="module")
def look() -> Look:
    source, _ = training_sources(())
    stream = ObjectStream([(source, 1.0)], seed=0)
    return next(look for look in looks(stream, 34, 0))


def reflection(look: Look) -> Look:
    """The same look in a mirror world."""
    camera = look.frame.camera
    assert look.frame.rgb is not None
    frame = Frame(
        np.ascontiguousarray(look.frame.rgb[:, ::-1]),
        np.ascontiguousarray(look.frame.points_cam[:, ::-1] * np.array([-1, 1, 1], np.float32)),
        replace(camera, cx=camera.width - 1 - camera.cx),
    )
    mask = replace(look.view.mask, pixels=np.ascontiguousarray(look.view.mask.pixels[:, ::-1]))
    support = replace(look.view.support, up_cam=IN_CAMERA[:3, :3] @ look.view.support.up_cam)
    occupied = np.ascontiguousarray(look.view.occupied[:, ::-1])
    view = object_view(frame, mask, support, MaskLimits(), occupied)
    assert isinstance(view, ObjectView)
    model, volume = look.thing.model, look.thing.volume
    mesh = Mesh(model.mesh.vertices * np.array([1, -1, 1], np.float32), model.mesh.faces[:, ::-1], None)
    flip = IN_OBJECT[:3, :3]
    symmetry = Symmetry(
        tuple(flip @ R @ flip for R in model.symmetry.rotations), model.symmetry.about_z, model.symmetry.known
    )
    grid = volume.grid
    last = grid.origin + grid.spacing * (np.array(grid.shape) - 1)
    origin = np.array([grid.origin[0], -last[1], grid.origin[2]])
    other = DistanceVolume(Grid(origin, grid.spacing, grid.shape), volume.values[:, ::-1])
    thing = TrainingObject(0, replace(model, mesh=mesh, symmetry=symmetry), other)
    return replace(
        look, thing=thing, frame=frame, view=view, T_cam_obj=IN_CAMERA @ look.T_cam_obj @ IN_OBJECT
    )


def test_mirroring_arrays_is_mirroring_the_world(look: Look) -> None:
    there = reflection(look)
    here, across = (example(one, ask(one.view, one.frame, 32, 96)) for one in (look, there))
    assert here is not None
    assert across is not None
    flipped = mirrored(here)
    assert flipped.keys() == across.keys()
    for name, value in flipped.items():
        off = np.abs(value - across[name])
        # Cells and pixels on an edge may fall to the other side of it.
        limit = 0.01 if name in ("grid", "picture", "shape") else 2e-3
        assert off.mean() < limit, name
        if value.any():
            assert np.abs(here[name] - across[name]).mean() > 3 * off.mean() or name in (
                "scale",
                "globals",
                "has_rotation",
            )


def test_two_mirrors_are_none(look: Look) -> None:
    here = example(look, ask(look.view, look.frame, 32, 96))
    assert here is not None
    for name, value in mirrored(mirrored(here)).items():
        np.testing.assert_array_equal(value, here[name])
