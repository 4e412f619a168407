"""The three methods on a box whose answer is known, on many random views, and on points that span nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sam3d_ros.baselines.columns import crumbs
from sam3d_ros.baselines.evidence import beyond_holes, evidence
from sam3d_ros.baselines.extrude import extrude
from sam3d_ros.baselines.hull import convex, hull
from sam3d_ros.baselines.mirror import Plane, find_plane, mirror
from sam3d_ros.mesh.check import MeshError, box, check, is_watertight, volume
from sam3d_ros.perception import frames
from sam3d_ros.perception.camera import rays
from sam3d_ros.types import Camera, Float, Frame, InputError, Mask, Mesh, ObjectView, Roi, Support, UpSource

Method = Callable[[ObjectView, Frame], Mesh]
CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
METHODS = [hull, extrude, mirror]


def seen_box(
    size: tuple[float, float, float],
    yaw: float = 0.0,
    down_deg: float = 40.0,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[ObjectView, Frame]:
    """A box on the plane z = 0, 0.7 m from the camera, by the slab method. It is turned by yaw in the view frame."""
    down = np.deg2rad(down_deg)
    forward = np.array([np.cos(down), 0, -np.sin(down)])
    right = np.array([0.0, -1.0, 0.0])
    R_world_cam = np.stack([right, np.cross(forward, right), forward], axis=1)
    origin = np.array([0, 0, size[2] / 2]) - 0.7 * forward
    directions = rays(CAMERA).astype(np.float64) @ R_world_cam.T
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    low = np.array([-size[0] / 2, -size[1] / 2, 0])
    high = low + size
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.where(directions[..., 2] < 0, -origin[2] / directions[..., 2], np.inf)
        a, b = (low - turn @ origin) / (directions @ turn.T), (high - turn @ origin) / (directions @ turn.T)
    enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    mask = (enter < leave) & (enter < table)
    depth = np.where(mask, enter, np.where(table < 3, table, np.nan))
    depth = depth + noise * np.random.default_rng(seed).normal(size=depth.shape)
    points = (rays(CAMERA) * depth[..., None]).astype(np.float32)
    T_cam_view = frames.inverse(frames.transform(R_world_cam, origin))
    return view_of(points, mask, T_cam_view), Frame(None, points, CAMERA)


def view_of(points: Float, mask: np.ndarray, T_cam_view: Float) -> ObjectView:
    rows, columns = np.nonzero(mask)
    roi = Roi(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    up = T_cam_view[:3, 2]
    support = Support(up, float(up @ T_cam_view[:3, 3]), UpSource.SUPPORT_PLANE)
    colors = np.zeros((int(mask.sum()), 3), np.uint8)
    return ObjectView(Mask(1, mask), roi, points[mask], colors, support, T_cam_view, mask)


@pytest.mark.parametrize("method", [extrude, mirror])
@pytest.mark.parametrize("size", [(0.08, 0.10, 0.06), (0.05, 0.05, 0.15), (0.12, 0.2, 0.02)])
def test_a_box_seen_from_above_gets_its_size_and_volume(
    method: Method, size: tuple[float, float, float]
) -> None:
    view, frame = seen_box(size, noise=0.0005)
    mesh = check(method(view, frame))
    assert is_watertight(mesh)
    low, high = box(mesh)
    np.testing.assert_allclose(high - low, size, atol=0.006)
    np.testing.assert_allclose((high + low) / 2, [0, 0, size[2] / 2], atol=0.004)
    assert volume(mesh) == pytest.approx(np.prod(size), rel=0.12)


def test_a_box_seen_from_the_side_gets_a_depth() -> None:
    view, frame = seen_box((0.08, 0.08, 0.14), down_deg=4)
    low, high = box(extrude(view, frame))
    assert 0.05 < high[0] - low[0] < 0.12


def test_nothing_solid_is_left_where_the_camera_saw_through() -> None:
    view, frame = seen_box((0.08, 0.10, 0.06), yaw=0.6)
    mesh = extrude(view, frame)
    assert evidence(view, frame).clearance(mesh.vertices).min() > -0.006


@pytest.mark.parametrize("method", METHODS)
def test_closed_from_every_side_with_noise(method: Method) -> None:
    rng = np.random.default_rng(7)
    for seed in range(25):
        size = tuple(rng.uniform(0.01, 0.2, 3))
        view, frame = seen_box(size, rng.uniform(0, 3), rng.uniform(3, 80), noise=0.003, seed=seed)  # type: ignore[arg-type]
        mesh = check(method(view, frame))
        assert is_watertight(mesh), seed
        assert volume(mesh) > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["line", "sheet", "five", "one place", "two"])
def test_points_that_span_nothing_give_a_thin_solid_or_a_clear_error(method: Method, shape: str) -> None:
    view, frame = seen_box((0.08, 0.1, 0.06))
    t = np.linspace(0, 0.05, 40)
    zero = np.zeros_like(t)
    points = {
        "line": np.stack([zero, t, zero + 0.03], 1),
        "sheet": np.stack([zero + 0.01, t, (t * 97) % 0.06], 1),
        "five": np.random.default_rng(0).uniform(0.01, 0.05, (5, 3)),
        "one place": np.full((9, 3), 0.03),
        "two": np.full((2, 3), 0.03),
    }[shape]
    points_cam = frames.apply(view.T_cam_view, points).astype(np.float32)
    odd = replace(view, points_cam=points_cam, colors=np.zeros((len(points), 3), np.uint8))
    try:
        mesh = method(odd, frame)
    except (InputError, MeshError):
        return
    assert is_watertight(check(mesh))
    assert volume(mesh) > 0


def test_hull_of_a_cube_is_a_cube_turned_outwards() -> None:
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T.astype(float)
    mesh = convex(np.concatenate([corners, [[0.5, 0.5, 0.5]]]))
    assert len(mesh.vertices) == 8
    assert is_watertight(mesh)
    assert volume(mesh) == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.full((9, 3), np.nan)])
def test_hull_refuses(bad: Float) -> None:
    with pytest.raises(InputError):
        convex(bad)


def test_reflection_is_its_own_inverse() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    plane = Plane(0.7, 0.1)
    np.testing.assert_allclose(plane.reflect(plane.reflect(points)), points, atol=1e-12)
    np.testing.assert_allclose(Plane(0, 0.25).reflect(np.array([[1.0, 2, 3]])), [[-0.5, 2, 3]], atol=1e-12)


def test_the_symmetry_plane_of_a_turned_box_is_found() -> None:
    yaw = 0.4
    view, frame = seen_box((0.08, 0.12, 0.08), yaw=yaw, noise=0.0005)
    plane = find_plane(evidence(view, frame))
    off = (plane.yaw - yaw) % (np.pi / 2)
    assert min(off, np.pi / 2 - off) < np.deg2rad(6)
    assert abs(plane.offset) < 0.01


def test_clearance_knows_free_seen_and_hidden() -> None:
    view, frame = seen_box((0.08, 0.10, 0.06))
    points = np.array([[-0.12, 0, 0.05], [0.0, 0, 0.06], [0.0, 0, 0.03], [0.0, 0.3, 0.05]], np.float32)
    free, top, inside, beside = evidence(view, frame).clearance(points)
    assert free < -0.015
    assert abs(top) < 0.004
    assert inside > 0.02
    assert beside < 0 or beside == np.inf  # outside of the crop nothing is known


def test_holes_that_nothing_covers_hide_nothing() -> None:
    depth = np.full((9, 60), 1.0, np.float32)
    covered = np.zeros(depth.shape, bool)
    covered[:, :8] = covered[:, 50:] = True
    depth[:, 8:55] = np.nan
    depth[4, 3], depth[5, 3] = np.nan, np.inf
    known = beyond_holes(depth, covered)
    assert (known[:, 8:50] == np.inf).all()
    assert np.isnan(known[:, 50:55]).all()
    assert np.isnan(known[4:6, 3]).all()
    there = np.isfinite(depth)
    np.testing.assert_array_equal(known[there], depth[there])


def test_a_box_ends_at_its_mask_where_the_sensor_is_blind() -> None:
    """Nothing is known beside the box but that its mask ends there; a blind thing in another mask may hide more of
    it."""
    view, frame = seen_box((0.08, 0.10, 0.06))
    blind = replace(frame, points_cam=np.where(view.mask.pixels[..., None], frame.points_cam, np.nan))
    beside = np.array([[0.0, 0.08, 0.03], [0.0, -0.08, 0.03]], np.float32)
    alone = evidence(view, blind).clearance(beside)
    assert (alone < -0.01).all()
    left = np.zeros_like(view.mask.pixels)
    left[:, : view.roi.x] = True
    hidden = evidence(replace(view, occupied=view.mask.pixels | left), blind).clearance(beside)
    assert hidden[0] == np.inf
    assert hidden[1] == alone[1]


def test_something_nearer_without_a_mask_keeps_what_it_may_hide() -> None:
    view, frame = seen_box((0.08, 0.10, 0.06))
    points, roi = frame.points_cam.copy(), view.roi
    rows, end = slice(roi.y, roi.y + roi.height), roi.x + roi.width
    for blind in (np.s_[rows, roi.x - 20 : roi.x], np.s_[rows, end : end + 20]):
        points[blind] = np.nan
    left = np.s_[rows, roi.x - 10 : roi.x - 4]
    points[left] = rays(CAMERA)[left] * np.float32(0.3)
    beside = np.array([[0.0, 0.06, 0.03], [0.0, -0.08, 0.03]], np.float32)
    seen = evidence(view, replace(frame, points_cam=points)).clearance(beside)
    assert seen[0] == np.inf
    assert seen[1] < -0.01


def test_crumbs_go_and_large_parts_stay() -> None:
    inside = np.zeros((20, 20, 20), bool)
    inside[2:9, 2:9, 2:9] = True
    inside[12:18, 2:9, 2:9] = True
    inside[15, 15, 15] = True
    assert np.argwhere(crumbs(inside)).tolist() == [[15, 15, 15]]
    assert not crumbs(inside[:10]).any()
