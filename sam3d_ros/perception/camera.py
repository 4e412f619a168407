"""The lens: pixels to rays, points to pixels, and what sensor_msgs/CameraInfo says about both.

A pixel's centre has whole coordinates, as in OpenCV and image_geometry: pixel (0, 0) covers -0.5 to 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import Camera, Float, InputError, Roi

COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Distortion models of REP 104 that are understood, with the numbers of coefficients that OpenCV knows."""

# A ray that, sent through the lens again, misses its pixel by more than this many pixels is no inverse.
_RAY_TOLERANCE_PX = 0.1
# Above this the rotation R of CameraInfo moves a point one metre away by more than two millimetres.
_ROTATION_TOLERANCE = 2e-3


@lru_cache(maxsize=8)
def rays(camera: Camera) -> NDArray[np.float32]:
    """(H, W, 3) float32 rays with z = 1 through every pixel centre, optical frame; depth times ray is the
    point.

    NaN where the lens model has no inverse: beyond 90 degrees, or where a polynomial folds back. The array is
    shared between calls and read-only. The last eight cameras are kept (3.7 MB each at 640x480).
    """
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    out = np.empty((camera.height, camera.width, 3), np.float32)
    if not camera.distortion_model:
        out[..., 0] = (u - camera.cx) / camera.fx
        out[..., 1] = (v - camera.cy) / camera.fy
        out[..., 2] = 1
    else:
        pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
        D = np.array(camera.distortion)
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-6)
        if camera.distortion_model == "equidistant":
            xy = cv2.fisheye.undistortPoints(pixels, camera.K, D, criteria=criteria)
        else:
            xy = cv2.undistortPointsIter(pixels, camera.K, D, np.eye(3), np.eye(3), criteria)
        points = cv2.convertPointsToHomogeneous(xy).reshape(-1, 3).astype(np.float64)
        missed = np.linalg.norm(project(points, camera) - pixels.reshape(-1, 2), axis=1)
        points[~(missed < _RAY_TOLERANCE_PX)] = np.nan  # also where project() says NaN
        out[:] = points.reshape(out.shape)
    out.flags.writeable = False
    return out


def project(points_cam: Float, camera: Camera) -> Float:
    """(N, 3) points in the optical frame, m, to (N, 2) float64 pixels, also outside of the image.

    NaN for points behind the camera, NaN points, and points so far aside that the lens polynomial, which
    holds only in its calibrated field of view, would fold them back into the image.
    """
    points = np.asarray(points_cam, np.float64).reshape(-1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = points[:, :2] / points[:, 2:]
        radius = np.hypot(xy[:, 0], xy[:, 1])
        bad = ~((points[:, 2] > 0) & (radius < _fold_radius(camera.distortion_model, camera.distortion)))
    xy[bad] = 0
    pixels = _bend(xy, camera.distortion_model, camera.distortion) * (camera.fx, camera.fy)
    pixels += camera.cx, camera.cy
    pixels[bad] = np.nan
    return pixels


def camera_from_info(
    width: int,
    height: int,
    k: Sequence[float],
    d: Sequence[float],
    distortion_model: str,
    binning_x: int,
    binning_y: int,
    roi: Roi,
    image_width: int,
    image_height: int,
    p: Sequence[float] = (),
    r: Sequence[float] = (),
    *,
    rectified: bool = False,
) -> Camera:
    """The camera of an image of image_width x image_height, from the fields of its CameraInfo (REP 104).

    `k` (9,), `p` (12,), `r` (9,) row-major and `d` belong to the full image of width x height. An image of
    just that size takes them as they are. Otherwise the region of interest (in full-resolution pixels, all
    zeros for the whole image) moves the principal point and then binning divides, with cx / binning as
    image_geometry has it, and the image must have the size that results. A size that was only resized,
    without word in CameraInfo, is refused: it cannot be told from a crop, and a wrong guess is a wrong size
    of every object.

    `rectified` is for image_rect topics, whose CameraInfo still carries the coefficients of the raw image:
    `p` then holds for the image and there is no distortion left. Points are in the axes of the image at the
    camera's own centre; the baseline in the fourth column of `p` does not enter. A raw image with a
    rectifying rotation `r` is refused because its frame_id names the rectified axes.

    Raises InputError with what is wrong and what would be right.
    """
    values = np.array([*k, *d, *p, *r], np.float64)
    if len(k) != 9 or len(p) not in (0, 12) or len(r) not in (0, 9):
        raise InputError(f"camera_info: K, P, R have {len(k)}, {len(p)}, {len(r)} values instead of 9, 12, 9")
    if not np.isfinite(values).all():
        raise InputError(
            "camera_info has NaN or infinite values: calibrate the camera or mend its calibration file"
        )
    if rectified:
        K, (model, D) = _projection(k, d, p), _NO_LENS
    else:
        if len(r) and any(r) and np.abs(np.reshape(r, (3, 3)) - np.eye(3)).max() > _ROTATION_TOLERANCE:
            raise InputError(
                "camera_info: R rotates, so points of the raw image are not in the axes of its frame_id; "
                "use the rectified image (image_proc) and say that it is rectified"
            )
        K = np.reshape(np.asarray(k, np.float64), (3, 3))
        model, D = _lens(distortion_model, d)
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    if fx <= 0 or fy <= 0:
        raise InputError(
            f"camera_info: focal lengths are {fx:g} and {fy:g} pixels: the camera is not calibrated "
            "(calibrate it with camera_calibration, or set camera_info_url of its driver)"
        )

    if width <= 0 or height <= 0 or image_width <= 0 or image_height <= 0:
        raise InputError(
            f"camera_info says {width}x{height} for an image of {image_width}x{image_height}; "
            "the driver must fill in the size that K was calibrated for"
        )
    whole = (roi.x, roi.y, roi.width, roi.height) == (0, 0, 0, 0)
    x0, y0, roi_w, roi_h = (0, 0, width, height) if whole else (roi.x, roi.y, roi.width, roi.height)
    inside = x0 >= 0 and y0 >= 0 and 0 < roi_w <= width - x0 and 0 < roi_h <= height - y0
    if not inside:
        raise InputError(
            f"camera_info: region of interest {roi_w}x{roi_h} at ({x0}, {y0}) does not lie in its "
            f"{width}x{height} image; it is given in pixels of the full image, all zeros for the whole"
        )
    if (image_width, image_height) != (width, height):
        bin_x, bin_y = max(binning_x, 1), max(binning_y, 1)
        # Drivers round a size that binning does not divide down or up.
        if abs(roi_w - image_width * bin_x) >= bin_x or abs(roi_h - image_height * bin_y) >= bin_y:
            raise InputError(
                f"the image has {image_width}x{image_height} pixels but camera_info describes "
                f"{roi_w // bin_x}x{roi_h // bin_y} (full {width}x{height}, region {roi_w}x{roi_h} at "
                f"({x0}, {y0}), binning {bin_x}x{bin_y}); subscribe to the camera_info of this image, or "
                "resize it with image_proc, which adapts it"
            )
        fx, cx = fx / bin_x, (cx - x0) / bin_x
        fy, cy = fy / bin_y, (cy - y0) / bin_y
    return Camera(image_width, image_height, fx, fy, cx, cy, model, D)


_NO_LENS: tuple[str, tuple[float, ...]] = ("", ())


def _projection(k: Sequence[float], d: Sequence[float], p: Sequence[float]) -> Float:
    """(3, 3) intrinsics of the rectified image: P, or K where P is empty and there is nothing to rectify."""
    if len(p) and p[0]:
        P: Float = np.reshape(np.asarray(p, np.float64), (3, 4))[:, :3]
        return P
    if any(d):
        raise InputError(
            "camera_info: P is empty but D is not, so the rectified image has unknown intrinsics; fill P"
        )
    return np.reshape(np.asarray(k, np.float64), (3, 3))


def _lens(model: str, d: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Checked (distortion model, coefficients in OpenCV's order); "" where there is no distortion."""
    D = [float(c) for c in d]
    if model not in COEFFICIENTS:
        if model in ("", "none") and not any(D):
            return _NO_LENS
        raise InputError(
            f"camera_info: distortion model {model!r} with {len(D)} coefficients is not supported; "
            f"supported are {', '.join(COEFFICIENTS)}, or an empty name with all coefficients zero; or use "
            "rectified images"
        )
    if model != "equidistant" and not any(D):
        return _NO_LENS  # an equidistant lens bends even with zero coefficients
    allowed = COEFFICIENTS[model]
    while D and len(D) > allowed[-1] and D[-1] == 0:  # some drivers pad all models to one length
        D.pop()
    if len(D) not in allowed:
        raise InputError(
            f"camera_info: {model} takes {' or '.join(map(str, allowed))} coefficients, not {len(d)}"
        )
    return model, tuple(D)


def _bend(xy: Float, model: str, distortion: tuple[float, ...]) -> Float:
    """Undistorted image coordinates at z = 1, (N, 2) float64, to distorted ones, with OpenCV's lens models.

    cv2.projectPoints does the same but always makes the Jacobian too, 240 bytes a point.
    """
    if not model:
        return xy
    k = np.zeros(14)
    k[: len(distortion)] = distortion
    if k[12:].any() and len(xy):  # a tilted sensor
        none = np.zeros(3)
        bent = cv2.projectPoints(cv2.convertPointsToHomogeneous(xy), none, none, np.eye(3), k)[0]
        return np.asarray(bent[:, 0], np.float64)
    x, y = xy[:, 0], xy[:, 1]
    r2 = x * x + y * y
    radial = _radial(model, k, np.sqrt(r2))
    if model == "equidistant":
        return xy * radial[:, None]
    bent_x = x * radial + 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x) + r2 * (k[8] + r2 * k[9])
    bent_y = y * radial + k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y + r2 * (k[10] + r2 * k[11])
    return np.stack([bent_x, bent_y], axis=-1)


def _radial(model: str, k: Float, r: Float) -> Float:
    """Distorted over undistorted radius at undistorted radius `r` (any shape, z = 1); `k` (14,)
    zero-padded."""
    factor: Float
    if model == "equidistant":
        theta = np.arctan(r)
        t2 = theta * theta
        angle = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
        factor = np.divide(angle, r, out=np.ones_like(r), where=r > 1e-12)
    else:
        r2 = r * r
        factor = (1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))) / (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7])))
    return factor


@lru_cache(maxsize=64)
def _fold_radius(model: str, distortion: tuple[float, ...]) -> float:
    """The largest undistorted radius (z = 1) up to which the radial part of the lens model still grows."""
    if not model:
        return np.inf
    r = np.tan(
        np.linspace(0, 0.5 * np.pi, 2000)[:-1]
    )  # equal steps of angle reach far radii with few of them
    k = np.zeros(14)
    k[: len(distortion)] = distortion
    with np.errstate(all="ignore"):
        falls = np.flatnonzero(~(np.diff(r * _radial(model, k, r)) > 0))
    return float(r[falls[0]]) if len(falls) else float(r[-1])
