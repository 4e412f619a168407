"""Crops, resizing and pointmap normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.model import preprocess as pp


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_agrees_with_golden(golden, close, name):
    g = golden(f"preprocess_{name}")
    rgba = g.inputs["rgba_u8"].numpy()
    size = int(g.inputs["size"])
    rgb, mask = rgba[..., :3], rgba[..., 3]
    assert list(pp.crop_box(mask > 0)) == g.out["bbox"].tolist()
    points = np.moveaxis(g.inputs["pointmap"].numpy(), 0, -1)
    got = pp.geometry_inputs(rgb, mask, points, size)
    close(torch.from_numpy(got.scene_scale), g.out["ss.pointmap_scale"])
    close(torch.from_numpy(got.scene_shift), g.out["ss.pointmap_shift"])
    views = {f"ss.{n}": v for n, v in got.views.items()}
    views |= {f"slat.{n}": v for n, v in pp.texture_inputs(rgb, mask, size).items()}
    for view, value in views.items():
        want, value = g.out[view], torch.from_numpy(value)
        assert torch.equal(value.isnan(), want.isnan())
        close(value.nan_to_num(), want.nan_to_num())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_equals_torch(h, w, size):
    x = np.random.default_rng(h * 41 + w).random((2, h, w), np.float32)
    t = torch.from_numpy(x)[None]
    want = F.interpolate(t, (size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    np.testing.assert_allclose(pp.resize_bilinear(x, (size, size)), want, atol=2e-5)
    want = F.interpolate(t, (size, size), mode="nearest")[0]
    np.testing.assert_array_equal(pp.resize_nearest(x, (size, size)), want)


@given(st.lists(st.floats(-5, 5, width=32) | st.just(float("nan")), min_size=1, max_size=30))
def test_median_equals_torch(values):
    a = np.array(values, np.float32)
    np.testing.assert_array_equal(pp.lower_median(a), torch.from_numpy(a).nanmedian().numpy())


def frame(h=40, w=50):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    mask = np.zeros((h, w), bool)
    mask[10:30, 15:40] = True
    points = rng.normal(size=(h, w, 3)).astype(np.float32) + np.float32([0, 0, 2])
    return rgb, mask, points


def test_normalised_object_is_centred():
    rgb, mask, points = frame()
    points[5:12, 10:20] = np.nan
    got = pp.geometry_inputs(rgb, mask, points, 28)
    normalised = (points - got.scene_shift) / got.scene_scale
    np.testing.assert_allclose(np.nanmedian(normalised[mask], axis=0), 0, atol=0.02)
    assert np.nanmedian(np.abs(normalised).max(axis=-1)) == pytest.approx(1, abs=0.02)


def test_infinite_points_are_missing_points():
    rgb, mask, points = frame()
    nan, inf = points.copy(), points.copy()
    nan[12:20, 20:30] = np.nan
    inf[12:20, 20:30] = np.inf
    a, b = pp.geometry_inputs(rgb, mask, nan, 28), pp.geometry_inputs(rgb, mask, inf, 28)
    assert all(np.array_equal(a.views[n], b.views[n], equal_nan=True) for n in a.views)
    np.testing.assert_array_equal(a.scene_scale, b.scene_scale)


def test_object_without_any_depth():
    rgb, mask, points = frame()
    points[mask] = np.nan
    got = pp.geometry_inputs(rgb, mask, points, 28)
    assert got.scene_scale.tolist() == [1, 1, 1]
    assert got.scene_shift.tolist() == [0, 0, 0]


def test_useless_pointmaps_are_refused():
    """Wrong shape, all points in one place, or no point with all three coordinates on the object."""
    rgb, mask, points = frame()
    for wrong in (points[..., 0], points[..., :2], points[:0]):
        with pytest.raises(pp.InputError, match="must be"):
            pp.geometry_inputs(rgb, mask, wrong)
    halves = points.copy()
    halves[..., 2] = np.nan
    for empty in (np.ones_like(points), halves):
        with pytest.raises(pp.InputError, match="no extent"):
            pp.geometry_inputs(rgb, mask, empty)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ((slice(0), slice(0)), "empty"),
        ((slice(3, 4), slice(2, 20)), "19|18"),
        ((slice(3, 5), slice(3, 9)), "2 pixels"),
    ],
)
def test_useless_masks_are_refused(region, reason):
    rgb, mask, points = frame()
    mask[:] = False
    mask[region] = True
    with pytest.raises(pp.MaskError, match=reason):
        pp.geometry_inputs(rgb, mask, points)


@pytest.mark.parametrize(
    ("rgb", "mask"),
    [
        (np.zeros((4, 4), np.uint8), np.ones((4, 4), bool)),
        (np.zeros((4, 4, 3), np.float32), np.ones((4, 4), bool)),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 5), bool)),
    ],
)
def test_wrong_shapes_and_types_are_refused(rgb, mask):
    with pytest.raises(ValueError, match=r"mask|picture"):
        pp.texture_inputs(rgb, mask)


def test_box_and_byte_masks_mean_the_same():
    rgb, mask, _ = frame()
    a = pp.texture_inputs(rgb, mask, 28)
    b = pp.texture_inputs(rgb, mask.astype(np.uint8) * 255, 28)
    assert all(np.array_equal(a[n], b[n]) for n in a)


def test_box_may_leave_the_image():
    """An object in the corner: negative coordinates, black outside."""
    mask = np.zeros((20, 20), bool)
    mask[0:10, 0:6] = True
    assert pp.crop_box(mask) == (-2, 0, 7, 9)
    x = np.ones((1, 20, 20), np.float32)
    out = pp.crop(x, (-2, 0, 7, 9))
    assert out[0, :, :2].sum() == 0
    assert out[0, :, 2:].min() == 1
