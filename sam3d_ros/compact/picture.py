"""The object's crop as the compact model's image encoder reads it: colour, mask, and the point of each pixel."""

from __future__ import annotations

import cv2
import numpy as np

from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Bool, Float, Frame, ObjectView

PIXELS = 96
MARGIN = 1.2
"""Side of the crop relative to the box of the visible mask."""
CHANNELS = ("red", "green", "blue", "mask", "x", "y", "z", "measured")


def picture(view: ObjectView, frame: Frame, box: ObjectBox, pixels: int = PIXELS) -> Float:
    """(8, pixels, pixels) float32 in -1 .. 1, channels as named in CHANNELS.

    The crop is square and centred on the mask's box; outside of the image colours are 0 (middle grey) and nothing is
    measured. x, y, z: the point of the pixel in the coordinates of the box, cut off at twice its size; 0 where
    there is none.
    """
    roi = view.roi
    side = max(MARGIN * max(roi.width, roi.height), 8.0)
    left, top = roi.x + roi.width / 2 - side / 2, roi.y + roi.height / 2 - side / 2
    zoom = side / pixels
    # Pixel u covers u - 0.5 .. u + 0.5: scaling keeps edges, not centres.
    to_image = np.array([[zoom, 0, left + zoom / 2 - 0.5], [0, zoom, top + zoom / 2 - 0.5]])

    def warp(image: Float, interpolation: int, outside: float) -> Float:
        warped = cv2.warpAffine(
            image,
            to_image,
            (pixels, pixels),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(outside,) * 4,
        )
        return np.asarray(warped)

    window, to_image[:, 2] = _window(to_image, side, (frame.camera.height, frame.camera.width))
    if frame.rgb is None:
        rgb: Float = np.zeros((pixels, pixels, 3), np.float32)
    else:
        rgb = warp(frame.rgb[window].astype(np.float32) / 127.5 - 1, cv2.INTER_LINEAR, 0.0)
    mask = warp(view.mask.pixels[window].astype(np.float32), cv2.INTER_LINEAR, 0.0)
    points = warp(np.ascontiguousarray(frame.points_cam[window], np.float32), cv2.INTER_NEAREST, np.nan)
    flat = points.reshape(-1, 3)
    measured: Bool = np.asarray(np.isfinite(flat).all(axis=1))
    placed = box.unit(
        apply(inverse(view.T_cam_view), np.where(measured[:, None], flat, 0).astype(np.float64))
    )
    placed = np.where(measured[:, None], np.clip(placed, -2, 2) / 2, 0)
    stack = np.concatenate(
        [
            rgb,
            2 * mask[..., None] - 1,
            placed.reshape(pixels, pixels, 3),
            np.where(measured, 1, -1).reshape(pixels, pixels, 1),
        ],
        axis=-1,
    )
    return np.ascontiguousarray(stack.transpose(2, 0, 1), np.float32)


def _window(to_image: Float, side: float, shape: tuple[int, int]) -> tuple[tuple[slice, slice], Float]:
    """The part of the image that the crop can touch, and the crop's shift in it: nothing else is converted."""
    x0, y0 = (
        int(np.clip(np.floor(v) - 2, 0, n - 1)) for v, n in zip(to_image[:, 2], shape[::-1], strict=True)
    )
    x1 = int(np.clip(np.ceil(to_image[0, 2] + side) + 3, x0 + 1, shape[1]))
    y1 = int(np.clip(np.ceil(to_image[1, 2] + side) + 3, y0 + 1, shape[0]))
    return (slice(y0, y1), slice(x0, x1)), to_image[:, 2] - np.array([x0, y0])
