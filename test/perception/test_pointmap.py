"""Depth and clouds to points: hand-written values, and plain loops over pixels as the reference."""

from __future__ import annotations

import array
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam3d_ros.perception.camera import rays
from sam3d_ros.perception.pointmap import (
    check_registered,
    depth_to_metres,
    points_from_cloud,
    points_from_depth,
)
from sam3d_ros.types import Camera, InputError

NAN, INF = np.nan, np.inf
VALUES = st.one_of(st.floats(0.125, 5, width=32), st.sampled_from([NAN, INF, 0, -1]))


def test_millimetres() -> None:
    depth = np.array([[0, 1, 1000], [1234, 65534, 65535]], np.uint16)
    expected = np.array([[NAN, 0.001, 1], [1.234, 65.534, NAN]], np.float32)
    for encoding in ("16UC1", "mono16"):
        metres = depth_to_metres(depth, encoding)
        assert metres.dtype == np.float32
        np.testing.assert_allclose(metres, expected, rtol=1e-6)
    np.testing.assert_array_equal(depth_to_metres(depth.astype(">u2"), "16UC1"), metres)


def test_metres_and_what_is_invalid_among_them() -> None:
    depth = np.array([[0.5, NAN, INF], [-INF, 0, -1]], np.float32)
    metres = depth_to_metres(depth, "32FC1")
    np.testing.assert_array_equal(metres, np.array([[0.5, NAN, NAN], [NAN, NAN, NAN]], np.float32))
    assert depth[0, 2] == INF  # the message's own memory stays as it was
    np.testing.assert_array_equal(depth_to_metres(depth.astype(">f4"), "32FC1"), metres)


@pytest.mark.parametrize(
    ("depth", "encoding", "message"),
    [
        (np.ones((4, 4), np.float64), "64FC1", "not supported"),
        (np.ones((4, 4), np.float64), "32FC1", "float32, not .* float64"),
        (np.ones((4, 4), np.float32), "16UC1", "uint16, not"),
        (np.ones((4, 4), np.int16), "16UC1", "uint16, not"),
        (np.ones((4, 4), np.uint8), "mono8", "not supported"),
        (np.ones((4, 4, 3), np.uint16), "16UC1", r"\(4, 4, 3\)"),
        (np.ones((0, 4), np.uint16), "16UC1", r"\(0, 4\)"),
        (np.full((4, 4), 850, np.float32), "32FC1", "median of 850.*16UC1"),
    ],
)
def test_bad_depth_is_refused(depth: np.ndarray, encoding: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        depth_to_metres(depth, encoding)


def test_depth_of_nothing_but_holes_is_no_error() -> None:
    assert np.isnan(depth_to_metres(np.full((9, 9), NAN, np.float32), "32FC1")).all()
    assert np.isnan(depth_to_metres(np.zeros((9, 9), np.uint16), "16UC1")).all()


CAMERA = Camera(4, 3, 50.0, 40.0, 1.5, 1.0)
LENS = Camera(4, 3, 50.0, 40.0, 1.5, 1.0, "plumb_bob", (0.1, -0.2, 0.001, 0.002, 0.05))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (3, 4),
        elements=VALUES,
    ),
    st.sampled_from([CAMERA, LENS]),
)
def test_points_from_depth_is_ray_times_depth(depth: np.ndarray, camera: Camera) -> None:
    points = points_from_depth(depth, camera)
    assert points.dtype == np.float32
    for v in range(3):
        for u in range(4):
            z = depth[v, u]
            expected = rays(camera)[v, u] * z if np.isfinite(z) and z > 0 else [NAN] * 3
            np.testing.assert_allclose(points[v, u], expected, rtol=1e-6)


def test_points_from_depth_by_hand() -> None:
    points = points_from_depth(np.full((3, 4), 2, np.float32), CAMERA)
    np.testing.assert_allclose(points[2, 3], [(3 - 1.5) / 50 * 2, (2 - 1) / 40 * 2, 2], rtol=1e-6)


def test_points_from_depth_needs_the_cameras_size() -> None:
    with pytest.raises(InputError, match="width and height must agree"):
        points_from_depth(np.ones((4, 3), np.float32), CAMERA)


def cloud(points: np.ndarray, *, big: bool = False, double: bool = False, pad: int = 0) -> dict[str, Any]:
    """The fields of a PointCloud2 with 4 bytes before x, an rgb after z, and padded rows, packed value by
    value."""
    height, width, _ = points.shape
    one = ">" if big else "<"
    rows = []
    for row in points:
        rows.append(
            b"".join(struct.pack(one + "4x" + ("ddd" if double else "fff") + "I", *p, 7) for p in row)
        )
        rows.append(b"\xff" * pad)
    size, kind = (8, 8) if double else (4, 7)
    step = 8 + 3 * size
    fields = [(name, 4 + size * i, kind, 1) for i, name in enumerate("xyz")]
    return {
        "data": b"".join(rows), "fields": [*fields, ("rgb", step - 4, 6, 1)], "height": height,
        "width": width, "point_step": step, "row_step": step * width + pad, "is_bigendian": big,
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (2, 3, 3),
        elements=VALUES,
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
)
def test_cloud_against_loop(points: np.ndarray, big: bool, double: bool, pad: int) -> None:
    points[0, 0] = 1
    got = points_from_cloud(**cloud(points, big=big, double=double, pad=pad))
    for v in range(2):
        for u in range(3):
            p = points[v, u]
            expected = p if np.isfinite(p).all() and p[2] > 0 else [NAN] * 3
            np.testing.assert_array_equal(got[v, u], expected)


def test_cloud_from_any_buffer_is_a_copy() -> None:
    message = cloud(np.ones((2, 2, 3)))
    for kind in (
        bytes,
        bytearray,
        memoryview,
        lambda b: array.array("B", b),
        lambda b: np.frombuffer(b, np.uint8),
    ):
        got = points_from_cloud(**(message | {"data": kind(message["data"])}))
        got[0, 0] = 5  # writable: not the message's memory
        assert got[1, 1].tolist() == [1, 1, 1]


def test_cloud_of_holes_is_no_error() -> None:
    assert np.isnan(points_from_cloud(**cloud(np.full((2, 2, 3), NAN)))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 1, "width": 6}, "not organised"),
        ({"height": 0}, "not organised"),
        ({"fields": [("x", 4, 7, 1), ("y", 8, 7, 1)]}, "needs fields x, y, z"),
        ({"fields": [("x", 4, 7, 1), ("y", 8, 7, 1), ("z", 12, 8, 1)]}, "needs fields x, y, z"),
        ({"fields": [(n, 4, 5, 1) for n in "xyz"]}, "needs fields x, y, z"),
        ({"fields": [(n, 4, 7, 3) for n in "xyz"]}, "needs fields x, y, z"),
        ({"fields": [(n, 18, 7, 1) for n in "xyz"]}, "impossible"),
        ({"fields": [("x", -4, 7, 1), ("y", 8, 7, 1), ("z", 12, 7, 1)]}, "impossible"),
        ({"row_step": 4}, "impossible"),
        ({"height": 3}, "impossible"),
        ({"data": b""}, "impossible"),
    ],
)
def test_bad_cloud_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        points_from_cloud(**(cloud(np.ones((2, 3, 3))) | changes))


def test_cloud_behind_the_camera_is_not_optical() -> None:
    with pytest.raises(InputError, match="not in an optical frame"):
        points_from_cloud(**cloud(np.full((2, 3, 3), -1.0)))


def test_registered() -> None:
    check_registered((480, 640), "/camera_color_optical_frame", (480, 640, 3), "camera_color_optical_frame")
    check_registered((480, 640), "", (480, 640, 3), "camera_color_optical_frame")
    with pytest.raises(InputError, match=r"depth has 848x480 pixels but colour 640x480.*align_depth"):
        check_registered((480, 848), "optical", (480, 640, 3), "optical")
    with pytest.raises(
        InputError, match=r"'depth_optical' but colour in 'color_optical'.*depth_image_proc register"
    ):
        check_registered((480, 640), "depth_optical", (480, 640, 3), "color_optical")
