"""The lifted evidence: against loops and geometry that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from looks import ASIDE, frame_of, look, mirrored, views_of
from scenes import box_scene

from sam3d_ros.baselines.evidence import Evidence, evidence
from sam3d_ros.compact.box import ObjectBox, box_of
from sam3d_ros.compact.lift import CHANNELS, GLOBALS, TRUNCATION, cells_of, globals_of, lift, near_surface
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.perception.frames import apply, inverse

SIDE = 24


def lifted(which: int = 0) -> tuple[dict[str, np.ndarray], Evidence, ObjectBox]:
    view, frame, _ = look(boxes=ASIDE)
    seen = evidence(view, frame, 40)
    box = box_of(seen.points)
    return dict(zip(CHANNELS, lift(seen, box, SIDE), strict=True)), seen, box


def test_cells_count_along_the_gradient() -> None:
    """A plane across a stretched grid: metres over the length of a cell along its normal."""
    grid = Grid(np.zeros(3), np.array([0.001, 0.002, 0.004]), (20, 20, 20))
    x, _, z = (axis[:, None, None] if i == 0 else axis for i, axis in enumerate(grid.axes()))
    along_x = cells_of(np.broadcast_to(x - 0.0095, grid.shape).astype(np.float32), grid)
    np.testing.assert_allclose(
        along_x[:, 0, 0], np.clip((np.arange(20) - 9.5) / TRUNCATION, -1, 1), atol=1e-4
    )
    along_z = cells_of(np.broadcast_to(z - 0.038, grid.shape).astype(np.float32), grid)
    np.testing.assert_allclose(along_z[0, 0], np.clip((np.arange(20) - 9.5) / TRUNCATION, -1, 1), atol=1e-4)
    flat = cells_of(np.full(grid.shape, 0.001, np.float32), grid)
    np.testing.assert_allclose(flat, 1 / TRUNCATION, rtol=1e-4)


def test_near_surface_is_a_plain_loop_over_cells() -> None:
    grid = Grid(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), (5, 6, 7))
    points = grid.origin + np.array([[0.12, 0.61, 0.29], [9.0, 0.0, 0.0]])
    found = near_surface(points, grid)
    for index in np.ndindex(*grid.shape):
        distance = np.linalg.norm(np.array(index) - [1, 3, 1])
        assert found[index] == pytest.approx(1 - 2 * min(distance / TRUNCATION, 1), abs=1e-6)
    assert (near_surface(points[1:], grid) == -1).all()


def test_every_channel_is_whole() -> None:
    channels, _, _ = lifted()
    for name, values in channels.items():
        assert values.shape == (SIDE,) * 3, name
        assert values.dtype == np.float32
        assert np.isfinite(values).all(), name
        assert np.abs(values).max() <= 1, name
    assert set(np.unique(channels["open"])) <= {-1, 1}
    assert set(np.unique(channels["silhouette"])) == {-1, 1}
    assert (channels["clearance"][channels["open"] == 1] == 1).all()


def test_clearance_and_silhouette_are_those_of_the_pixel_that_looks() -> None:
    """Point by point, with the pinhole's formula."""
    channels, seen, box = lifted()
    frame, view = seen.frame, seen.view
    points = box.grid(SIDE).points().astype(np.float64)
    cell = np.cbrt(np.prod(box.size / SIDE))
    rng, checked = np.random.default_rng(0), 0
    for i in rng.choice(len(points), 400, replace=False):
        x, y, z = apply(view.T_cam_view, points[i : i + 1])[0]
        u, v = x / z * frame.camera.fx + frame.camera.cx, y / z * frame.camera.fy + frame.camera.cy
        if min(abs(u % 1 - 0.5), abs(v % 1 - 0.5)) < 1e-3:
            continue  # between two pixels float32 may round either way
        u, v = round(u), round(v)
        inside = 0 <= u < frame.camera.width and 0 <= v < frame.camera.height
        on_mask = inside and bool(view.mask.pixels[v, u])
        index = np.unravel_index(i, (SIDE,) * 3)
        assert channels["silhouette"][index] == (1 if on_mask else -1)
        if on_mask and np.isfinite(depth := frame.points_cam[v, u, 2]):
            expected = np.clip((z - depth) / (TRUNCATION * cell), -1, 1)
            assert channels["clearance"][index] == pytest.approx(expected, abs=2e-3)
            checked += 1
    assert checked > 50


def test_column_is_the_classical_completion_and_height_starts_at_the_support() -> None:
    channels, seen, box = lifted()
    scene = box_scene(boxes=ASIDE)
    T_obj_view = inverse(scene.T_cam_obj[0]) @ seen.view.T_cam_view
    points = box.grid(SIDE).points().astype(np.float64)
    truth = (np.abs(apply(T_obj_view, points)) <= scene.sizes_m[0] / 2).all(axis=1).reshape((SIDE,) * 3)
    column = channels["column"] > 0
    assert (column & truth).sum() / (column | truth).sum() > 0.7
    z = box.grid(SIDE).axes()[2]
    top = box.low[2] + box.size[2]
    np.testing.assert_allclose(channels["height"][0, 0], z / top, atol=1e-6)


def test_in_a_mirror_everything_is_mirrored() -> None:
    scene = box_scene(boxes=ASIDE)
    grids, numbers = [], []
    for one in (scene, mirrored(scene)):
        frame = frame_of(one)
        seen = evidence(views_of(frame, one)[0], frame, 40)
        box = box_of(seen.points)
        grids.append(dict(zip(CHANNELS, lift(seen, box, SIDE), strict=True)))
        numbers.append(globals_of(seen, box))
    np.testing.assert_allclose(numbers[1], numbers[0], atol=2e-3)
    for name in CHANNELS:
        different = np.abs(grids[1][name][:, ::-1] - grids[0][name]) > 0.05
        # A cell whose middle falls between two pixels, or a point between two cells, may go either way.
        assert different.mean() < 0.02, name
        not_mirrored = np.abs(grids[1][name] - grids[0][name]) > 0.05
        if name != "height":
            assert not_mirrored.mean() > 2 * different.mean(), name


def test_globals_by_hand() -> None:
    view, frame, _ = look(down_deg=50.0, distance=0.9)
    seen = evidence(view, frame)
    box = ObjectBox(np.zeros(3), np.array([0.15, 0.30, 0.075]))
    found = dict(zip(GLOBALS, globals_of(seen, box), strict=True))
    assert found["log_size_x"] == pytest.approx(0, abs=1e-6)
    assert found["log_size_y"] == pytest.approx(np.log(2), rel=1e-5)
    assert found["log_size_z"] == pytest.approx(-np.log(2), rel=1e-5)
    assert found["on_support"] == 1
    assert found["elevation"] == pytest.approx(np.radians(50), abs=0.05)
    assert found["log_distance"] == pytest.approx(np.log(0.9 / 0.7), abs=0.06)
