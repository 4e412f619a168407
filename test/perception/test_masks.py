"""Masks against one scan per label, and every reason for a rejection."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam3d_ros.perception.masks import MaskLimits, check_mask, mask_from_binary, masks_from_labels, roi_of
from sam3d_ros.types import Camera, Frame, InputError, Mask, RejectCode, Roi


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.int64]).flatmap(
        lambda dtype: hnp.arrays(
            dtype, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 127)
        )
    ),
    st.booleans(),
)
def test_labels_against_one_scan_each(image: np.ndarray, high: bool) -> None:
    if high and image.dtype.itemsize > 2:  # labels beyond 16 bits, negative ones are background
        image = image * 100_000 - 5_000_000
    masks = masks_from_labels(image)
    expected = [int(v) for v in np.unique(image) if v > 0]
    assert [m.index for m in masks] == expected
    for mask in masks:
        assert mask.pixels.dtype == np.bool_
        np.testing.assert_array_equal(mask.pixels, image == mask.index)


def test_strided_and_bool_images() -> None:
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)[::2, ::-2]
    np.testing.assert_array_equal(
        masks_from_labels(image)[3].pixels, image == masks_from_labels(image)[3].index
    )
    assert [m.index for m in masks_from_labels(np.eye(3, dtype=bool))] == [1]
    assert masks_from_labels(np.zeros((5, 5), np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.ones((4, 4), np.float32), np.ones((4, 4, 3), np.uint8), np.ones((0, 4), np.uint8)]
)
def test_what_is_no_mask_image(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="label image is"):
        masks_from_labels(image)
    with pytest.raises(InputError, match="binary mask is"):
        mask_from_binary(image)


def test_depth_image_on_the_mask_topic() -> None:
    with pytest.raises(InputError, match="depth or grey image"):
        masks_from_labels(np.arange(10_000, dtype=np.uint16).reshape(100, 100))


def test_binary() -> None:
    mask = mask_from_binary(np.array([[0, 255], [1, 0]], np.uint8), 3, "cup")
    assert (mask.index, mask.label, mask.pixels.tolist()) == (3, "cup", [[False, True], [True, False]])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_roi_is_tight(pixels: np.ndarray) -> None:
    roi = roi_of(Mask(1, pixels))
    rows, columns = np.nonzero(pixels)
    if len(rows):
        assert roi == Roi(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    else:
        assert roi == Roi(0, 0, 0, 0)


def frame(z: np.ndarray) -> Frame:
    points = np.stack([np.zeros_like(z), np.zeros_like(z), z], -1)
    points[~np.isfinite(z)] = np.nan
    return Frame(None, points.astype(np.float32), Camera(z.shape[1], z.shape[0], 100, 100, 10, 10))


def square(size: int) -> Mask:
    pixels = np.zeros((40, 50), bool)
    pixels[5 : 5 + size, 7 : 7 + size] = True
    return Mask(4, pixels, "cup")


def test_a_good_mask_passes() -> None:
    assert check_mask(square(10), frame(np.full((40, 50), 0.8)), MaskLimits()) is None


def test_reasons() -> None:
    near = np.full((40, 50), 0.8)
    few = np.full((40, 50), np.nan)
    few[5:10, 7:12] = 0.8
    half = np.where(np.arange(50) < 12, 3.0, 9.0) * np.ones((40, 1))
    cases = [
        (square(0), near, MaskLimits(), RejectCode.EMPTY_MASK, "no pixels"),
        (square(5), near, MaskLimits(), RejectCode.TINY_MASK, "25 pixels, at least 100"),
        (square(20), near * np.nan, MaskLimits(), RejectCode.NO_DEPTH, r"0 of 400 pixels \(0%\)"),
        (square(20), few, MaskLimits(), RejectCode.NO_DEPTH, r"25 of 400 pixels \(6%\) have depth, 50 are"),
        (square(20), few, MaskLimits(min_points=20), RejectCode.NO_DEPTH, "40 are needed"),
        (square(20), near * 10, MaskLimits(), RejectCode.OUT_OF_RANGE, "8.00 m, only 0 of 400.* 0.1 to 4 m"),
        (square(20), near * 0.1, MaskLimits(), RejectCode.OUT_OF_RANGE, "median depth 0.08 m"),
        (square(20), half, MaskLimits(min_valid_depth=0.5), RejectCode.OUT_OF_RANGE, "only 100 of 400"),
    ]
    for mask, z, limits, code, reason in cases:
        rejected = check_mask(mask, frame(z), limits)
        assert rejected is not None
        assert (rejected.code, rejected.mask_index, rejected.label) == (code, 4, "cup")
        assert re.search(reason, rejected.reason), rejected.reason


def test_enough_depth_among_holes_passes() -> None:
    z = np.full((40, 50), np.nan)
    z[5:15, 7:17] = 0.8
    assert check_mask(square(20), frame(z), MaskLimits()) is None


def test_other_size_than_the_frame() -> None:
    with pytest.raises(InputError, match="50x40 pixels, the frame 64x48"):
        check_mask(square(10), frame(np.ones((48, 64))), MaskLimits())
