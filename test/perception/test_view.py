"""What is kept of one object, and where its view frame stands."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.perception import frames
from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import GREY, object_view
from sam3d_ros.types import Float, Frame, Mask, ObjectView, RejectCode, Rejected, Support, UpSource

from .conftest import Box, Render, Scene, table, wall

BOX = Box(0.85, 0.05, 0, (0.1, 0.12, 0.15))


def true_support(scene: Scene, level: float = 0.0) -> Support:
    up = scene.up_cam
    return Support(up, float(up @ (scene.T_cam_world[:3, 3] + level * up)), UpSource.SUPPORT_PLANE)


def view_of(
    scene: Scene, mask: Mask | None = None, support: Support | None = None, **limits: float
) -> ObjectView:
    settings_ = replace(MaskLimits(), **limits)
    mask = mask or scene.masks[0]
    view = object_view(scene.frame, mask, support or true_support(scene), settings_, mask.pixels)
    assert isinstance(view, ObjectView), view
    return view


def rejected(
    scene: Scene, mask: Mask | None = None, support: Support | None = None, **limits: float
) -> Rejected:
    settings_ = replace(MaskLimits(), **limits)
    mask = mask or scene.masks[0]
    view = object_view(scene.frame, mask, support or true_support(scene), settings_, mask.pixels)
    assert isinstance(view, Rejected)
    return view


def in_world(scene: Scene, points_cam: Float) -> Float:
    return frames.apply(frames.inverse(scene.T_cam_world), points_cam)


def with_points(scene: Scene, points: Float) -> Scene:
    return replace(scene, frame=replace(scene.frame, points_cam=points))


def test_points_colours_and_frame_of_a_box(render: Render) -> None:
    scene = render([BOX, table()])
    view = view_of(scene)
    assert view.points_cam.dtype == np.float32
    assert view.colors.dtype == np.uint8
    assert view.colors.shape == view.points_cam.shape
    assert (view.colors == [1, 0, 0]).all()
    assert len(view.points_cam) > 0.9 * view.mask.pixels.sum()
    world = in_world(scene, view.points_cam)
    np.testing.assert_allclose(world.min(axis=0)[:2], [0.8, -0.01], atol=0.003)
    assert world[:, 2].max() == pytest.approx(0.15, abs=1e-3)
    # The frame: on the table, up is world's up, x away from the camera and level.
    T = np.linalg.inv(scene.T_cam_world) @ view.T_cam_view
    assert T[2, 3] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(T[:3, 2], [0, 0, 1], atol=1e-9)
    away = T[:2, 3] / np.linalg.norm(T[:2, 3])  # the camera stands over the world's origin
    np.testing.assert_allclose(T[:3, 0], [*away, 0], atol=1e-6)
    np.testing.assert_allclose(T[:2, 3], [0.85, 0.05], atol=0.05)


def test_without_colour_points_are_grey(render: Render) -> None:
    scene = render([BOX, table()])
    scene = replace(scene, frame=replace(scene.frame, rgb=None))
    assert (view_of(scene).colors == GREY).all()


def test_without_support_plane_the_frame_is_at_the_lowest_points(render: Render) -> None:
    scene = render([Box(0.85, 0, 0.3, (0.1, 0.1, 0.1)), wall(1.3)], pitch_deg=10)
    view = view_of(scene, support=Support(scene.up_cam, None, UpSource.GRAVITY))
    assert in_world(scene, view.T_cam_view[:3, 3])[2] == pytest.approx(0.3, abs=0.003)
    assert view.support.offset is None


def test_on_another_level_the_frame_stands_there(render: Render) -> None:
    scene = render([Box(0.9, 0, 0.15, (0.06, 0.06, 0.08)), Box(0.9, 0, 0, (0.25, 0.3, 0.15), False), table()])
    view = view_of(scene)
    assert in_world(scene, view.T_cam_view[:3, 3])[2] == pytest.approx(0.15, abs=0.003)


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_flying_pixels_go(render: Render, share: float) -> None:
    """The sensor averages over edges: a rim of pixels between the object and the wall behind."""
    scene = render([BOX, table(x=0.85, depth=0.5), wall(1.4)])
    points = scene.frame.points_cam.copy()
    pixels = scene.masks[0].pixels
    rim = pixels & ~cv2.erode(pixels.astype(np.uint8), np.ones((3, 3))).astype(bool)
    fly = rim & (points[..., 2] > 0) & (np.roll(points[..., 2], 3, axis=0) - points[..., 2] > 0.2)
    assert fly.sum() > 20
    points[fly] *= 1 + 0.6 * share  # the wall is 60 % farther than the box
    world = in_world(scene, view_of(with_points(scene, points)).points_cam)
    clean = in_world(scene, view_of(scene).points_cam)
    assert world[:, 0].max() < clean[:, 0].max() + 0.01
    assert len(world) > len(clean) - 2 * fly.sum()


def test_background_in_a_dilated_mask_goes(render: Render) -> None:
    """Six pixels too wide: wall above the object and table around its foot."""
    scene = render([BOX, table(x=0.85, depth=0.5), wall(1.4)], noise=0.001)
    rough = cv2.dilate(scene.masks[0].pixels.astype(np.uint8), np.ones((5, 5))).astype(bool)
    support = find_support(scene.frame.points_cam, rough, None)
    world = in_world(scene, view_of(scene, Mask(1, rough), support).points_cam)
    low, high = np.percentile(world, [0.5, 99.5], axis=0)
    np.testing.assert_allclose(low, [0.8, -0.01, 0], atol=0.012)
    np.testing.assert_allclose(high, [0.9, 0.11, 0.15], atol=0.012)


def test_background_through_a_hole_goes(render: Render) -> None:
    """A frame of four bars, masked with its hole, as segmentations of handles are."""
    bars = [
        Box(0.85, -0.05, 0, (0.02, 0.02, 0.16)), Box(0.85, 0.05, 0, (0.02, 0.02, 0.16)),
        Box(0.85, 0, 0, (0.02, 0.12, 0.02)), Box(0.85, 0, 0.14, (0.02, 0.12, 0.02)),
    ]  # fmt: skip
    scene = render([*bars, table(x=0.85, depth=0.4), wall(1.4)], pitch_deg=15, height=0.35)
    hull = cv2.convexHull(np.argwhere(scene.occupied)[:, ::-1].astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros(scene.occupied.shape, np.uint8), hull, 1).astype(bool)
    assert filled.sum() > 1.3 * scene.occupied.sum()
    world = in_world(scene, view_of(scene, Mask(1, filled)).points_cam)
    assert (world[:, 0] < 1.2).all()  # nothing of the wall
    assert world[:, 2].max() == pytest.approx(0.16, abs=0.003)


def test_thin_and_flat_objects_keep_their_pixels(render: Render) -> None:
    for thin in (
        Box(0.8, 0, 0, (0.006, 0.006, 0.15)),
        Box(0.8, 0, 0, (0.006, 0.2, 0.006)),
        Box(0.8, 0, 0, (0.2, 0.1, 0.002)),
    ):
        scene = render([thin, table(), wall(1.4)], pitch_deg=40)
        view = view_of(scene, min_points=20)
        assert len(view.points_cam) > 0.8 * view.mask.pixels.sum()


def test_an_object_cut_in_two_by_an_occluder_stays_whole(render: Render) -> None:
    long = Box(0.9, 0, 0, (0.05, 0.4, 0.1))
    post = Box(0.75, 0, 0, (0.03, 0.06, 0.3))
    world = (lambda s: in_world(s, view_of(s).points_cam))(render([long, post, table()]))
    assert world[:, 1].min() < -0.19
    assert world[:, 1].max() > 0.19


def test_parts_that_gaps_of_the_sensor_separate_stay(render: Render) -> None:
    """A goblet from above whose stem gave no depth: the cup is nearer than all that is left of the foot."""
    foot, stem = Box(0.7, 0, 0, (0.1, 0.1, 0.01)), Box(0.7, 0, 0.01, (0.012, 0.012, 0.1))
    cup = Box(0.7, 0, 0.11, (0.08, 0.08, 0.08))
    scene = render([foot, stem, cup, table()], pitch_deg=45)
    height = in_world(scene, scene.frame.points_cam.reshape(-1, 3))[:, 2].reshape(scene.occupied.shape)
    points = scene.frame.points_cam.copy()
    points[scene.occupied & (height > 0.012) & (height < 0.11)] = np.nan
    world = in_world(scene, view_of(with_points(scene, points), Mask(1, scene.occupied)).points_cam)
    assert world[:, 2].min() < 0.012
    assert world[:, 2].max() == pytest.approx(0.19, abs=0.003)


def test_crumbs_of_a_side_that_the_camera_looks_along_stay(render: Render) -> None:
    """Only blocks of pixels of a long box's top gave depth, none beside another. Such that hang before the box go, and
    so does what a wide mask shows of a wall behind it."""
    scene = render([Box(0.9, 0, 0, (0.3, 0.1, 0.12)), table(), wall(1.6)], pitch_deg=35)
    own = scene.masks[0].pixels
    wide = cv2.dilate(own.astype(np.uint8), np.ones((5, 5))).astype(bool)
    height = in_world(scene, scene.frame.points_cam.reshape(-1, 3))[:, 2].reshape(own.shape)
    rows, columns = np.indices(own.shape)
    points = scene.frame.points_cam.copy()
    points[own & (height > 0.115) & ((rows // 2 + columns // 2) % 2 > 0)] = np.nan
    points[own & (height < 0.1) & (rows % 9 < 2) & (columns % 9 < 2)] *= 0.9
    world = in_world(scene, view_of(with_points(scene, points), Mask(1, wide)).points_cam)
    np.testing.assert_allclose(world.min(axis=0), [0.75, -0.05, 0], atol=0.02)
    np.testing.assert_allclose(world.max(axis=0), [1.05, 0.05, 0.12], atol=0.02)


def test_a_mask_of_the_whole_room_takes_no_more_memory(render: Render) -> None:
    scene = render([BOX, table(), wall(3.5)], pitch_deg=20)
    points = scene.frame.points_cam.copy()
    blocks = (np.indices(points.shape[:2]) // 2).sum(axis=0) % 2 > 0
    points[blocks & (points[..., 2] < 2)] = np.nan
    everything = Mask(1, np.ones(points.shape[:2], bool))
    tracemalloc.start()
    try:
        assert "long" in rejected(with_points(scene, points), everything).reason
        assert tracemalloc.get_traced_memory()[1] < 2e8
    finally:
        tracemalloc.stop()


def test_a_neighbour_in_a_dilated_mask_goes(render: Render) -> None:
    """Something taller, nearer to the camera, whose edge lies under the rim of the mask."""
    scene = render([BOX, Box(0.65, -0.052, 0, (0.05, 0.09, 0.25), False), table()], pitch_deg=35)
    pixels = scene.masks[0].pixels
    rough = cv2.dilate(pixels.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert (in_world(scene, scene.frame.points_cam[rough])[:, 0] < 0.7).mean() > 0.02
    world = in_world(scene, view_of(scene, Mask(1, rough)).points_cam)
    assert world[:, 0].min() > 0.79


def test_rejections(render: Render) -> None:
    scene = render([BOX, table()])
    empty = Mask(7, np.zeros_like(scene.masks[0].pixels), "cup")
    r = rejected(scene, empty)
    assert (r.code, r.mask_index, r.label) == (RejectCode.EMPTY_MASK, 7, "cup")
    r = rejected(scene, min_points=100_000)
    assert r.code is RejectCode.DEGENERATE
    assert "100000 are needed" in r.reason
    r = rejected(scene, max_size=0.1)
    assert r.code is RejectCode.TOO_LARGE
    assert "0.1 m are allowed" in r.reason
    r = rejected(scene, max_depth=0.3)
    assert r.reason.startswith("0 of 0 points")
    points = scene.frame.points_cam.copy()
    points[scene.masks[0].pixels] = [0.01, 0.02, 0.8]
    assert rejected(with_points(scene, points)).code is RejectCode.DEGENERATE
    points[:] = np.nan
    assert rejected(with_points(scene, points)).code is RejectCode.DEGENERATE


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    x=st.integers(-5, 40),
    y=st.integers(-5, 30),
    w=st.integers(1, 50),
    h=st.integers(1, 40),
)
def test_any_depth_and_mask_give_a_view_or_a_reason(seed: int, x: int, y: int, w: int, h: int) -> None:
    """Noise, NaN and inf, masks of one pixel and at the border: finite points of the mask, a rigid frame."""
    from .conftest import CAMERA

    rng = np.random.default_rng(seed)
    small = replace(CAMERA, width=40, height=30)
    z = rng.choice(
        [0.5, 0.51, 0.9, 3.0, np.nan, np.inf, -1], (30, 40), p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.05, 0.05]
    )
    points = (rng.uniform(-0.5, 0.5, (30, 40, 3)) * [1, 1, 0] + [0, 0, 1]) * z[..., None]
    pixels = np.zeros((30, 40), bool)
    pixels[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
    frame = Frame(None, points.astype(np.float32), small)
    support = Support(np.array([0.0, -1, 0]), 0.4, UpSource.SUPPORT_PLANE)
    view = object_view(frame, Mask(3, pixels), support, MaskLimits(min_points=1), pixels)
    if isinstance(view, Rejected):
        assert view.reason
    else:
        assert np.isfinite(view.points_cam).all()
        assert ((view.points_cam[:, 2] >= 0.1) & (view.points_cam[:, 2] <= 4)).all()
        assert len(view.points_cam) == len(view.colors) <= pixels.sum()
        np.testing.assert_allclose(view.T_cam_view[:3, :3] @ view.T_cam_view[:3, :3].T, np.eye(3), atol=1e-9)
