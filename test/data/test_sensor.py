import dataclasses

import numpy as np
import pytest

from sam3d_ros.data.render import Rendered
from sam3d_ros.data.sensor import DepthSensor, parallax_shadow, sense
from sam3d_ros.data.srgb import linear_from_srgb, srgb_from_linear
from sam3d_ros.types import Camera

CAMERA = Camera(160, 120, 600.0, 600.0, 79.5, 59.5)
IDEAL = DepthSensor(subpixel=0, lateral_px=0, speckle=0, parallax_shadow=False)


def wall(z, tilt_deg=0.0, gray=180, glare=0.0):
    """A wall across the view, turned about the vertical axis through its middle."""
    normal = np.array([np.sin(np.deg2rad(tilt_deg)), 0, -np.cos(np.deg2rad(tilt_deg))])
    u = (np.arange(160) - CAMERA.cx) / CAMERA.fx
    depth = z * normal[2] / (normal[0] * u + normal[2])
    return Rendered(
        rgb=np.full((120, 160, 3), gray, np.uint8),
        depth_m=np.broadcast_to(depth, (120, 160)).astype(np.float32),
        labels=np.zeros((120, 160), np.uint16),
        normals_cam=np.broadcast_to(normal, (120, 160, 3)).astype(np.float32),
        glare=np.full((120, 160), glare, np.float32),
        albedo=np.full((120, 160, 3), gray, np.uint8),
        lit=np.ones((120, 160), bool),
    )


def test_an_ideal_sensor_only_rounds():
    depth = sense(wall(0.7654), CAMERA, np.random.default_rng(0), IDEAL)
    assert depth.dtype == np.uint16
    np.testing.assert_array_equal(depth, 765)


@pytest.mark.parametrize("z", [0.5, 1.0, 2.0])
def test_noise_is_that_of_the_disparity(z):
    sensor = DepthSensor(unit_m=1e-4)
    depth = sense(wall(z), CAMERA, np.random.default_rng(1), sensor)
    values = depth[depth > 0] * 1e-4
    expected = z * z * sensor.subpixel / (CAMERA.fx * sensor.baseline_m)
    assert values.std() == pytest.approx(expected, rel=0.15)
    assert values.mean() == pytest.approx(z, abs=0.2 * expected)
    assert 0.0005 < (depth == 0).mean() < 0.01


def test_same_rng_same_noise():
    a, b, c = (sense(wall(0.7), CAMERA, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.3


def test_nothing_and_out_of_range_are_zero():
    rng = np.random.default_rng(0)
    for z in (np.nan, 0.1, 7.0, np.inf):
        assert not sense(wall(z), CAMERA, rng).any()


def test_grazing_dark_and_blinded_surfaces_have_holes():
    def missing(picture):
        return (sense(picture, CAMERA, np.random.default_rng(3)) == 0).mean()

    assert missing(wall(0.7)) < 0.01
    assert missing(wall(0.7, tilt_deg=60)) < 0.02
    assert 0.2 < missing(wall(0.7, tilt_deg=83)) <= 1
    assert missing(wall(0.7, gray=15)) > 0.8
    assert missing(wall(0.7, gray=80)) < 0.05
    assert missing(wall(0.7, glare=0.5)) == 1


def step_image():
    z = np.full((120, 160), 1.2, np.float32)
    z[30:90, 60:100] = 0.6
    return z


def test_edges_are_jagged_and_shadowed_on_the_left():
    picture = wall(1.2)
    picture = dataclasses.replace(picture, depth_m=step_image())
    depth = sense(picture, CAMERA, np.random.default_rng(0))
    # The shadow is as wide as the two disparities differ: 600 * 0.05 * (1 / 0.6 - 1 / 1.2) = 25 pixels.
    assert (depth[40:80, 38:57] == 0).mean() > 0.95
    assert (depth[40:80, 104:150] == 0).mean() < 0.05
    right = [np.flatnonzero((row > 0) & (row < 900)).max() for row in depth[40:80]]
    assert 0.3 < np.std(right) < 2.5


def test_a_window_rounds_ridges_and_leaves_gaps_around_things():
    sensor = dataclasses.replace(IDEAL, window_px=4, unit_m=1e-4)
    things = dataclasses.replace(wall(1.2), depth_m=step_image())
    depth = sense(things, CAMERA, np.random.default_rng(0), sensor)
    assert (depth[40:80, 58:62] == 0).mean() > 0.6, "on the edge"
    assert (depth[44:76, 68:92] == 6000).all(), "inside"
    assert (depth[5:20] == 12000).all(), "beside"
    across = np.abs(np.arange(160) - 79.5) * 0.0005
    roof = dataclasses.replace(wall(0.6), depth_m=np.broadcast_to(np.float32(0.6 + across), (120, 160)))
    sharp, blunt = (
        sense(roof, CAMERA, np.random.default_rng(0), dataclasses.replace(sensor, window_px=w))
        for w in (0, 4)
    )
    assert blunt[60, 79] > sharp[60, 79], "the ridge is cut off"
    np.testing.assert_allclose(blunt[60, 100:150], sharp[60, 100:150], atol=3)


def test_parallax_shadow_against_plain_loops():
    rng = np.random.default_rng(0)
    z = np.where(rng.random((20, 50)) < 0.1, 0, rng.choice([0.5, 0.8, 1.1], (20, 50)))
    z = np.repeat(z, 4, axis=1).astype(np.float32)
    fast = parallax_shadow(z, 30.0)
    for row in range(20):
        seen_at = [u - (30.0 / z[row, u] if z[row, u] > 0 else 0) for u in range(200)]
        for u in range(200):
            assert fast[row, u] == any(other < seen_at[u] - 1 for other in seen_at[u + 1 :])


def test_srgb_tables():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(codes)), codes)
    assert linear_from_srgb(np.array([188], np.uint8))[0] == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(srgb_from_linear(np.array([-1.0, 2.0])), [0, 255])
