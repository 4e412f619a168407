import itertools

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate import shape
from sam3d_ros.evaluate.shape import earth_movers_distance, f_score, normalised, shape_metrics, surface_iou
from sam3d_ros.evaluate.surface import sample_surface, surface_area
from sam3d_ros.types import InputError


def sphere(radii=(1.0, 1.0, 1.0)):
    raw = trimesh.creation.icosphere(5)
    return np.asarray(raw.vertices) * radii, np.asarray(raw.faces)


def category(name):
    mesh = make_object(name, np.random.default_rng(2)).mesh
    return mesh.vertices.astype(np.float64), mesh.faces


@pytest.mark.parametrize("name", ["box", "car", "hammer"])
def test_a_shape_is_itself_wherever_however_large_and_turned(name):
    vertices, faces = category(name)
    quarter = Rotation.from_euler("xyz", [90, 180, -90], degrees=True).as_matrix()
    for R, size, shift in ((np.eye(3), 1, 0), (quarter, 7, np.array([1, 2, 3]))):
        found = shape_metrics(vertices @ R.T * size + shift, faces, vertices, faces)
        assert found.f1 > 0.99
        assert found.viou > 0.9
        assert found.chamfer_l1 < 0.001
        assert found.chamfer_l2 < 3e-6
        assert found.emd < 0.07


def test_an_ellipsoid_and_its_sphere():
    """After scaling, the ellipsoid (1, 1, h) lies in the unit sphere: distances by integration over it."""
    h = 0.9
    found = shape_metrics(*sphere((1, 1, h)), *sphere())
    flat, faces = sphere((1, 1, h))
    to_sphere = 1 - np.linalg.norm(sample_surface(flat, faces, 200_000, seed=0), axis=1)
    assert found.chamfer_l1 == pytest.approx(to_sphere.mean(), rel=0.08)
    assert found.chamfer_l2 == pytest.approx((to_sphere**2).mean(), rel=0.15)
    precision = (to_sphere <= 0.01).mean()
    assert found.f1 == pytest.approx(precision, abs=0.04)


def test_all_of_it_against_a_plain_reference(monkeypatch):
    """With ICP held still: all pairs of many points, sets of voxels, as the paper has it; the points' own
    spacing, which ours does without, is taken off."""
    monkeypatch.setattr(shape, "align", lambda moving, fixed, starts: type("Still", (), {"T": np.eye(4)}))
    (a, fa), (b, fb) = category("can"), category("jar")
    found = shape_metrics(a, fa, b, fb)
    a, b = normalised(a, fa, ""), normalised(b, fb, "")
    pa, pb = sample_surface(a, fa, 6000, seed=20), sample_surface(b, fb, 6000, seed=21)
    apart = np.concatenate([np.linalg.norm(pa[i : i + 500, None] - pb, axis=2) for i in range(0, 6000, 500)])
    # The nearest of n points on an area A is at distance h from the surface: h^2 grows by A / (pi n).
    spacing = [surface_area(v, f) / np.pi / 6000 for v, f in ((b, fb), (a, fa))]
    d_a = np.sqrt(np.maximum(apart.min(axis=1) ** 2 - spacing[0], 0))
    d_b = np.sqrt(np.maximum(apart.min(axis=0) ** 2 - spacing[1], 0))
    assert found.chamfer_l1 == pytest.approx((d_a.mean() + d_b.mean()) / 2, rel=0.03)
    assert found.chamfer_l2 == pytest.approx(((d_a**2).mean() + (d_b**2).mean()) / 2, rel=0.05)
    cells = []
    for vertices, faces, seed in ((a, fa, 30), (b, fb, 31)):
        points = sample_surface(vertices, faces, 300_000, seed=seed)
        cells.append({tuple(cell) for cell in np.rint(points / (2 / 63) + 31.5).astype(int).tolist()})
    assert found.viou == pytest.approx(len(cells[0] & cells[1]) / len(cells[0] | cells[1]), abs=0.02)


def test_surface_iou_of_parallel_plates():
    """Two plates one cell apart share no voxel; half a plate shares half."""
    cell = 2 / 63
    plate = np.array([[-1.0, -1, 0.3 * cell], [1, -1, 0.3 * cell], [1, 1, 0.3 * cell], [-1, 1, 0.3 * cell]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    assert surface_iou(plate, faces, plate, faces) == 1
    assert surface_iou(plate, faces, plate + np.array([0, 0, cell]), faces) == 0
    half = np.clip(plate, [-1, -1, -1], [-cell / 2 - 1e-6, 1, 1])
    assert surface_iou(half, faces, plate, faces) == pytest.approx(0.5, abs=0.02)


def test_earth_movers_distance_against_all_pairings():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 3))
    plain = min(
        np.linalg.norm(a - b[list(order)], axis=1).mean() for order in itertools.permutations(range(6))
    )
    assert earth_movers_distance(a, b) == pytest.approx(plain)
    assert earth_movers_distance(a, a[::-1]) == 0
    assert earth_movers_distance(a, a + np.array([0.5, 0, 0])) <= 0.5


def test_f_score_by_hand():
    assert f_score(np.array([0.0, 1, 1, 1]), np.array([0.0, 0, 0, 1]), 0.5) == pytest.approx(2 * 0.25 * 0.75)
    assert f_score(np.ones(3), np.ones(3), 0.5) == 0


def test_normalised_box_and_bad_input():
    vertices, faces = category("hammer")
    points = normalised(vertices + 5, faces, "x")
    assert np.ptp(points, axis=0).max() == pytest.approx(2)
    assert np.allclose(points.min(axis=0) + points.max(axis=0), 0, atol=1e-9)
    with pytest.raises(InputError, match="prediction: a mesh without faces"):
        shape_metrics(vertices, faces[:0], vertices, faces)
    with pytest.raises(InputError, match="truth: a mesh without extent"):
        shape_metrics(vertices, faces, np.ones((3, 3)), np.array([[0, 1, 2]]))
