"""Surfaces, checks, simplification and the z-buffer, against known answers and slow references."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.mesh.check import MeshError, check, is_watertight, volume
from sam3d_ros.mesh.colour import colour
from sam3d_ros.mesh.raster import Picture, depth_picture, fragments
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.mesh.surface import Grid, surface
from sam3d_ros.perception import frames
from sam3d_ros.types import Camera, Mask, Mesh, Roi

CAMERA = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32))


def cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


def sphere(radius: float = 0.05) -> Mesh:
    return mesh_of(trimesh.creation.icosphere(subdivisions=3, radius=radius))


def test_a_grid_counts_its_own_samples() -> None:
    """Sample (i, j, k) lies at index i, j, k, whatever the spacing along each axis."""
    grid = Grid(np.array([0.1, -0.2, 0.3]), np.array([0.01, 0.02, 0.005]), (3, 4, 5))
    counted = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")).reshape(3, -1)
    np.testing.assert_allclose(grid.index(grid.points()), counted, atol=1e-4)


def test_a_grid_knows_which_samples_hold_points() -> None:
    grid = Grid(np.array([0.1, -0.2, 0.3]), np.array([0.01, 0.02, 0.005]), (3, 4, 5))
    points = (
        grid.origin
        + np.array([[1.4, 2.6, 0.0], [-0.4, 0.0, 4.4], [2.6, 0.0, 0.0], [0.0, 0.0, -0.6]]) * grid.spacing
    )
    index, inside = grid.nearest(points)
    assert inside.tolist() == [True, True, False, False]
    assert index.T.tolist() == [[1, 3, 0], [0, 0, 4]]
    assert np.argwhere(grid.held(points)).tolist() == [[0, 0, 4], [1, 3, 0]]


def test_steps_of_a_grid_along_its_axes_and_askew() -> None:
    grid = Grid(np.zeros(3), np.array([0.01, 0.02, 0.005]), (3, 4, 5))
    np.testing.assert_allclose(grid.steps(np.eye(3)), grid.spacing)
    assert grid.steps(np.array([0.6, 0.8, 0.0])) == pytest.approx(1 / np.hypot(60, 40))


def test_surface_of_a_ball() -> None:
    grid = Grid.over(np.full(3, -0.05), np.full(3, 0.05), 40)
    mesh = check(surface(0.05 - np.linalg.norm(grid.points(), axis=1), grid))
    assert is_watertight(mesh)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.05, atol=3e-4)
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.05**3, rel=0.01)


def test_a_flat_box_keeps_samples_across_its_thickness() -> None:
    grid = Grid.over(np.zeros(3), np.array([0.3, 0.2, 0.01]), 48)
    assert grid.shape[2] >= 12
    assert (grid.origin < 0).all()
    assert (grid.origin + grid.spacing * (np.array(grid.shape) - 1) > [0.3, 0.2, 0.01]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_any_field_gives_a_closed_surface(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid(np.zeros(3), np.array([0.01, 0.02, 0.01]), (7, 6, 8))
    field = np.round(rng.normal(size=grid.shape), 1) if seed % 2 else rng.integers(-1, 2, grid.shape)
    try:
        mesh = surface(field.astype(np.float32), grid)
    except MeshError:
        assert not (field > 0).any()
        return
    directed = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    # Closed in the sense of the divergence theorem: every edge is passed as often one way as the other.
    forward, backward = (
        np.sort(e[:, 0].astype(np.int64) * 10**6 + e[:, 1]) for e in (directed, directed[:, ::-1])
    )
    np.testing.assert_array_equal(forward, backward)
    assert volume(mesh) > 0


def test_checks() -> None:
    good = sphere()
    assert check(good) is good
    assert is_watertight(good)
    assert not is_watertight(Mesh(good.vertices, good.faces[1:]))
    one_turned = good.faces.copy()
    one_turned[0] = one_turned[0, ::-1]
    assert not is_watertight(Mesh(good.vertices, one_turned))
    bad = good.vertices.copy()
    bad[0, 0] = np.nan
    for wrong in (
        Mesh(good.vertices, good.faces[:, ::-1]),
        Mesh(bad, good.faces),
        Mesh(good.vertices[:5], good.faces),
        Mesh(good.vertices[:0], good.faces[:0]),
        Mesh(good.vertices, good.faces, np.zeros((1, 3), np.uint8)),
    ):
        with pytest.raises(MeshError):
            check(wrong)


def test_simplify_keeps_closed_and_size() -> None:
    mesh, fine = simplify(sphere(), 200)
    assert fine
    assert len(mesh.faces) <= 220
    assert is_watertight(mesh)
    assert volume(mesh) == pytest.approx(volume(sphere()), rel=0.05)
    same, fine = simplify(mesh, 10_000)
    assert same is mesh
    assert fine
    with pytest.raises(ValueError, match="at least 4"):
        simplify(mesh, 2)


def test_fragments_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(-5, 25, (40, 3, 2)).astype(np.float32)
    corners[3] = np.nan
    corners[4, 2] = corners[4, 1]
    expected = set()
    for f, (a, b, c) in enumerate(corners.astype(np.float64)):
        area = cross(b - a, c - a)
        if not abs(area) > 1e-9:
            continue
        for y in range(16):
            for x in range(20):
                p = np.array([x, y])
                w = [
                    cross(c - b, p - b) / area,
                    cross(a - c, p - c) / area,
                    cross(b - a, p - a) / area,
                ]
                if min(w) >= 0:
                    expected.add((f, x, y))
    got = {
        (int(f), int(x), int(y))
        for part in fragments(corners, 16, 20)
        for f, x, y in zip(part.face, part.column, part.row, strict=True)
    }
    assert len(expected) > 500
    assert got == expected


def test_depth_of_a_ball_is_that_of_the_formula() -> None:
    ball = mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=0.1))
    mesh = Mesh(ball.vertices + np.array([0.02, 0, 0.8], np.float32), ball.faces)
    depth = depth_picture(mesh, CAMERA, Picture(Roi(0, 0, 160, 120), 1))
    v, u = np.mgrid[:120, :160]
    ray = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u, float)], -1)
    center = np.array([0.02, 0, 0.8])
    b, aa = ray @ center, (ray**2).sum(-1)
    under = b**2 - aa * (center @ center - 0.01)
    with np.errstate(invalid="ignore"):
        expected = np.where(under > 0, (b - np.sqrt(under)) / aa, np.inf)
    both = np.isfinite(depth) & np.isfinite(expected)
    assert (np.isfinite(depth) ^ np.isfinite(expected)).sum() < 40
    assert np.abs(depth[both] - expected[both]).max() < 0.01
    assert np.abs(depth[both] - expected[both]).mean() < 5e-4
    coarse = depth_picture(mesh, CAMERA, Picture(Roi(0, 0, 160, 120), 2))
    np.testing.assert_allclose(coarse, depth[::2, ::2], rtol=1e-4)


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    mesh = Mesh(sphere().vertices - np.array([0, 0, 0.5], np.float32), sphere().faces)
    assert not np.isfinite(depth_picture(mesh, CAMERA, Picture(Roi(0, 0, 160, 120), 1))).any()


def test_a_region_at_the_border_stays_inside_the_image() -> None:
    picture = Picture.around(Roi(150, 110, 10, 10), CAMERA, 0.5, 8)
    assert picture.roi.x + picture.roi.width == 160
    assert picture.roi.y + picture.roi.height == 120
    assert max(picture.shape) <= 8
    assert picture.sample(np.zeros((120, 160))).shape == picture.shape


def test_seen_vertices_take_the_image_and_hidden_ones_the_nearest_seen() -> None:
    ball = sphere()
    T_cam_obj = frames.transform(np.eye(3), np.array([0, 0, 0.4]))
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80, 0] = 200  # left half red, right half blue
    rgb[:, 80:, 2] = 200
    depth = depth_picture(
        Mesh(frames.apply(T_cam_obj, ball.vertices), ball.faces), CAMERA, Picture(Roi(0, 0, 160, 120), 1)
    )
    mask = Mask(1, np.isfinite(depth))
    colors = colour(ball, T_cam_obj, rgb, mask, Roi(60, 40, 40, 40), CAMERA).colors
    assert colors is not None
    left, right = ball.vertices[:, 0] < -0.01, ball.vertices[:, 0] > 0.01
    np.testing.assert_array_equal(colors[left], np.broadcast_to([200, 0, 0], (left.sum(), 3)))
    np.testing.assert_array_equal(colors[right], np.broadcast_to([0, 0, 200], (right.sum(), 3)))
    assert colour(ball, T_cam_obj, None, mask, Roi(60, 40, 40, 40), CAMERA).colors is None
    nowhere = Mask(1, np.zeros((120, 160), bool))
    grey = colour(ball, T_cam_obj, rgb, nowhere, Roi(0, 0, 1, 1), CAMERA).colors
    assert grey is not None
    assert (grey == 128).all()
