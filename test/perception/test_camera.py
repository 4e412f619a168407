"""Rays and projection against OpenCV point by point, and CameraInfo in all the forms drivers publish it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.perception.camera import camera_from_info, project, rays
from sam3d_ros.types import Camera, InputError, Roi

LENSES = {
    "none": ("", ()),
    "plumb_bob": ("plumb_bob", (-0.28, 0.07, 0.001, -0.0005, 0.01)),
    "plumb_bob_4": ("plumb_bob", (0.1, -0.2, 0.001, 0.002)),
    "rational": ("rational_polynomial", (0.4, -2.6, 0.0008, -0.0003, 1.5, 0.28, -2.4, 1.4)),
    "thin_prism": ("rational_polynomial", (0.1, -0.1, 1e-3, 1e-3, 0.02, 0.1, 0, 0, 1e-3, 2e-3, -1e-3, 1e-3)),
    "tilted": ("rational_polynomial", (0.1, -0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.02, -0.01)),
    "equidistant": ("equidistant", (0.02, -0.01, 0.003, -0.001)),
}


def camera(lens: str = "none", width: int = 64, height: int = 48, focal: float = 60.0) -> Camera:
    return Camera(width, height, focal, focal * 1.01, width / 2 - 0.7, height / 2 + 0.4, *LENSES[lens])


def opencv_pixels(points: np.ndarray, c: Camera) -> np.ndarray:
    D = np.array(c.distortion or (0.0,) * 4)
    if c.distortion_model == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), c.K, D)[0][:, 0]
    return cv2.projectPoints(points[:, None], np.zeros(3), np.zeros(3), c.K, D)[0][:, 0]


def test_ray_of_the_principal_point_is_the_optical_axis() -> None:
    c = Camera(5, 5, 10.0, 20.0, 2.0, 3.0)
    assert rays(c)[3, 2].tolist() == [0, 0, 1]
    # One column to the right is a tenth of the depth to the right; one row down a twentieth further down.
    np.testing.assert_allclose(rays(c)[4, 3], [0.1, 0.05, 1], rtol=1e-6)


@pytest.mark.parametrize("lens", LENSES)
def test_rays_hit_their_pixels_with_opencv(lens: str) -> None:
    c = camera(lens)
    v, u = np.mgrid[: c.height, : c.width].astype(float)
    ray = rays(c).reshape(-1, 3).astype(float)
    assert rays(c).dtype == np.float32
    assert np.isfinite(ray).all()
    np.testing.assert_allclose(opencv_pixels(ray, c), np.stack([u, v], -1).reshape(-1, 2), atol=2e-3)


@pytest.mark.parametrize("lens", LENSES)
@settings(max_examples=30, deadline=None)
@given(x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5), z=st.floats(0.2, 5))
def test_project_agrees_with_opencv(lens: str, x: float, y: float, z: float) -> None:
    points = np.array([[x * z, y * z, z]])
    np.testing.assert_allclose(project(points, camera(lens)), opencv_pixels(points, camera(lens)), atol=1e-6)


def test_project_is_nan_behind_the_camera_and_for_nan() -> None:
    points = np.array([[0, 0, -1.0], [0, 0, 0], [np.nan, 0, 1], [0, 0, np.nan], [0, 0, 1]])
    for lens in LENSES:
        assert np.isnan(project(points, camera(lens))).all(axis=1).tolist() == [True] * 4 + [False]
        assert project(np.empty((0, 3)), camera(lens)).shape == (0, 2)


BARREL = Camera(64, 48, 40.0, 40.0, 32.0, 24.0, "plumb_bob", (-0.3, 0.0, 0.0, 0.0, 0.0))
"""Folds at an undistorted radius of 1.05, which is 0.70 or 28 pixels when distorted."""


def test_points_outside_the_calibrated_field_do_not_fold_back() -> None:
    far = np.array([[1.6, 0, 1.0]])
    assert 32 < opencv_pixels(far, BARREL)[0, 0] < 64  # a point 58 degrees aside is put into the image
    assert np.isnan(project(far, BARREL)).all()
    assert np.isfinite(project(np.array([[1.0, 0, 1.0]]), BARREL)).all()


def test_rays_are_nan_where_the_lens_has_no_inverse() -> None:
    ray = rays(BARREL)
    assert np.isnan(ray[0, 0]).all()
    assert np.isfinite(ray[24, 32 - 27 : 32 + 27]).all()
    wide = Camera(64, 48, 15.0, 15.0, 32.0, 24.0, "equidistant", (0.0,) * 4)  # corners beyond 90 degrees
    assert np.isnan(rays(wide)[0, 0]).all()
    np.testing.assert_allclose(rays(wide)[24, 44, 0], np.tan(12 / 15), rtol=1e-5)  # r = f theta


def test_rays_are_cached_and_read_only() -> None:
    assert rays(camera()) is rays(camera())
    with pytest.raises(ValueError, match="read-only"):
        rays(camera())[0, 0, 0] = 1


K = (600.0, 0, 320, 0, 610.0, 240, 0, 0, 1)
P = (550.0, 0, 318, -30.0, 0, 560.0, 238, 0, 0, 0, 1, 0)
EYE = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
WHOLE = Roi(0, 0, 0, 0)
PLUMB = (0.1, -0.2, 0.001, 0.002, 0.05)


def info(**changes: Any) -> Camera:
    fields: dict[str, Any] = {
        "width": 640, "height": 480, "k": K, "d": (), "distortion_model": "plumb_bob", "binning_x": 0,
        "binning_y": 0, "roi": WHOLE, "image_width": 640, "image_height": 480, "p": P, "r": EYE,
    }  # fmt: skip
    return camera_from_info(**(fields | changes))


def test_plain_info() -> None:
    assert info() == Camera(640, 480, 600, 610, 320, 240)
    assert info(d=(0.0,) * 5).distortion_model == ""
    assert info(distortion_model="") == info(distortion_model="none", d=(0.0,) * 5) == info()
    assert info(d=PLUMB) == Camera(640, 480, 600, 610, 320, 240, "plumb_bob", PLUMB)
    assert info(r=(0.0,) * 9, p=()) == info()


def test_padded_coefficients_lose_their_zeros_and_equidistant_zeros_stay_a_fisheye() -> None:
    assert info(d=(*PLUMB, 0.0, 0.0, 0.0)).distortion == PLUMB
    fish = info(distortion_model="equidistant", d=(0.0,) * 4)
    assert (fish.distortion_model, fish.distortion) == ("equidistant", (0.0,) * 4)


def test_binning_halves() -> None:
    assert info(binning_x=2, binning_y=2, image_width=320, image_height=240) == Camera(
        320, 240, 300, 305, 160, 120
    )
    assert info(binning_x=3, binning_y=1, image_width=213).fx == 200  # 640 / 3 rounded down by the driver
    assert info(binning_x=3, binning_y=1, image_width=214).fx == 200  # or up


def test_region_of_interest_shifts_then_binning_divides() -> None:
    c = info(roi=Roi(100, 40, 200, 160), image_width=200, image_height=160)
    assert (c.width, c.height, c.fx, c.cx, c.cy) == (200, 160, 600, 220, 200)
    c = info(roi=Roi(100, 40, 200, 160), binning_x=2, binning_y=4, image_width=100, image_height=40)
    assert (c.fx, c.fy, c.cx, c.cy) == (300, 152.5, 110, 50)


@settings(max_examples=50, deadline=None)
@given(
    x=st.integers(0, 400),
    y=st.integers(0, 300),
    b=st.integers(1, 4),
    u=st.integers(0, 29),
    v=st.integers(0, 29),
)
def test_a_pixel_of_a_binned_region_has_the_ray_of_its_pixel_in_the_full_image(
    x: int, y: int, b: int, u: int, v: int
) -> None:
    c = info(
        d=PLUMB, roi=Roi(x, y, 30 * b, 30 * b), binning_x=b, binning_y=b, image_width=30, image_height=30
    )
    np.testing.assert_allclose(rays(c)[v, u], rays(info(d=PLUMB))[y + v * b, x + u * b], atol=1e-5)


def test_full_size_image_takes_K_as_it_is() -> None:
    """Drivers leave binning set, or paste the region into the full image: K belongs to width x height."""
    assert info(binning_x=2, binning_y=2) == info()
    assert info(roi=Roi(10, 10, 100, 100)) == info()


def test_rectified_image_uses_P_without_distortion() -> None:
    assert info(d=PLUMB, rectified=True) == Camera(640, 480, 550, 560, 318, 238)
    assert info(rectified=True, p=()) == info(rectified=True, p=(0.0,) * 12) == info()
    rolled = (0.99, -0.14, 0, 0.14, 0.99, 0, 0, 0, 1)
    assert info(d=PLUMB, r=rolled, rectified=True).fx == 550
    half = info(d=PLUMB, rectified=True, binning_x=2, binning_y=2, image_width=320, image_height=240)
    assert (half.fx, half.cx) == (275, 159)


BAD = {
    "not calibrated": ({"k": (0.0,) * 9}, "not calibrated"),
    "zero fx": ({"k": (0.0, *K[1:])}, "not calibrated"),
    "negative fy": ({"k": (*K[:4], -610.0, *K[5:])}, "not calibrated"),
    "NaN in K": ({"k": (np.nan, *K[1:])}, "NaN"),
    "inf in D": ({"d": (np.inf, 0, 0, 0, 0)}, "NaN or infinite"),
    "short K": ({"k": K[:8]}, "instead of 9, 12, 9"),
    "unknown model": ({"distortion_model": "double_sphere", "d": PLUMB}, "plumb_bob, rational_pol"),
    "unknown model with zeros": ({"distortion_model": "equirectangular", "d": (0.0,) * 4}, "not supported"),
    "no model but coefficients": ({"distortion_model": "", "d": PLUMB}, "not supported"),
    "too few coefficients": ({"d": PLUMB[:3]}, "4 or 5"),
    "too many coefficients": ({"d": (*PLUMB, 0.1)}, "4 or 5"),
    "fisheye coefficients": ({"distortion_model": "equidistant", "d": (0.1,) * 5}, "takes 4"),
    "no size": ({"width": 0, "height": 0}, "0x0"),
    "empty image": ({"image_width": 0}, "0x480"),
    "only resized": ({"image_width": 320, "image_height": 240}, "image has 320x240.*describes 640x480"),
    "binning in one axis": ({"binning_x": 2, "image_width": 320, "image_height": 240}, "describes 320x480"),
    "region too wide": ({"roi": Roi(320, 200, 640, 400), "image_width": 100}, "does not lie"),
    "offset without size": ({"roi": Roi(320, 200, 0, 0)}, "does not lie"),
    "rectified without P": ({"d": PLUMB, "p": (), "rectified": True}, "fill P"),
    "rotated raw image": ({"r": (0.99, -0.14, 0, 0.14, 0.99, 0, 0, 0, 1)}, "R rotates"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_info_says_what_is_wrong(name: str) -> None:
    changes, message = BAD[name]
    with pytest.raises(InputError, match=message):
        info(**changes)
