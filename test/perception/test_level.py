"""On which level single objects stand: on crates and shelves, behind other things, with rough masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sam3d_ros.perception.level import support_for_object
from sam3d_ros.types import Mask, Support, UpSource

from .conftest import CARTON, CUP, NOISE, Box, Render, check, find, floor, level_of, table


def on_a_crate(height: float) -> list[Box]:
    """One object, on a thing without a mask; nothing stands on the table."""
    return [
        Box(0.8, 0, height, (0.08, 0.08, 0.1)),
        Box(0.8, 0, 0, (0.13, 0.13, height), masked=False),
        table(),
    ]


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("height", [0.06, 0.25])
def test_a_plane_that_nothing_touches_says_what_is_up(render: Render, height: float, hint: bool) -> None:
    scene = render(on_a_crate(height), **NOISE)
    support = find(scene, hint)
    check(scene, support_for_object(scene.frame.points_cam, scene.masks[0], support), height, 2, 0.006)


def test_up_beside_crates_without_a_mask(render: Render) -> None:
    """Planes through the edge of a crate and the table touch what stands on it too: 20 such boxes, at random."""
    rng = np.random.default_rng(5)
    for seed in range(20):
        pitch, x = rng.uniform(20, 60), rng.uniform(0.5, 1.0)
        size, more, high = rng.uniform(0.04, 0.12, 3), rng.uniform(0.02, 0.15, 2), rng.uniform(0.03, 0.25)
        crate = Box(x, 0, 0, (size[0] + more[0], size[1] + more[1], high), masked=False)
        scene = render(
            [Box(x, 0, high, tuple(size)), crate, table(width=2)],
            pitch_deg=pitch,
            height=x * np.tan(np.radians(pitch)),
            roll_deg=rng.uniform(-20, 20),
            seed=seed,
            **NOISE,
        )
        support = find(scene)
        assert support.up_cam @ scene.up_cam > np.cos(np.radians(3)), seed
        own = support_for_object(scene.frame.points_cam, scene.masks[0], support)
        base = np.array([x, 0, high, 1]) @ scene.T_cam_world[:3].T
        assert own.offset == pytest.approx(base @ own.up_cam, abs=0.01), seed


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
