import numpy as np
import pytest

from sam3d_ros.data.objects import make_object
from sam3d_ros.data.sets.occlusion import keeps
from sam3d_ros.data.sets.sample import crop_camera, points_of
from sam3d_ros.data.sets.swap import box_of, contour, fit, has_cue, steps, swapped, z_buffer
from sam3d_ros.data.sets.tabletop import VIEW
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import Camera, InputError


def block(size, rows, columns):
    mask = np.zeros(size, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


@pytest.mark.parametrize(
    ("visible", "whole", "kept"),
    [
        (100, 1000, True),
        (99, 1000, False),
        (900, 1000, True),
        (901, 1000, False),
        (20, 40, True),
        (19, 40, False),
    ],
)
def test_visibility_of_flying_occlusions_to_the_pixel(visible, whole, kept):
    """0.1 and 0.9 of the object, and 0.2 % of a picture of 10 000 pixels, are all still inside."""
    image = np.zeros(10_000, bool)
    M_vis, M_obj = image.copy(), image.copy()
    M_vis[:visible], M_obj[:whole] = True, True
    assert keeps(M_vis.reshape(100, 100), M_obj.reshape(100, 100)) is kept


def test_nothing_is_not_kept():
    assert not keeps(np.zeros((9, 9), bool), np.zeros((9, 9), bool))


def test_crop_shows_the_same_rays():
    """A pixel of the picture and the same place in the crop look along the same ray; the mask fills its share."""
    camera = Camera(640, 480, 600.0, 610.0, 320.5, 241.0)
    mask = block((480, 640), (100, 160), (200, 320))
    crop = crop_camera(camera, mask, 128, 1.25)
    for u, v in ((200, 100), (319, 159), (250.5, 120)):
        x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        column, row = crop.fx * x + crop.cx, crop.fy * y + crop.cy
        expected = (u + 0.5 - (260 - 75)) / 150 * 128 - 0.5, (v + 0.5 - (130 - 75)) / 150 * 128 - 0.5
        np.testing.assert_allclose((column, row), expected, atol=1e-9)
    with pytest.raises(InputError, match="empty mask"):
        crop_camera(camera, np.zeros((480, 640), bool))


def test_points_of_a_thinned_depth_lie_on_the_rays_of_its_pixels():
    depth = np.full((64, 64), 2.0, np.float32)
    points = points_of(depth, VIEW)
    np.testing.assert_allclose(points[10, 20, 0], (40 - VIEW.cx) / VIEW.fx * 2, rtol=1e-6)
    assert points.dtype == np.float32


def test_z_buffer_against_pixel_by_pixel():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, (2, 20, 30)).astype(np.float32)
    a[rng.random(a.shape) < 0.3] = np.nan
    b[rng.random(b.shape) < 0.3] = np.nan
    got = z_buffer(a, b)
    for i in np.ndindex(a.shape):
        assert got[i] == (np.isfinite(a[i]) and not (np.isfinite(b[i]) and b[i] < a[i]))


def test_swap_overwrites_the_pointmap_where_the_mesh_is_seen():
    depth = np.full((4, 4), 2.0, np.float32)
    depth[0] = 1.0
    layer = type(
        "Layer", (), {"depth_m": np.full((4, 4), np.nan, np.float32), "rgb": np.full((4, 4, 3), 9, np.uint8)}
    )
    layer.depth_m[:2, 1:3] = 1.5
    rgb, new, mask = swapped(np.zeros((4, 4, 3), np.uint8), depth, layer)
    np.testing.assert_array_equal(mask, block((4, 4), (1, 2), (1, 3)))
    np.testing.assert_array_equal(new, np.where(mask, 1.5, depth))
    assert (rgb[mask] == 9).all()
    assert not rgb[~mask].any()


def test_contour_points_outwards():
    mask = block((60, 60), (20, 40), (15, 45))
    pixels, outward = contour(mask)
    assert len(pixels) == 2 * (20 + 30) - 4
    for (row, column), n in zip(pixels, outward, strict=True):
        assert mask[row, column]
        assert not mask[tuple(np.rint([row, column] + 3 * n).astype(int))]
        if row == 20 and 20 < column < 40:
            np.testing.assert_allclose(n, (-1, 0), atol=0.05)


def test_support_is_a_nearer_ground_at_the_bottom():
    """An upright wall at 1 m on a floor that comes nearer towards the bottom; the same wall hovering before a far
    wall; and hovering, but hidden on its left by a post."""
    mask = block((60, 60), (20, 40), (15, 45))
    far = np.full((60, 60), 3.0, np.float32)
    hovering = np.where(mask, 1.0, far)
    assert not has_cue(mask, hovering)
    floor = hovering.copy()
    floor[40:] = np.linspace(0.99, 0.8, 20)[:, None]
    assert has_cue(mask, floor)
    behind = hovering.copy()
    behind[40:] = 1.01
    assert not has_cue(mask, behind)
    post = hovering.copy()
    post[15:45, 9:15] = 0.9
    assert has_cue(mask, post)
    shy = hovering.copy()
    shy[15:45, 9:15] = 0.985
    assert not has_cue(mask, shy)


def test_a_tenth_of_the_contour_has_to_be_occluded():
    mask = block((80, 80), (20, 60), (20, 60))
    for rows, expected in ((8, False), (26, True)):
        depth = np.where(mask, np.float32(1), np.float32(3))
        depth[20 : 20 + rows, 10:20] = 0.5
        share = (steps(mask, depth)[1] > 0.02).mean()
        assert (share >= 0.1) is np.bool_(expected)
        assert has_cue(mask, depth) is expected


def test_unknown_depth_is_no_cue():
    mask = block((60, 60), (20, 40), (15, 45))
    assert not has_cue(mask, np.full((60, 60), np.nan, np.float32))


def test_fit_puts_the_mesh_where_the_points_are():
    model = make_object("box", np.random.default_rng(0))
    points = np.random.default_rng(1).uniform([-0.1, 0, 0.8], [0.1, 0.3, 1.2], (5000, 3)).astype(np.float32)
    T_cam_obj, scale = fit(box_of(points), model, np.eye(3))
    vertices = apply(T_cam_obj, model.mesh.vertices.astype(np.float64) * scale)
    np.testing.assert_allclose(
        (vertices.min(axis=0) + vertices.max(axis=0)) / 2, points.mean(axis=0), atol=2e-6
    )
    assert np.linalg.norm(np.ptp(vertices, axis=0)) == pytest.approx(
        np.linalg.norm(np.ptp(points, axis=0)), rel=1e-5
    )
    with pytest.raises(InputError, match="3 points"):
        box_of(np.concatenate([points[:3], np.full((9, 3), np.nan, np.float32)]))


def test_the_cue_does_not_depend_on_what_is_far_away():
    """Only the surroundings of the mask are looked at: the rest may be anything."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        top, left = rng.integers(12, 60, 2)
        height, width = rng.integers(6, 40, 2)
        mask = block((128, 128), (top, top + height), (left, left + width))
        depth = np.where(mask, 1, rng.uniform(0.9, 1.3, mask.shape)).astype(np.float32)
        pixels, nearer = steps(mask, depth)
        bottom = pixels[:, 0] >= top + height - 1 - 0.1 * height
        plain = bool((nearer[bottom] > 0).mean() >= 0.5 or (nearer > 0.02).mean() >= 0.1)
        assert has_cue(mask, depth) is plain
