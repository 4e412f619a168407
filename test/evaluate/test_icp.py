import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.icp import Cloud, align, angle_deg, best_rigid, cloud_of, cube_rotations, icp
from sam3d_ros.perception.frames import apply, inverse, transform


def cloud(category, seed, count=1500):
    mesh = make_object(category, np.random.default_rng(4)).mesh
    return cloud_of(mesh.vertices.astype(np.float64), mesh.faces, count, seed)


def moved(T, cloud):
    return Cloud(apply(T, cloud.points), cloud.normals @ T[:3, :3].T, cloud.radius)


def on_disc(point, cloud, i):
    offset = point - cloud.points[i]
    offset = offset - (offset @ cloud.normals[i]) * cloud.normals[i]
    length = np.linalg.norm(offset)
    return cloud.points[i] + offset * (cloud.radius / length if length > cloud.radius else 1)


def plain_partners(points, cloud):
    nearest = np.linalg.norm(points[:, None] - cloud.points[None], axis=2).argmin(axis=1)
    return np.array([on_disc(p, cloud, i) for p, i in zip(points, nearest, strict=True)])


def plain_icp(moving_cloud, fixed_cloud, T, iterations):
    """One start, every distance of all pairs, one disc at a time, scipy's Kabsch."""
    moving, fixed = moving_cloud.points, fixed_cloud.points
    for _ in range(iterations):
        source = np.concatenate([moving, plain_partners(apply(inverse(T), fixed), moving_cloud)])
        target = np.concatenate([plain_partners(apply(T, moving), fixed_cloud), fixed])
        weights = np.r_[np.full(len(moving), 1 / len(moving)), np.full(len(fixed), 1 / len(fixed))]
        middle_s, middle_t = (np.average(c, axis=0, weights=weights) for c in (source, target))
        R = Rotation.align_vectors(target - middle_t, source - middle_s, weights)[0].as_matrix()
        T = transform(R, middle_t - R @ middle_s)
    there, back = apply(T, moving), apply(inverse(T), fixed)
    apart = [
        np.linalg.norm(points - plain_partners(points, cloud), axis=1).mean()
        for points, cloud in ((there, fixed_cloud), (back, moving_cloud))
    ]
    return T, sum(apart) / 2


def test_against_the_plain_loop():
    moving, fixed = cloud("mug", 0, 200), cloud("hammer", 1, 170)
    starts = np.array([transform(R, np.array([0.01, 0, 0])) for R in cube_rotations()[:5]])
    T, errors = icp(moving, fixed, starts, 6)
    for start, found, error in zip(starts, T, errors, strict=True):
        expected, expected_error = plain_icp(moving, fixed, start, 6)
        assert np.allclose(found, expected, atol=1e-9)
        assert error == pytest.approx(expected_error)


def test_best_rigid_recovers_what_was_done_and_never_mirrors():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 40, 3))
    R = Rotation.random(3, random_state=1).as_matrix()
    t = rng.normal(size=(3, 3))
    found = best_rigid(points, points @ R.transpose(0, 2, 1) + t[:, None], np.ones(40))
    assert np.allclose(found[:, :3, :3], R)
    assert np.allclose(found[:, :3, 3], t)
    mirrored = best_rigid(points, points * [1, 1, -1], np.ones(40))
    assert np.allclose(np.linalg.det(mirrored[:, :3, :3]), 1)


def test_the_cube_has_24_rotations():
    R = cube_rotations()
    assert len(np.unique(R.reshape(-1, 9), axis=0)) == 24
    assert np.allclose(R[0], np.eye(3))
    assert np.allclose(R @ R.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(R), 1)
    any_R = Rotation.random(2000, random_state=0).as_matrix()
    trace = np.einsum("aij,bij->ab", any_R, R).max(axis=1)
    assert np.rad2deg(np.arccos((trace - 1) / 2)).max() < 62.9


@pytest.mark.parametrize("category", ["hammer", "car", "spoon", "pan", "blocks"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_turn_and_shift_are_undone(category, seed):
    fixed = cloud(category, 0)
    T = transform(Rotation.random(random_state=seed).as_matrix(), np.array([0.3, -1, 2]))
    found = align(moved(T, cloud(category, 1)), fixed, cube_rotations())
    extent = np.ptp(fixed.points, axis=0).max()
    assert found.error < 0.008 * extent
    back = apply(found.T, apply(T, fixed.points))
    assert np.linalg.norm(back - fixed.points, axis=1).mean() < 0.02 * extent


def test_two_samplings_of_one_surface_do_not_lock_into_each_other():
    """A mug turns about its axis almost freely: with discs it stays, with bare points it goes astray."""
    mug = make_object("mug", np.random.default_rng(0)).mesh
    a, b = (cloud_of(mug.vertices.astype(np.float64), mug.faces, 1500, seed) for seed in (8, 9))
    start = np.eye(4)[None]
    T, _ = icp(a, b, start, 60)
    assert angle_deg(T[0, :3, :3]) < 0.5
    bare = [Cloud(c.points, c.normals, 0.0) for c in (a, b)]
    T, _ = icp(*bare, start, 60)
    assert angle_deg(T[0, :3, :3]) > 1


def test_angle():
    for angle in (0, 1e-4, 20, 90, 179.9, 180):
        R = Rotation.from_rotvec(np.deg2rad(angle) * np.array([0.6, 0, 0.8])).as_matrix()
        assert angle_deg(R) == pytest.approx(angle, abs=1e-6)
