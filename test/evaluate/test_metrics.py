import dataclasses
import math

import numpy as np
import pytest

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.metrics import METRICS, score
from sam3d_ros.types import Camera, InputError, Mesh

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)
HERE = np.eye(4)
HERE[:3, 3] = 0, 0, 0.7
MUG = make_object("mug", np.random.default_rng(0)).mesh


def test_the_truth_is_perfect():
    found = score(MUG, HERE, MUG, HERE, CAMERA)
    assert list(found) == [metric.name for metric in METRICS]
    for metric in METRICS:
        if metric.missing == 0:
            assert found[metric.name] > 0.95, metric.name
    assert found["add_s"] < 1e-3
    assert found["icp_rot_deg"] < 1
    assert found["centre_error_m"] == 0
    assert found["shape_chamfer_l1"] < 0.002


def test_a_shift_costs_where_it_should_and_only_there():
    there = HERE.copy()
    there[0, 3] += 0.02
    found = score(MUG, there, MUG, HERE, CAMERA)
    assert found["centre_error_m"] == pytest.approx(0.02)
    assert found["viou"] < 0.6
    assert found["mask_iou"] < 0.85
    assert found["shape_f1"] > 0.98
    assert found["icp_rot_deg"] < 2
    assert found["add_s_10"] == 1
    assert found["add_s_02"] == 0


def test_the_frame_of_the_prediction_does_not_matter():
    """The same points of space in another object frame: normalisation is in the truth's axes."""
    turn = np.eye(4)
    c, s = np.cos(0.5), np.sin(0.5)
    turn[:2, :2] = [[c, -s], [s, c]]
    vertices = (MUG.vertices @ turn[:3, :3]).astype(np.float32)
    found = score(dataclasses.replace(MUG, vertices=vertices), HERE @ turn, MUG, HERE, CAMERA)
    assert found["viou"] > 0.97
    assert found["shape_f1"] > 0.98
    assert found["icp_rot_deg"] < 1


def test_an_open_mesh_is_judged_but_has_no_inside():
    lidless = dataclasses.replace(MUG, faces=MUG.faces[50:])
    found = score(lidless, HERE, MUG, HERE, CAMERA)
    assert found["watertight"] == found["viou"] == 0
    assert found["f1"] > 0.9
    assert found["shape_f1"] > 0.9
    truth_open = score(MUG, HERE, lidless, HERE, CAMERA)
    assert math.isnan(truth_open["viou"])
    assert truth_open["f1"] > 0.9


def test_no_colours_no_texture():
    found = score(Mesh(MUG.vertices, MUG.faces), HERE, MUG, HERE, CAMERA)
    assert math.isnan(found["psnr"])
    assert found["viou"] == 1


@pytest.mark.parametrize(
    ("mesh", "reason"),
    [
        (Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)), "empty or has no area"),
        (Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)), "empty or has no area"),
        (
            Mesh(np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]], np.float32), np.array([[0, 1, 2]], np.int32)),
            "empty or has no area",
        ),
        (Mesh(np.full((3, 3), np.nan, np.float32), np.array([[0, 1, 2]], np.int32)), "not finite"),
        (Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 7]], np.int32)), "does not exist"),
    ],
)
def test_what_cannot_be_scored_is_named(mesh, reason):
    with pytest.raises(InputError, match=reason):
        score(mesh, HERE, MUG, HERE, CAMERA)
    with pytest.raises(InputError, match=r"true|truth"):
        score(MUG, HERE, mesh, HERE, CAMERA)


def test_a_pose_that_is_not_finite():
    with pytest.raises(InputError, match="pose of the prediction"):
        score(MUG, np.full((4, 4), np.nan), MUG, HERE, CAMERA)
