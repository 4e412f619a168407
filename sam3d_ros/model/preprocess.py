"""Picture, mask and pointmap to condition inputs: crops, resizing, pointmap normalisation. numpy alone.

Both stages see two views of the picture and its mask: a square crop around the object and the full frame. The
geometry stage sees the pointmap in both views too, normalised so that the object's median point is the
origin. The picture is never multiplied by the mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import InputError

Array = NDArray[np.float32]

BOX_FACTOR = 1.2
IMAGE_SIZE = 518


class MaskError(InputError):
    """The mask cannot be cropped: empty, or thinner than two pixels."""


@dataclass(frozen=True)
class GeometryInputs:
    """What the geometry stage reads of one object.

    views: by name (see `condition.VIEWS`), images (3, S, S), masks (1, S, S), pointmaps (3, S, S), fp32.
    scene_scale (3,), scene_shift (3,): the pointmap became (P - shift) / scale; `pose_codec` undoes it.
    """

    views: dict[str, Array]
    scene_scale: Array
    scene_shift: Array


def geometry_inputs(
    rgb: NDArray[np.uint8], mask: NDArray[Any], pointmap: Array, size: int = IMAGE_SIZE
) -> GeometryInputs:
    """Inputs of the geometry stage.

    rgb (H, W, 3) uint8. mask (H, W) bool or uint8 (0 .. 255).
    pointmap (H', W', 3) in any unit, camera frame x left, y up, z forward; NaN or inf where nothing was
    measured; any resolution of the picture's aspect.
    Raises InputError, also where the pointmap has another shape or no extent; MaskError where the mask is of no
    use.
    """
    image, alpha = as_float(rgb, mask)
    if pointmap.ndim != 3 or pointmap.shape[2] != 3 or pointmap.size == 0:
        raise InputError(f"the pointmap must be (H, W, 3), not {pointmap.shape}")
    points = np.moveaxis(np.where(np.isfinite(pointmap), pointmap, np.nan).astype(np.float32), -1, 0)
    scale, shift = scene_scale_shift(points, resize_nearest(alpha, points.shape[1:])[0] > 0.5)
    if not scale > 0:
        raise InputError("the pointmap has no extent: most of its points coincide, or none is whole")
    # NaN in one coordinate spoils the point.
    missing = np.isnan(points).any(axis=0)
    points = np.where(missing, np.float32(np.nan), (points - shift[:, None, None]) / scale)
    full = points if points.shape[1:] == image.shape[1:] else resize_pointmap(points, image.shape[1:])
    box = crop_box(alpha[0] > 0)
    views = image_views(image, alpha, box, size)
    views["pointmap"] = to_square(crop(full, box, fill=np.nan), size, nearest=True)
    views["rgb_pointmap"] = to_square(points, size, nearest=True)
    return GeometryInputs(views, np.full(3, scale, np.float32), shift)


def texture_inputs(rgb: NDArray[np.uint8], mask: NDArray[Any], size: int = IMAGE_SIZE) -> dict[str, Array]:
    """Inputs of the texture stage by view name: the same four pictures, no pointmap. Raises MaskError."""
    image, alpha = as_float(rgb, mask)
    return image_views(image, alpha, crop_box(alpha[0] > 0), size)


def as_float(rgb: NDArray[np.uint8], mask: NDArray[Any]) -> tuple[Array, Array]:
    """(H, W, 3) uint8 and (H, W) bool or uint8 -> (3, H, W) and (1, H, W) in [0, 1]."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError(f"the picture must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    if mask.shape != rgb.shape[:2]:
        raise InputError(f"the mask is {mask.shape}, the picture {rgb.shape[:2]}")
    alpha = mask.astype(np.float64) if mask.dtype == np.bool_ else mask / 255.0
    image = np.moveaxis(rgb / 255.0, -1, 0).astype(np.float32)
    return np.ascontiguousarray(image), alpha[None].astype(np.float32)


def image_views(image: Array, alpha: Array, box: tuple[int, int, int, int], size: int) -> dict[str, Array]:
    """Crop and full view of picture and mask."""
    return {
        "image": to_square(crop(image, box), size),
        "rgb_image": to_square(image, size),
        "mask": to_square(crop(alpha, box), size, nearest=True),
        "rgb_image_mask": to_square(alpha, size, nearest=True),
    }


def crop_box(mask: NDArray[np.bool_], factor: float = BOX_FACTOR) -> tuple[int, int, int, int]:
    """Square box (x1, y1, x2, y2) around a mask (H, W), `factor` times its longer side; may leave the image.

    Every rounding is towards zero, as in the published preprocessing; the box may not be square by a pixel.
    """
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        raise MaskError("the mask is empty")
    x_min, x_max, y_min, y_max = int(xs.min()), int(xs.max()), int(ys.min()), int(ys.max())
    width, height = x_max - x_min, y_max - y_min
    if width < 2 or height < 2:
        raise MaskError(f"the mask spans {width + 1} x {height + 1} pixels; at least 3 x 3 are needed")
    half = int(max(width, height) * factor) // 2
    cx, cy = (x_min + x_max) / 2, (y_min + y_max) / 2
    return int(cx - half), int(cy - half), int(cx + half), int(cy + half)


def crop(x: Array, box: tuple[int, int, int, int], fill: float = 0.0) -> Array:
    """(C, H, W) -> the box, made square. Outside of the image: 0. `fill` is used only to square the box."""
    x1, y1, x2, y2 = box
    _, h, w = x.shape
    out = np.zeros((x.shape[0], y2 - y1, x2 - x1), np.float32)
    top, bottom, left, right = max(y1, 0), min(y2, h), max(x1, 0), min(x2, w)
    if top < bottom and left < right:
        out[:, top - y1 : bottom - y1, left - x1 : right - x1] = x[:, top:bottom, left:right]
    return pad_square(out, fill)


def pad_square(x: Array, fill: float = 0.0) -> Array:
    """(C, H, W) -> (C, S, S), centred, the odd pixel right or below."""
    _, h, w = x.shape
    gap_y, gap_x = max(w - h, 0), max(h - w, 0)
    pads = ((0, 0), (gap_y // 2, gap_y - gap_y // 2), (gap_x // 2, gap_x - gap_x // 2))
    return np.pad(x, pads, constant_values=fill)


def to_square(x: Array, size: int, nearest: bool = False) -> Array:
    """(C, H, W) -> (C, size, size): padded with zeros, then resized.

    A padded pointmap gets points (0, 0, 0) there, valid ones: the published model was trained with them.
    """
    x = pad_square(x)
    return resize_nearest(x, (size, size)) if nearest else resize_bilinear(x, (size, size))


def resize_nearest(x: Array, shape: tuple[int, ...]) -> Array:
    """(C, H, W) -> (C, *shape)."""
    rows, cols = (nearest_sources(m, n) for n, m in zip(shape, x.shape[1:], strict=True))
    return np.ascontiguousarray(x[:, rows[:, None], cols])


def nearest_sources(n_in: int, n_out: int) -> NDArray[np.int64]:
    """Source of each of n_out pixels, floor(i * n_in / n_out) in fp32: the rule of the published preprocessing."""
    index = np.arange(n_out, dtype=np.float32) * np.float32(n_in / n_out)
    return np.minimum(index.astype(np.int64), n_in - 1)


def resize_bilinear(x: Array, shape: tuple[int, ...]) -> Array:
    """(C, H, W) -> (C, *shape), bilinear with a filter that widens when shrinking (antialias)."""
    rows, cols = (bilinear_weights(m, n) for n, m in zip(shape, x.shape[1:], strict=True))
    return np.ascontiguousarray(rows @ (x @ cols.T))


def bilinear_weights(n_in: int, n_out: int) -> Array:
    """Triangle filter as a matrix (n_out, n_in), rows summing to one."""
    ratio = n_in / n_out
    width = max(ratio, 1.0)
    centre = ratio * (np.arange(n_out) + 0.5)
    distance = np.abs(np.arange(n_in) + 0.5 - centre[:, None]) / width
    weights = np.maximum(1.0 - distance, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def resize_pointmap(points: Array, shape: tuple[int, ...]) -> Array:
    """(3, H, W) with NaN -> (3, *shape), bilinear; pixels whose nearest source is NaN stay NaN."""
    missing = np.isnan(points).any(axis=0, keepdims=True)
    filled = resize_bilinear(np.where(missing, np.float32(0), points), shape)
    holes = resize_nearest(np.asarray(missing, np.float32), shape) > 0.5
    return np.where(holes, np.float32(np.nan), filled)


def scene_scale_shift(points: Array, mask: NDArray[np.bool_]) -> tuple[np.float32, Array]:
    """Scale and shift (3,) that normalise a pointmap (3, H, W) for the object of a mask (H, W).

    shift: per-axis median of the object's points. scale: median over all pixels of the largest coordinate
    distance to it. Without any point on the object: 1 and 0.
    """
    inside = points[:, mask]
    if not np.isfinite(inside).any():
        return np.float32(1), np.zeros(3, np.float32)
    shift = np.array([lower_median(axis) for axis in inside], np.float32)
    reach = np.abs(points - shift[:, None, None]).max(axis=0)
    return lower_median(reach.ravel()), shift


def lower_median(values: Array) -> np.float32:
    """Median without NaN; of an even number the lower middle value. NaN if there is none."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return np.float32(np.nan)
    middle = (len(values) - 1) // 2
    return np.float32(np.partition(values, middle)[middle])
