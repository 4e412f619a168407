"""The support plane on scenes whose plane is known, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from sam3d_ros.perception import frames
from sam3d_ros.perception.support import LOOKS_DOWN, find_support
from sam3d_ros.types import Float, InputError, UpSource

from .conftest import CARTON, CUP, NOISE, Box, Render, check, find, floor, level_of, table, wall


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("pitch", [20, 35, 60])
@pytest.mark.parametrize("roll", [0, 25])
def test_box_on_table(render: Render, pitch: float, roll: float, hint: bool) -> None:
    height = 0.85 * np.tan(np.radians(pitch))
    scene = render([CUP, CARTON, table()], pitch_deg=pitch, roll_deg=roll, height=height, **NOISE)
    check(scene, find(scene, hint))


def test_exact_without_noise(render: Render) -> None:
    scene = render([CUP, table()])
    support = find(scene)
    check(scene, support, degrees=0.01, metres=1e-4)
    assert support.rmse < 1e-4


def test_rmse_is_the_noise(render: Render) -> None:
    scene = render([CUP, table()], noise=0.002)
    # Axial noise of 2 mm at 1 m, seen at 35 degrees: about 2 mm times the sine of the angle to the plane.
    assert 0.0005 < find(scene).rmse < 0.002


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("pitch", [10, 30])
def test_wall_is_not_taken_for_the_table(render: Render, pitch: float, hint: bool) -> None:
    """A strip of table with a wall right behind it that fills most of the image."""
    strip = table(x=0.85, depth=0.3)
    scene = render([CUP, CARTON, strip, wall(1.0)], pitch_deg=pitch, height=0.25, **NOISE)
    assert (scene.frame.points_cam[..., 2] > 0.9).sum() > scene.frame.points_cam[..., 2].size / 2
    check(scene, find(scene, hint), degrees=2)


@pytest.mark.parametrize("hint", [False, True])
def test_objects_pushed_against_the_wall(render: Render, hint: bool) -> None:
    objects = [Box(0.95, y, 0, (0.1, 0.1, 0.12)) for y in (-0.2, 0.0, 0.2)]
    scene = render([*objects, table(x=0.85, depth=0.4), wall(1.0)], pitch_deg=25, height=0.4, **NOISE)
    check(scene, find(scene, hint), degrees=2)


def test_a_wall_that_objects_touch_and_that_fills_the_image_is_no_floor(render: Render) -> None:
    """Both planes carry the objects; only that the camera is held upright tells them apart."""
    objects = [Box(0.9, y, 0, (0.1, 0.1, 0.12)) for y in (-0.2, 0.0, 0.2)]
    scene = render([*objects, table(x=0.82, depth=0.26), wall(0.95)], pitch_deg=15, height=0.35, **NOISE)
    check(scene, find(scene))


def test_a_plane_through_the_middle_of_other_objects_is_none(render: Render) -> None:
    """On a gravel of depths the only surface is a shelf that most objects reach below."""
    scene = render(
        [CUP, CARTON, Box(0.8, -0.3, 0.1, (0.08, 0.08, 0.1)), Box(0.8, -0.3, 0, (0.4, 0.25, 0.1), False)]
    )
    points = scene.frame.points_cam.copy()
    world = frames.apply(frames.inverse(scene.T_cam_world), points)
    points[~(np.abs(world[..., 2] - 0.1) < 0.002) & ~scene.occupied] = np.nan
    assert np.isfinite(points[~scene.occupied][:, 2]).sum() > 1000
    assert find_support(points, scene.occupied, scene.up_cam).offset is None


def test_points_on_a_line_are_no_plane(render: Render) -> None:
    scene = render([CUP, table()])
    points = scene.frame.points_cam.copy()
    world = frames.apply(frames.inverse(scene.T_cam_world), points)
    points[~(np.abs(world[..., 0] - 0.9) < 0.006) & ~scene.occupied] = np.nan
    assert np.isfinite(points[::2, ::2][~scene.occupied[::2, ::2]][:, 2]).sum() > 60
    assert find_support(points, scene.occupied, None).offset is None


@pytest.mark.parametrize("hint", [False, True])
def test_floor_is_not_taken_for_the_table(render: Render, hint: bool) -> None:
    small = table(x=0.85, depth=0.3, width=0.45)
    scene = render([CUP, CARTON, small, floor()], **NOISE)
    check(scene, find(scene, hint))


def test_objects_on_the_floor(render: Render) -> None:
    far = [Box(1.5, 0.3, 0, (0.2, 0.2, 0.3)), Box(1.4, -0.3, 0, (0.3, 0.2, 0.2))]
    scene = render([*far, floor(0.0)], height=1.2, pitch_deg=40, noise=0.004)
    check(scene, find(scene))


def test_straight_down(render: Render) -> None:
    scene = render([Box(0, 0.05, 0, (0.08, 0.08, 0.1)), floor(0.0)], pitch_deg=90, height=0.7, **NOISE)
    support = find(scene)
    assert support.source is UpSource.SUPPORT_PLANE
    assert support.up_cam[2] < -0.999
    assert support.offset == pytest.approx(-0.7, abs=0.003)


def test_an_unmasked_crate_with_a_large_top_is_not_the_support(render: Render) -> None:
    crate = Box(1.05, -0.3, 0, (0.3, 0.3, 0.25), masked=False)
    scene = render([CUP, CARTON, crate, table()], **NOISE)
    check(scene, find(scene))


def test_hint_that_is_a_little_wrong_is_corrected(render: Render) -> None:
    scene = render([CUP, table()], noise=0.002)
    hint = scene.up_cam + np.array([0.08, 0.02, 0.05])
    check(scene, find_support(scene.frame.points_cam, scene.occupied, 3 * hint))


def test_no_masks_still_gives_a_plane(render: Render) -> None:
    scene = render([table()], noise=0.002)
    check(scene, find(scene, occupied=np.zeros(scene.frame.points_cam.shape[:2], bool)))


@pytest.mark.parametrize("hint", [None, np.array([0.0, -2.0, 0.0])])
@pytest.mark.parametrize("what", ["nan", "wall", "clutter", "few", "all masked"])
def test_no_plane_falls_back(render: Render, what: str, hint: Float | None) -> None:
    scene = render([Box(0.8, 0, 0, (0.1, 0.1, 0.1)), wall(1.2)], pitch_deg=0, height=0.05)
    points, occupied = scene.frame.points_cam.copy(), scene.occupied
    if what == "nan":
        points[:] = np.nan
    elif what == "clutter":  # depths that are no surface at all
        z = np.random.default_rng(0).uniform(0.3, 3, occupied.shape).astype(np.float32)
        points = points / points[..., 2:] * z[..., None]
    elif what == "few":
        points[~occupied] = np.nan
        points[:4, :4] = 1
    elif what == "all masked":
        occupied = np.ones_like(occupied)
    support = find_support(points, occupied, hint)
    assert support.offset is None
    assert support.source is (UpSource.CAMERA if hint is None else UpSource.GRAVITY)
    expected = frames.up_cam_from_pitch(LOOKS_DOWN if hint is None else 0)
    np.testing.assert_array_equal(support.up_cam, expected)


def test_a_foot_without_depth_stands_all_the_same(render: Render) -> None:
    """The lower 8 cm of a single thing give nothing."""
    scene = render([Box(0.8, 0, 0, (0.08, 0.08, 0.2)), table()], **NOISE)
    points = scene.frame.points_cam.copy()
    world = frames.apply(frames.inverse(scene.T_cam_world), points)
    points[scene.occupied & (world[..., 2] < 0.08)] = np.nan
    support = find_support(points, scene.occupied, None)
    assert level_of(scene, support) == pytest.approx(0, abs=0.005)


def test_under_a_table_of_glass_is_the_floor(render: Render) -> None:
    scene = render([CUP, CARTON, floor()], **NOISE)
    support = find(scene)
    assert support.source is UpSource.SUPPORT_PLANE
    assert support.offset is None
    assert support.up_cam @ scene.up_cam > np.cos(np.radians(1))


def test_deterministic(render: Render) -> None:
    scene = render([CUP, CARTON, table()], **NOISE)
    first, second = find(scene), find(scene)
    np.testing.assert_array_equal(first.up_cam, second.up_cam)
    assert (first.offset, first.rmse) == (second.offset, second.rmse)


def test_bad_input() -> None:
    points = np.ones((8, 9, 3), np.float32)
    with pytest.raises(InputError, match="do not match"):
        find_support(points, np.zeros((9, 8), bool), None)
    for hint in ([0, 0, 0], [np.nan, 0, 1], [0, 1]):
        with pytest.raises(InputError, match="no direction"):
            find_support(points, np.zeros((8, 9), bool), np.array(hint, float))
