import numpy as np
import pytest
import trimesh

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.surface import distances, sample_faces, sample_surface, surface_area


def plain_distances(points, vertices, faces):
    """Every point with every triangle: trimesh's closest point, one triangle at a time."""
    nearest = np.full(len(points), np.inf)
    for triangle in vertices[faces]:
        there = trimesh.triangles.closest_point(np.repeat(triangle[None], len(points), 0), points)
        nearest = np.minimum(nearest, np.linalg.norm(points - there, axis=1))
    return nearest


@pytest.mark.parametrize("category", ["box", "mug", "spoon"])
def test_distances_are_those_to_the_nearest_triangle(category):
    mesh = make_object(category, np.random.default_rng(3)).mesh
    raw = trimesh.Trimesh(mesh.vertices, mesh.faces).simplify_quadric_decimation(face_count=500)
    vertices, faces = np.asarray(raw.vertices, np.float64), np.asarray(raw.faces)
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (300, 3))
    near = sample_surface(vertices, faces, 300, seed=5) + 0.001
    for cloud in (points, near):
        fast, slow = distances(cloud, vertices, faces), plain_distances(cloud, vertices, faces)
        assert np.all(fast >= slow - 1e-6)
        assert (fast - slow).mean() < 2e-5
        assert np.abs(fast - slow).max() < 1e-3


def test_points_of_a_surface_are_nowhere_else():
    mesh = make_object("pan", np.random.default_rng(0)).mesh
    vertices = mesh.vertices.astype(np.float64)
    on = sample_surface(vertices, mesh.faces, 2000, seed=0)
    found = distances(on, vertices, mesh.faces)
    assert found.mean() < 2e-5
    assert found.max() < 2e-3


@pytest.mark.parametrize("count", [1, 7, 1000, 22_000])
def test_exactly_as_many_samples_as_asked_for_each_on_its_face(count):
    raw = trimesh.creation.icosphere(2, 0.1)
    vertices, faces = np.asarray(raw.vertices), np.asarray(raw.faces)
    for seed in range(5):
        points, face = sample_faces(vertices, faces, count, seed)
        assert points.shape == (count, 3)
        corners = vertices[faces[face]]
        weights = trimesh.triangles.points_to_barycentric(corners, points)
        assert weights.min() > -1e-5
        assert np.allclose(trimesh.triangles.barycentric_to_points(corners, weights), points, atol=1e-7)


def test_every_part_gets_its_share():
    """With equal steps of area no face gets more than one point too many or too few."""
    raw = trimesh.creation.box((1, 2, 3))
    vertices, faces = np.asarray(raw.vertices), np.asarray(raw.faces)
    _, face = sample_faces(vertices, faces, 1000, seed=0)
    expected = 1000 * raw.area_faces / raw.area
    assert np.abs(np.bincount(face, minlength=len(faces)) - expected).max() <= 1


def test_area():
    raw = trimesh.creation.box((1, 2, 3))
    assert surface_area(raw.vertices, raw.faces) == pytest.approx(22)
    assert surface_area(raw.vertices, np.zeros((0, 3), int)) == 0
    assert surface_area(np.ones((3, 3)), np.array([[0, 1, 2]])) == 0
