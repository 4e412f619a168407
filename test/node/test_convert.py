"""Messages to arrays: every encoding against a plain per-pixel reference, and everything a driver can get wrong."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from sam3d_ros.node import convert
from sam3d_ros.types import InputError

FORMAT = {np.uint8: "B", np.uint16: "H", np.int32: "i", np.float32: "f"}


def plain_pixels(msg: Image) -> NDArray[Any]:
    """One struct.unpack per value: slow and obvious."""
    dtype, channels = convert.LAYOUT[msg.encoding]
    size = np.dtype(dtype).itemsize
    form = (">" if msg.is_bigendian else "<") + FORMAT[dtype]
    data = bytes(msg.data)
    out = np.zeros((msg.height, msg.width, channels), dtype)
    for v in range(msg.height):
        for u in range(msg.width):
            for c in range(channels):
                at = v * msg.step + (u * channels + c) * size
                out[v, u, c] = struct.unpack(form, data[at : at + size])[0]
    return out[..., 0] if channels == 1 else out


def raw_image(
    encoding: str, height: int, width: int, pad: int = 0, bigendian: bool = False, seed: int = 0
) -> Image:
    dtype, channels = convert.LAYOUT[encoding]
    step = width * channels * np.dtype(dtype).itemsize + pad
    data = np.random.default_rng(seed).integers(0, 256, step * height, np.uint8)
    msg = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=int(bigendian))
    msg.data = convert.flat(data, "u1")
    return msg


@pytest.mark.parametrize("encoding", convert.LAYOUT)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 6),
    pad=st.integers(0, 9),
    big=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_pixels_are_those_of_the_plain_reference(
    encoding: str, height: int, width: int, pad: int, big: bool, seed: int
) -> None:
    msg = raw_image(encoding, height, width, pad, big, seed)
    np.testing.assert_array_equal(convert.image_array(msg), plain_pixels(msg))


@pytest.mark.parametrize("encoding", convert.TO_RGB)
def test_every_colour_encoding_gives_rgb(encoding: str) -> None:
    """A red image stays red, whatever the order of its channels."""
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 0] = 200
    stored: NDArray[Any]
    if encoding in ("rgb8",):
        stored = red
    elif encoding in ("bgr8", "8UC3"):
        stored = red[..., ::-1]
    elif encoding in ("rgba8", "bgra8", "8UC4"):
        rgb = red if encoding == "rgba8" else red[..., ::-1]
        stored = np.dstack([rgb, np.full((6, 8), 255, np.uint8)])
    elif encoding in ("mono8", "8UC1"):
        np.testing.assert_array_equal(
            convert.rgb_array(convert.image_message(red[..., 0], encoding, Header())),
            red[..., :1].repeat(3, 2),
        )
        return
    elif encoding.startswith("bayer"):
        pattern = encoding[6:10]
        stored = np.zeros((6, 8), np.uint8)
        for at, letter in enumerate(pattern):
            stored[at // 2 :: 2, at % 2 :: 2] = {"r": 200, "g": 0, "b": 0}[letter]
    else:
        code = cv2.COLOR_RGB2YUV_YUY2 if encoding in ("yuv422_yuy2", "yuyv") else cv2.COLOR_RGB2YUV_UYVY
        stored = cv2.cvtColor(red, code)
    rgb = convert.rgb_array(convert.image_message(np.ascontiguousarray(stored), encoding, Header()))
    assert rgb.shape == (6, 8, 3)
    inner = rgb[2:4, 2:6].reshape(-1, 3).mean(0)
    assert abs(inner[0] - 200) < 8
    assert inner[1] < 12
    assert inner[2] < 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "rgb9"}, "'rgb9' is not supported; supported: rgb8"),
        ({"encoding": ""}, "'' is not supported"),
        ({"height": 0}, "empty"),
        ({"step": 5}, "step 5 is less than the 24 bytes"),
        ({"height": 7}, "needs 168"),
    ],
)
def test_an_image_that_contradicts_itself_is_refused(change: dict[str, Any], words: str) -> None:
    msg = raw_image("rgb8", 4, 8)
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(InputError, match=words):
        convert.image_array(msg)


def test_step_zero_means_packed() -> None:
    msg = raw_image("mono8", 3, 4)
    msg.step = 0
    assert convert.image_array(msg).shape == (3, 4)


def test_wrong_kinds_are_refused_with_what_would_be_right() -> None:
    with pytest.raises(InputError, match="32FC1' is no colour encoding"):
        convert.rgb_array(raw_image("32FC1", 2, 2))
    with pytest.raises(InputError, match=r"use 16UC1 .millimetres. or 32FC1"):
        convert.depth_array(raw_image("rgb8", 2, 2))
    with pytest.raises(InputError, match="a label image is mono8"):
        convert.label_array(raw_image("32FC1", 2, 2))
    with pytest.raises(InputError, match="even width"):
        convert.rgb_array(raw_image("yuyv", 2, 3))


def test_depth_of_both_kinds_is_metres_with_nan() -> None:
    mm = np.array([[0, 1000], [65535, 1]], np.uint16)
    expected = np.array([[np.nan, 1.0], [np.nan, 0.001]], np.float32)
    np.testing.assert_allclose(convert.depth_array(convert.image_message(mm, "16UC1", Header())), expected)
    metres = np.array([[np.nan, 1.0], [np.inf, 0.001]], np.float32)
    np.testing.assert_allclose(
        convert.depth_array(convert.image_message(metres, "32FC1", Header())), expected
    )


@pytest.mark.parametrize("values", [[-np.inf, np.inf, np.nan, -1.0], [0.0, 0.0, 0.0, 0.0]])
def test_depth_without_one_good_pixel_is_all_nan(values: list[float]) -> None:
    pixels = np.array(values, np.float32).reshape(2, 2)
    assert np.isnan(convert.depth_array(convert.image_message(pixels, "32FC1", Header()))).all()


def test_compressed_colour_and_depth() -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[..., 1] = 180
    png = CompressedImage(
        format="rgb8; png compressed bgr8", data=cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    )
    np.testing.assert_array_equal(convert.rgb_array(convert.decompress(png)), rgb)
    depth = np.arange(64, dtype=np.uint16).reshape(8, 8) * 20
    data = bytes(12) + cv2.imencode(".png", depth)[1].tobytes()
    msg = convert.decompress(CompressedImage(format="16UC1; compressedDepth", data=data))
    np.testing.assert_allclose(np.nan_to_num(convert.depth_array(msg)), depth / 1000, atol=1e-6)


def test_compressed_float_depth_is_inverse_depth() -> None:
    """compressed_depth_image_transport stores a / depth + b, a and b as floats in the header."""
    a, b = 100.0, -5.0
    depth = np.array([[0.5, 1.0], [2.0, 4.0]], np.float32)
    stored = np.rint(a / depth + b).astype(np.uint16)
    header = struct.pack("<iff", 0, a, b)
    data = header + cv2.imencode(".png", stored)[1].tobytes()
    msg = convert.decompress(CompressedImage(format="32FC1; compressedDepth", data=data))
    np.testing.assert_allclose(convert.depth_array(msg), a / (stored - b), rtol=1e-5)


@pytest.mark.parametrize("data", [b"", b"\x89PNG not really a picture"])
def test_a_broken_compressed_image_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="does not decode"):
        convert.decompress(CompressedImage(format="jpeg", data=data))


def test_cloud_message_and_back() -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(4, 5, 3))).astype(np.float32)
    points[1, 2] = np.nan
    colors = np.zeros((4, 5, 3), np.uint8)
    msg = convert.cloud_message(points, colors, Header())
    np.testing.assert_array_equal(convert.cloud_points(msg), points)
    assert not msg.is_dense
    flat = convert.cloud_message(points.reshape(-1, 3), colors.reshape(-1, 3), Header())
    with pytest.raises(InputError):
        convert.cloud_points(flat)


def test_cloud_colour_bytes_are_where_rviz_looks() -> None:
    """PCL packs 0x00RRGGBB into a float: little endian b, g, r."""
    colors = np.array([[[10, 20, 30]]], np.uint8)
    msg = convert.cloud_message(np.zeros((1, 1, 3), np.float32), colors, Header())
    assert isinstance(msg, PointCloud2)
    rgb = next(f for f in msg.fields if f.name == "rgb")
    assert rgb.datatype == PointField.FLOAT32
    assert bytes(msg.data[rgb.offset : rgb.offset + 4]) == bytes([30, 20, 10, 0])


def test_an_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(InputError):
        convert.camera_model(CameraInfo(width=640, height=480), 640, 480, rectified=False)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_time_there_and_back(nanoseconds: int) -> None:
    assert convert.stamp_ns(convert.time_of(nanoseconds)) == nanoseconds


def test_flat_arrays_share_no_elementwise_work() -> None:
    """The array module takes the bytes as they are: same values, also from a strided view."""
    values = np.arange(12, dtype=np.float64).reshape(3, 4)[:, ::2]
    assert list(convert.flat(values, "f4")) == [0, 2, 4, 6, 8, 10]
    assert list(convert.flat(np.array([[3, 1], [2, 7]]), "u4")) == [3, 1, 2, 7]
