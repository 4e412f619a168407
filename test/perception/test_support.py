"""The support plane on scenes whose plane is known, and where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sam3d_ros.perception import frames
from sam3d_ros.perception.support import find_support, support_for_object
from sam3d_ros.types import Bool, Float, InputError, Mask, Support, UpSource

from .conftest import Box, Render, Scene, floor, table, wall

CUP = Box(0.8, -0.05, 0, (0.08, 0.08, 0.1))
CARTON = Box(0.9, 0.18, 0, (0.06, 0.15, 0.2))
NOISE = {"noise": 0.002, "holes": 0.2}


def check(
    scene: Scene, support: Support, level: float = 0.0, degrees: float = 1.0, metres: float = 0.004
) -> None:
    """The plane is z = level of the world."""
    assert support.source is UpSource.SUPPORT_PLANE
    assert support.offset is not None
    angle = np.degrees(np.arccos(np.clip(support.up_cam @ scene.up_cam, -1, 1)))
    assert angle < degrees
    # Where it counts: under the objects.
    base = np.array([0.85, 0.05, level, 1]) @ scene.T_cam_world[:3].T
    assert abs(base @ support.up_cam - support.offset) < metres


def find(scene: Scene, hint: bool = False, occupied: Bool | None = None) -> Support:
    used = scene.occupied if occupied is None else occupied
    return find_support(scene.frame.points_cam, used, scene.up_cam if hint else None)


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
    np.testing.assert_array_equal(support.up_cam, [0, -1, 0])


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


def level_of(scene: Scene, support: Support) -> float:
    """World height of the plane under the objects."""
    assert support.offset is not None
    eye_height = 0.6
    return eye_height + support.offset


def test_same_level_stays(render: Render) -> None:
    scene = render([CUP, CARTON, table()], **NOISE)
    support = find(scene)
    for mask in scene.masks:
        assert support_for_object(scene.frame.points_cam, mask, support) is support


@pytest.mark.parametrize("masked", [False, True])
def test_box_on_box(render: Render, masked: bool) -> None:
    crate = Box(0.9, 0.0, 0, (0.25, 0.3, 0.15), masked=masked)
    scene = render([Box(0.9, 0, 0.15, (0.06, 0.06, 0.08)), CARTON, crate, table(width=2)], **NOISE)
    support = find(scene, hint=True)
    check(scene, support)
    top = support_for_object(scene.frame.points_cam, scene.masks[0], support)
    assert level_of(scene, top) == pytest.approx(0.15, abs=0.005)
    np.testing.assert_array_equal(top.up_cam, support.up_cam)


def test_a_platform_far_behind_is_not_the_level(render: Render) -> None:
    """Beside the object in the image, nearly at its height, but half a metre away."""
    crate = Box(0.8, 0, 0, (0.09, 0.09, 0.15), False)
    far = Box(1.7, 0, 0, (1.3, 1.5, 0.12), False)
    scene = render([Box(0.8, 0, 0.15, (0.08, 0.08, 0.06)), crate, far, table(x=0.7, width=2)])
    top = support_for_object(
        scene.frame.points_cam, scene.masks[0], Support(scene.up_cam, None, UpSource.GRAVITY)
    )
    assert level_of(scene, top) == pytest.approx(0.15, abs=0.005)


def test_lower_shelf(render: Render) -> None:
    low = Box(0.75, -0.2, -0.25, (0.08, 0.08, 0.1))
    scene = render(
        [CUP, CARTON, low, Box(1.0, 0.25, -0.03, (0.6, 0.7, 0.03), False), floor(-0.25)],
        pitch_deg=45,
        **NOISE,
    )
    support = find(scene, hint=True)
    levels = [level_of(scene, support_for_object(scene.frame.points_cam, m, support)) for m in scene.masks]
    assert levels == pytest.approx([0, 0, -0.25], abs=0.006)


def test_foot_hidden_behind_another_object_keeps_the_plane(render: Render) -> None:
    tall = Box(1.0, 0, 0, (0.1, 0.1, 0.3))
    front = Box(0.8, 0, 0, (0.1, 0.2, 0.12))
    scene = render([tall, front, table()], **NOISE)
    support = find(scene)
    check(scene, support)
    assert support_for_object(scene.frame.points_cam, scene.masks[0], support) is support


@pytest.mark.parametrize("gap", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("pitch", [25, 35, 50])
def test_the_top_of_what_stands_before_an_object_is_not_its_level(
    render: Render, pitch: float, gap: float
) -> None:
    front = Box(0.8, 0, 0, (0.1, 0.2, 0.08))
    behind = Box(0.89 + gap, 0, 0, (0.08, 0.08, 0.13))
    height = 0.85 * np.tan(np.radians(pitch))
    scene = render([behind, front, table()], pitch_deg=pitch, height=height, **NOISE)
    support = find(scene)
    assert support_for_object(scene.frame.points_cam, scene.masks[0], support) is support


@pytest.mark.parametrize(("pitch", "x"), [(25, 0.8), (45, 0.8), (75, 0.2)])
@pytest.mark.parametrize("grown", [1, 2])
def test_masks_may_take_along_what_is_behind(render: Render, pitch: float, x: float, grown: int) -> None:
    """A box on a crate whose mask shows some of the table far behind."""
    crate = Box(x, 0, 0, (0.2, 0.2, 0.1), masked=False)
    height = 0.1 + x * np.tan(np.radians(pitch))
    box = Box(x, 0, 0.1, (0.08, 0.08, 0.08))
    scene = render([box, crate, table(width=2)], pitch_deg=pitch, height=height, **NOISE)
    support = find(scene, hint=True)
    pixels = cv2.dilate(scene.masks[0].pixels.astype(np.uint8), np.ones((2 * grown + 1,) * 2, np.uint8)) > 0
    assert np.isfinite(scene.frame.points_cam[pixels]).any()
    top = support_for_object(scene.frame.points_cam, Mask(1, pixels), support)
    assert top.offset is not None
    assert height + top.offset == pytest.approx(0.1, abs=0.006)


@pytest.mark.parametrize("leak", [1, 2])
def test_depths_of_the_object_around_its_mask_are_no_level(render: Render, leak: int) -> None:
    """A tall box from straight above: cameras put depths of its top on the pixels around it."""
    tall = Box(0.06, 0, 0, (0.1, 0.08, 0.2))
    scene = render([tall, table(x=0.06, width=2)], pitch_deg=85, height=0.7, **NOISE)
    pixels = scene.masks[0].pixels
    less = cv2.erode(pixels.astype(np.uint8), np.ones((2 * leak + 1,) * 2, np.uint8)) > 0
    support = find(scene, hint=True)
    check(scene, support)
    assert support_for_object(scene.frame.points_cam, Mask(1, less), support) is support


def test_level_without_a_plane_of_the_scene_needs_gravity(render: Render) -> None:
    scene = render([CUP, table()])
    gravity = Support(scene.up_cam, None, UpSource.GRAVITY)
    found = support_for_object(scene.frame.points_cam, scene.masks[0], gravity)
    assert level_of(scene, found) == pytest.approx(0, abs=0.005)
    camera = Support(np.array([0.0, -1, 0]), None, UpSource.CAMERA)
    assert support_for_object(scene.frame.points_cam, scene.masks[0], camera) is camera
    empty = Mask(1, np.zeros_like(scene.masks[0].pixels))
    assert support_for_object(scene.frame.points_cam, empty, gravity) is gravity
