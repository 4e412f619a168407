import itertools

import manifold3d
import numpy as np
import pytest
import trimesh

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.scene import look_at, make_tabletop, orbit, toppled, world_vertices
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.types import InputError, Mesh


@pytest.mark.parametrize("seed", range(3))
def test_objects_stand_on_the_table_and_touch_nothing_else(seed):
    scene = make_tabletop(seed, 9, lying=0.5)
    assert [p.label for p in scene.objects] == list(range(1, 10))
    solids = []
    for placed in scene.objects:
        vertices = world_vertices(placed)
        assert vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
        assert np.abs(vertices[:, :2]).max() < 0.6
        R = placed.T_world_obj[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)
        faces = placed.model.mesh.faces.astype(np.uint32)
        solids.append(manifold3d.Manifold(manifold3d.Mesh(vertices.astype(np.float32), faces)))
    for a, b in itertools.combinations(solids, 2):
        assert a.min_gap(b, 0.02) > 0.007


def test_same_seed_same_scene():
    first, again, other = make_tabletop(5, 3), make_tabletop(5, 3), make_tabletop(6, 3)
    for a, b in zip(first.objects, again.objects, strict=True):
        np.testing.assert_array_equal(a.T_world_obj, b.T_world_obj)
        np.testing.assert_array_equal(a.model.mesh.colors, b.model.mesh.colors)
    np.testing.assert_array_equal(first.room[0].image, again.room[0].image)
    assert any(
        a.model.category != b.model.category or not np.allclose(a.T_world_obj, b.T_world_obj)
        for a, b in zip(first.objects, other.objects, strict=True)
    )


def test_crowded_table_still_ends():
    assert len(make_tabletop(1, 20, categories=["box", "mug"], radius=0.05, lying=0).objects) == 20


def test_a_scan_is_toppled_onto_one_of_its_uneven_sides():
    rng = np.random.default_rng(0)
    box = trimesh.creation.box((0.05, 0.09, 0.17)).subdivide().subdivide().subdivide()
    vertices = (box.vertices + rng.normal(0, 3e-4, box.vertices.shape)).astype(np.float32)
    scan = ObjectModel("box", Mesh(vertices, box.faces.astype(np.int32)), UNKNOWN)
    heights = set()
    for seed in range(12):
        R = toppled(scan, np.random.default_rng(seed))
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-6)
        assert np.abs(R[2]).max() > 0.998  # a tenth of the width of a side, at most
        heights.add(int(np.abs(R[2]).argmax()))
    assert 0 in heights  # mostly on the largest sides


def test_empty_and_negative_count():
    assert make_tabletop(0, 0).objects == ()
    with pytest.raises(InputError, match="-1"):
        make_tabletop(0, -1)


def test_orbit_is_smooth_closed_and_looks_at_the_table():
    count = 120
    poses = orbit(count)
    assert poses.shape == (count, 4, 4)
    target = np.array([0, 0, 0.04])
    for T in poses:
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
        to_target = target - T[:3, 3]
        distance = np.linalg.norm(to_target)
        assert 0.5 - 1e-9 <= distance <= 0.9 + 1e-9
        np.testing.assert_allclose(T[:3, 2], to_target / distance, atol=1e-12)
        assert 30 - 1e-9 <= np.rad2deg(np.arcsin(-T[2, 2])) <= 55 + 1e-9
        assert T[2, 0] == pytest.approx(0)  # the horizon is level
        assert T[2, 1] < 0  # y points down
    steps = np.linalg.norm(np.diff(np.concatenate([poses, poses[:1]])[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 3 * np.median(steps)


def test_orbit_of_nothing_and_of_one():
    assert orbit(0).shape == (0, 4, 4)
    assert orbit(1).shape == (1, 4, 4)


@pytest.mark.parametrize("eye", [[0, 0, 1.0], [0, 0, -1.0], [0, 0, 0.0]])
def test_straight_down_has_no_upright_picture(eye):
    with pytest.raises(InputError, match="straight"):
        look_at(np.array(eye), np.zeros(3))
