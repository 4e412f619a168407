"""Instance masks: from label images to one `Mask` each, and the reasons for which one is not worth
reconstructing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import Bool, Float, Frame, InputError, Mask, RejectCode, Rejected, Roi

MAX_LABELS = 1000
"""More different values than this are no label image but a depth or grey image on the wrong topic."""


@dataclass(frozen=True)
class MaskLimits:
    """What a mask must have to become an object.

    min_pixels: pixels of the mask. min_points: pixels with a depth in range. min_valid_depth: share of
    pixels with a depth in range. min_depth, max_depth: the range, along the optical axis. max_size:
    the longest side of the box around the seen points, above which the mask is furniture or background.
    """

    min_pixels: int = 100
    min_points: int = 50
    min_valid_depth: float = 0.1
    min_depth: float = 0.1
    max_depth: float = 4.0
    max_size: float = 1.5


def masks_from_labels(image: NDArray[Any]) -> list[Mask]:
    """One mask per value above zero of an (H, W) integer label image (mono8, 16UC1, 32SC1), in the order of
    values.

    Zero and negative values are background. Raises InputError for floats, colours, an empty image, or more
    than MAX_LABELS values.

    Only labelled pixels are sorted, and the sort is a radix sort for values that fit 16 bits, so that more
    labels cost no more than the memory of their masks; one scan of the image for each would.
    """
    if image.ndim != 2 or not image.size or image.dtype.kind not in "iub":
        raise InputError(
            f"a label image is (height, width) of integers, not {image.shape} of {image.dtype.name}"
        )
    flat = image.ravel()
    where = np.flatnonzero(flat > 0)
    if not len(where):
        return []
    labels = flat[where]
    if labels.dtype == np.bool_ or int(labels.max()) < 1 << 16:
        labels = labels.astype(np.uint16)
    order = np.argsort(labels, kind="stable")
    labels, where = labels[order], where[order]
    starts = np.flatnonzero(np.diff(labels)) + 1
    if len(starts) >= MAX_LABELS:
        raise InputError(
            f"the label image has {len(starts) + 1} different values, more than {MAX_LABELS}; it looks like "
            "a depth or grey image, not like one value per object"
        )
    masks = []
    for pixels_of_one, label in zip(np.split(where, starts), labels[np.r_[0, starts]], strict=True):
        pixels = np.zeros(image.shape, np.bool_)
        pixels.ravel()[pixels_of_one] = True
        masks.append(Mask(int(label), pixels))
    return masks


def mask_from_binary(image: NDArray[Any], index: int = 1, label: str = "") -> Mask:
    """One mask of all non-zero pixels of an (H, W) integer or bool image. Raises InputError for anything
    else."""
    if image.ndim != 2 or not image.size or image.dtype.kind not in "iub":
        raise InputError(
            f"a binary mask is (height, width) of integers or bool, not {image.shape} of {image.dtype}"
        )
    return Mask(index, image != 0, label)


def roi_of(mask: Mask) -> Roi:
    """The tight rectangle around the mask; 0x0 at (0, 0) for an empty one."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask.pixels).view(np.uint8))
    return Roi(int(x), int(y), int(width), int(height))


def from_edge(pixels: Bool) -> Float:
    """(h, w) float32 px of a mask's pixels from its edge, 0 outside."""
    distance = cv2.distanceTransform(np.pad(pixels, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(distance[1:-1, 1:-1], np.float32)


def check_mask(mask: Mask, frame: Frame, limits: MaskLimits) -> Rejected | None:
    """None if the mask can be tried, or the first reason why not, with the numbers.

    Raises InputError if mask and frame differ in size, which is a fault of the whole input and not of one
    mask.
    """
    height, width = frame.points_cam.shape[:2]
    if mask.pixels.shape != (height, width):
        raise InputError(
            f"mask {mask.index} has {mask.pixels.shape[1]}x{mask.pixels.shape[0]} pixels, the frame "
            f"{width}x{height}; masks must be made on, or resized (nearest neighbour) to, the colour image"
        )

    def reject(code: RejectCode, reason: str) -> Rejected:
        return Rejected(mask.index, code, reason, mask.label)

    roi = roi_of(mask)
    window = np.s_[roi.y : roi.y + roi.height, roi.x : roi.x + roi.width]
    pixels = mask.pixels[window]
    count = int(np.count_nonzero(pixels))
    if count == 0:
        return reject(RejectCode.EMPTY_MASK, "the mask has no pixels")
    if count < limits.min_pixels:
        return reject(
            RejectCode.TINY_MASK, f"the mask has {count} pixels, at least {limits.min_pixels} are needed"
        )
    z = frame.points_cam[window][..., 2][pixels]
    z = z[np.isfinite(z)]
    near, far = limits.min_depth, limits.max_depth
    used = int(np.count_nonzero((z >= near) & (z <= far)))
    needed = max(limits.min_points, int(np.ceil(limits.min_valid_depth * count)))
    if used >= needed:
        return None
    if len(z) >= needed:
        return reject(
            RejectCode.OUT_OF_RANGE,
            f"median depth {float(np.median(z)):.2f} m, only {used} of {count} pixels lie within {near:g} to "
            f"{far:g} m",
        )
    return reject(
        RejectCode.NO_DEPTH,
        f"{len(z)} of {count} pixels ({len(z) / count:.0%}) have depth, {needed} are needed",
    )
