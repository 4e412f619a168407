import dataclasses

import numpy as np
import pytest
import trimesh

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.posed import EMPTY, box_iou, posed_metrics
from sam3d_ros.evaluate.shape import f_score
from sam3d_ros.evaluate.surface import sample_surface
from sam3d_ros.types import InputError, Mesh

SIZE = np.array([0.1, 0.06, 0.08])
HERE = np.eye(4)
HERE[:3, 3] = 0.05, -0.1, 0.7


def box(size=SIZE, subdivisions=0):
    raw = trimesh.creation.box(size)
    for _ in range(subdivisions):
        raw = raw.subdivide()
    return Mesh(raw.vertices.astype(np.float32), raw.faces.astype(np.int32))


def moved(T, *step):
    T = T.copy()
    T[:3, 3] += step
    return T


def turned(T, angle):
    """About the object's z axis."""
    c, s = np.cos(angle), np.sin(angle)
    R = np.eye(4)
    R[:2, :2] = [[c, -s], [s, c]]
    return T @ R


def test_identity():
    metrics = posed_metrics(box(), HERE, box(), HERE)
    assert metrics.viou == metrics.f1 == 1
    assert metrics.box_iou == pytest.approx(1)
    assert metrics.centre_error_m == 0
    # What is left is the distance between sampled points.
    assert metrics.chamfer_m < 0.0006
    assert metrics.add_s < 0.005


@pytest.mark.parametrize("step", [0.01, 0.025, 0.05, 0.12])
def test_shifted_box_has_the_analytic_overlap(step):
    metrics = posed_metrics(box(), moved(HERE, step, 0, 0), box(), HERE)
    overlap = max(SIZE[0] - step, 0)
    expected = overlap / (2 * SIZE[0] - overlap)
    assert metrics.viou == pytest.approx(expected, abs=0.03)
    assert metrics.box_iou == pytest.approx(expected, abs=1e-6)
    assert metrics.centre_error_m == pytest.approx(step, abs=1e-6)


def test_scaled_box_has_the_analytic_overlap():
    metrics = posed_metrics(box(SIZE / 2), HERE, box(), HERE)
    assert metrics.viou == pytest.approx(1 / 8, abs=0.01)
    assert metrics.box_iou == pytest.approx(1 / 8)
    assert metrics.centre_error_m == pytest.approx(0, abs=1e-6)


def test_f1_turns_at_five_per_cent_of_half_the_longest_side():
    threshold = 0.05 * 0.1 / 2
    plate = box([0.1, 0.1, 0.001])
    for share, expected in ((0.6, 1.0), (1.7, 0.0)):
        metrics = posed_metrics(plate, moved(HERE, 0, 0, share * threshold), plate, HERE)
        assert metrics.f1 == pytest.approx(expected, abs=0.05)


def test_distances_of_two_spheres():
    """Concentric spheres: every point is exactly the difference of the radii away."""

    def sphere(radius):
        raw = trimesh.creation.icosphere(5, radius)
        return Mesh(raw.vertices.astype(np.float32), raw.faces.astype(np.int32))

    metrics = posed_metrics(sphere(0.045), HERE, sphere(0.05), HERE)
    assert metrics.chamfer_m == pytest.approx(0.005, rel=0.02)
    assert metrics.add_s == pytest.approx(0.005 / 0.1, rel=0.02)
    assert metrics.viou == pytest.approx(0.9**3, abs=0.01)


def test_add_s_against_all_pairs():
    a, b = (
        make_object("mug", np.random.default_rng(0)).mesh,
        make_object("can", np.random.default_rng(1)).mesh,
    )
    metrics = posed_metrics(a, HERE, b, moved(HERE, 0.01, 0.02, 0))
    clouds = [
        sample_surface(m.vertices.astype(np.float64) + T, m.faces, 1500, seed=9)
        for m, T in ((a, np.zeros(3)), (b, np.array([0.01, 0.02, 0])))
    ]
    distance = np.linalg.norm(clouds[0][:, None] - clouds[1][None], axis=2)
    diameter = max(np.linalg.norm(p - clouds[1], axis=1).max() for p in clouds[1])
    expected = (distance.min(axis=1).mean() + distance.min(axis=0).mean()) / (2 * diameter)
    assert metrics.add_s == pytest.approx(expected, rel=0.08)


def test_turned_by_its_symmetry_nothing_changes_by_another_angle_it_does():
    half = posed_metrics(box(), turned(HERE, np.pi), box(), HERE)
    assert half.viou > 0.999
    assert half.f1 == 1
    quarter = posed_metrics(box(), turned(HERE, np.pi / 2), box(), HERE)
    side = SIZE[1]
    assert quarter.viou == pytest.approx(side * side / (2 * SIZE[0] * side - side * side), abs=0.03)
    can = make_object("can", np.random.default_rng(0)).mesh
    assert posed_metrics(can, turned(HERE, 1.0), can, HERE).viou > 0.97


def test_no_alignment_and_no_dependence_on_where_both_are():
    mug = make_object("mug", np.random.default_rng(0)).mesh
    near = posed_metrics(mug, moved(HERE, 0.01, 0, 0), mug, HERE)
    far = posed_metrics(mug, moved(HERE, 1.01, -2, 3), mug, moved(HERE, 1, -2, 3))
    assert near.viou < 0.7
    for field in dataclasses.fields(near):
        assert getattr(near, field.name) == pytest.approx(getattr(far, field.name), abs=0.01)


def test_triangulation_does_not_matter():
    coarse, fine = (posed_metrics(box(subdivisions=n), moved(HERE, 0, 0.01, 0), box(), HERE) for n in (0, 4))
    assert coarse.viou == fine.viou
    assert coarse.add_s == pytest.approx(fine.add_s, rel=0.02)


def test_far_apart():
    metrics = posed_metrics(box(), moved(HERE, 5, 0, 0), box(), HERE)
    assert (metrics.viou, metrics.f1, metrics.box_iou) == (0, 0, 0)
    assert metrics.centre_error_m == pytest.approx(5)
    assert metrics.add_s == pytest.approx(5 / np.linalg.norm(SIZE), rel=0.05)


def test_empty_prediction_scores_nothing_and_empty_truth_is_an_error():
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    assert posed_metrics(empty, HERE, box(), HERE) == EMPTY
    point = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    assert posed_metrics(point, HERE, box(), HERE) == EMPTY
    for truth in (empty, point):
        with pytest.raises(InputError, match="true mesh is empty"):
            posed_metrics(box(), HERE, truth, HERE)


def test_bad_input_is_named():
    broken = box()
    vertices = broken.vertices.copy()
    vertices[0, 0] = np.nan
    with pytest.raises(InputError, match="prediction: 1 of 8 vertices"):
        posed_metrics(Mesh(vertices, broken.faces), HERE, box(), HERE)
    with pytest.raises(InputError, match="truth: 1 of 8 vertices"):
        posed_metrics(box(), HERE, Mesh(vertices, broken.faces), HERE)
    with pytest.raises(InputError, match="pose of the truth"):
        posed_metrics(box(), HERE, box(), np.full((4, 4), np.nan))


def test_what_is_not_closed_has_no_inside():
    lidless = Mesh(box().vertices, box().faces[2:])
    prediction = posed_metrics(lidless, HERE, box(), HERE)
    assert prediction.viou == 0
    assert prediction.f1 > 0.9
    truth = posed_metrics(box(), HERE, lidless, HERE)
    assert np.isnan(truth.viou)
    assert truth.f1 > 0.9


def test_small_parts():
    assert f_score(np.array([0.0, 1, 1, 1]), np.array([0.0, 0, 0, 1]), 0.5) == pytest.approx(2 * 0.25 * 0.75)
    assert f_score(np.ones(3), np.ones(3), 0.5) == 0
    one, flat = np.ones(3), np.array([1.0, 1, 0])
    assert box_iou(0 * one, one, 0 * one, one) == 1
    assert box_iou(0 * one, flat, 0 * one, flat) == 0


def test_samples_are_even_over_the_surface():
    """Three sides of a box share its points by their areas, however they are cut into triangles."""
    raw = trimesh.creation.box((1, 2, 3))
    fine = trimesh.remesh.subdivide(raw.vertices, raw.faces, face_index=[0, 1, 2])
    points = sample_surface(np.asarray(fine[0]), np.asarray(fine[1]), 22_000, seed=0)
    for axis, area in ((0, 6), (1, 3), (2, 2)):
        share = (np.abs(np.abs(points[:, axis]) - np.array([1, 2, 3])[axis] / 2) < 1e-9).mean()
        assert share == pytest.approx(area / 11, abs=0.01)
