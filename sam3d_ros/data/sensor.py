"""What a depth camera makes of a perfect depth image: noise, jitter at edges, holes, whole millimetres.

The model is that of active stereo (RealSense D400 and its like): depth comes from a disparity d = f b / z
that is known to a fraction of a pixel, so the axial error grows with z^2 / (f b); and from two cameras, so
what the second one cannot see has no depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri  # type: ignore[import-untyped]

from sam3d_ros.data.render import Rendered
from sam3d_ros.data.srgb import linear_from_srgb
from sam3d_ros.types import Bool, Camera, Float


@dataclass(frozen=True)
class DepthSensor:
    """Parameters of the sensor model. Where no source is named the value is our choice, made to look like the
    depth images of such cameras.

    Sources: [intel] Grunnet-Jepsen, Sweetser, Woodfill, "Tuning depth cameras for best performance": the RMS
    error of depth is z^2 subpixel / (f baseline). [nguyen] Nguyen, Izadi, Lovell, "Modeling Kinect Sensor Noise
    for Improved 3D Reconstruction and Tracking", 3DIMPVT 2012: lateral noise, and axial noise that grows towards
    grazing angles.
    """

    baseline_m: float = 0.05
    """Between the two imagers of a D435 (50 mm)."""
    subpixel: float = 0.08
    """RMS error of the disparity of a well textured surface, pixels: 1.3 mm at 0.7 m for f = 600."""
    correlation_px: float = 1.2
    """Matching compares windows, so neighbours err alike; standard deviation of the window, pixels."""
    lateral_px: float = 0.8
    """Jitter of edges, pixels: [nguyen] measured 0.8 at angles below 60 degrees."""
    parallax_shadow: bool = True
    """Whether what is hidden from the second imager is missing; it sits to the right of the first one."""
    window_px: float = 0.0
    """Radius of the window that a pixel's depth is taken from: edges of one surface come out rounded, and around a jump
    in depth most pixels have none. 0 for cameras that hide it well; structured light has several pixels."""
    grazing_deg: float = 72.0
    """From this angle between ray and surface normal on, more and more pixels are missing."""
    dark: float = 0.03
    """Linear reflectance-times-light below which the pattern is lost: half of the pixels at this value."""
    glare: float = 0.35
    """Mirrored light (relative to white) above which a pixel is blinded."""
    speckle: float = 0.002
    """Share of pixels that fail for no visible reason, in small groups."""
    near_m: float = 0.2
    far_m: float = 6.0
    """Outside of these nothing is reported. A D435 begins at about 0.2 m and is specified to 3 m; 16-bit
    millimetres end at 65."""
    unit_m: float = 0.001
    """One unit of the depth image (16UC1 in ROS, REP 118)."""


def sense(
    rendered: Rendered, camera: Camera, rng: np.random.Generator, sensor: DepthSensor | None = None
) -> NDArray[np.uint16]:
    """(H, W) uint16 depth in units of `sensor.unit_m` (mm by default), 0 where the sensor gives nothing.

    The same for the same state of rng.
    """
    sensor = sensor or DepthSensor()
    true_z = np.nan_to_num(rendered.depth_m, nan=0.0).astype(np.float32)
    looks_at, failing = jitter(true_z.shape, sensor.lateral_px, rng), _smooth(true_z.shape, 1.5, rng)
    jittered = cv2.remap(true_z, *looks_at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    z: Float = np.asarray(jittered, np.float32)
    bent = _smooth(true_z.shape, sensor.correlation_px, rng)
    cosine = _cosine(rendered.normals_cam, camera)
    f_b = camera.fx * sensor.baseline_m
    with np.errstate(divide="ignore", invalid="ignore"):
        # [nguyen]: the error along the ray grows as the surface turns away; here
        # without its pole at 90 degrees.
        sigma = sensor.subpixel * (1 + 0.5 * (1 - cosine) ** 2)
        disparity = f_b / z
        smooth, torn = _windowed(disparity, failing, sensor.window_px)
        measured = f_b / (smooth + sigma * bent)
    missing = torn | (z < sensor.near_m) | (z > sensor.far_m) | ~np.isfinite(measured)
    missing |= _grazing(cosine, failing, sensor.grazing_deg)
    missing |= _unseen(rendered, failing, sensor)
    if sensor.parallax_shadow:
        missing |= parallax_shadow(z, f_b)
    units = np.where(missing, 0.0, measured / sensor.unit_m)
    depth: NDArray[np.uint16] = np.clip(np.rint(units), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return depth


def _windowed(disparity: Float, failing: Float, radius_px: float) -> tuple[Float, Bool]:
    """Disparity (H, W) as matching a window of that radius finds it, and (H, W) where it finds none."""
    if radius_px <= 0:
        return disparity, np.zeros(disparity.shape, bool)
    known = np.where(np.isfinite(disparity), disparity, 0).astype(np.float32)
    side = 2 * max(1, round(radius_px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    jump = cv2.dilate(known, disc) - cv2.erode(known, disc) > 1.0 + 0.1 * side
    smooth: Float = np.asarray(cv2.GaussianBlur(known, (0, 0), radius_px / 2), np.float32)
    # Eight in ten, in patches.
    return np.where(jump, disparity, smooth), np.asarray(jump) & (failing > -0.85)


def parallax_shadow(z: Float, f_b: float) -> Bool:
    """(H, W) pixels whose point the second imager cannot see, since something nearer lies before it.

    z: (H, W) m, 0 for nothing. f_b: focal length times baseline, pixel metres. The point of column u
    appears in column u - f_b / z of the second imager; it is hidden there if any point right of it in the
    first one, being nearer, appears at the same column or further left.
    """
    with np.errstate(divide="ignore"):
        disparity = np.where(z > 0, f_b / np.maximum(z, 1e-3), 0)
    seen_at = np.arange(z.shape[1], dtype=np.float32) - disparity
    leftmost = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(z.shape, bool)
    # One pixel of tolerance: neighbours on a steep but visible surface come close together.
    hidden[:, :-1] = leftmost[:, 1:] < seen_at[:, :-1] - 1.0
    return hidden


def _smooth(shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator) -> Float:
    """(H, W) float32 normal noise of variance 1, correlated over about sigma_px."""
    white = rng.standard_normal(shape, dtype=np.float32)
    if sigma_px <= 0:
        return white
    blurred = cv2.GaussianBlur(white, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT)
    # The sum of the squares of a 2-D Gaussian window is 1 / (4 pi sigma^2).
    scaled: Float = np.asarray(blurred, np.float32) * np.float32(2 * np.sqrt(np.pi) * sigma_px)
    return scaled


def jitter(
    shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator, correlation_px: float = 1.0
) -> tuple[Float, Float]:
    """Where each pixel really looks: columns and rows (H, W) float32, off by sigma_px, neighbours alike."""
    rows, columns = np.indices(shape, dtype=np.float32)
    return (
        columns + sigma_px * _smooth(shape, correlation_px, rng),
        rows + sigma_px * _smooth(shape, correlation_px, rng),
    )


def _cosine(normals_cam: Float, camera: Camera) -> Float:
    """(H, W) cosine between the surface normal and the ray back to the camera, 0 where nothing is."""
    x = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (np.arange(camera.height, dtype=np.float32)[:, None] - np.float32(camera.cy)) / np.float32(camera.fy)
    towards = -(normals_cam[..., 0] * x + normals_cam[..., 1] * y + normals_cam[..., 2])
    cosine: Float = np.clip(towards / np.sqrt(x * x + y * y + 1), 0, 1)
    return cosine


def _grazing(cosine: Float, failing: Float, limit_deg: float) -> Bool:
    """All pixels fail at 90 degrees, 2 % (failing > 2) at the limit."""
    angle = np.rad2deg(np.arccos(cosine))
    lost: Bool = failing > 2 - 6 * (angle - limit_deg) / (90 - limit_deg)
    lost &= angle > limit_deg
    return lost


def _unseen(rendered: Rendered, failing: Float, sensor: DepthSensor) -> Bool:
    """Too dark for the pattern, blinded by glare, or failing for no visible reason."""
    luminance = linear_from_srgb(rendered.rgb) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    with np.errstate(divide="ignore"):
        # Half of the pixels at the limit, 2 % at e times the limit, 98 % at 1/e of it.
        dark = failing > 2 * np.log(np.maximum(luminance, 1e-6) / sensor.dark)
    dark &= luminance < 3 * sensor.dark
    glare = rendered.glare > sensor.glare
    speckle = failing < ndtri(sensor.speckle)
    lost: Bool = dark | glare | speckle
    return lost
