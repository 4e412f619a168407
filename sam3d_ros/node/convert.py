"""ROS messages to numpy and back: plain functions, no node. Every refusal is an InputError that says what would be
right.

Encodings follow sensor_msgs/image_encodings.hpp; depth follows REP 118 (16UC1 millimetres, 32FC1 metres).
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from sam3d_ros.perception import camera as pinhole
from sam3d_ros.perception import pointmap
from sam3d_ros.types import Camera, Float, InputError, Int, Roi, UInt8

# encoding -> (dtype, channels) of the pixels as they lie in memory
LAYOUT: dict[str, tuple[type[np.generic], int]] = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "8UC3": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "8UC4": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32SC1": (np.int32, 1),
    "32FC1": (np.float32, 1),
    "yuv422": (np.uint8, 2),
    "uyvy": (np.uint8, 2),
    "yuv422_yuy2": (np.uint8, 2),
    "yuyv": (np.uint8, 2),
    "bayer_rggb8": (np.uint8, 1),
    "bayer_bggr8": (np.uint8, 1),
    "bayer_gbrg8": (np.uint8, 1),
    "bayer_grbg8": (np.uint8, 1),
}
# OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by the first row's first two.
TO_RGB: dict[str, int | None] = {
    "rgb8": None,
    "8UC3": cv2.COLOR_BGR2RGB,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "8UC4": cv2.COLOR_BGRA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}
LABEL_ENCODINGS = ("mono8", "8UC1", "mono16", "16UC1", "32SC1")
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")


def stamp_ns(stamp: Time) -> int:
    """builtin_interfaces/Time as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def time_of(nanoseconds: int) -> Time:
    """Integer nanoseconds as builtin_interfaces/Time."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def flat(values: NDArray[Any], dtype: str) -> array.array[Any]:
    """Any array as the `array.array` a message field takes without a copy per element.

    dtype: "f4", "u4" or "u1". On Humble, assigning bytes or lists checks every element and takes minutes.
    """
    out: array.array[Any] = array.array({"f4": "f", "u4": "I", "u1": "B"}[dtype])
    out.frombytes(np.ascontiguousarray(values, dtype).data.cast("B"))
    return out


def image_array(msg: Image) -> NDArray[Any]:
    """The pixels of an Image, (H, W) or (H, W, C), in native byte order; a view of the message where possible.

    Raises InputError for an unknown encoding, an empty image or data that is shorter than its own height and step.
    """
    if msg.encoding not in LAYOUT:
        known = ", ".join(LAYOUT)
        raise InputError(f"image encoding '{msg.encoding}' is not supported; supported: {known}")
    dtype, channels = LAYOUT[msg.encoding]
    height, width = int(msg.height), int(msg.width)
    if height == 0 or width == 0:
        raise InputError(f"image of {width}x{height} pixels is empty")
    row = width * channels * np.dtype(dtype).itemsize
    step = int(msg.step) or row
    if step < row:
        raise InputError(
            f"image step {step} is less than the {row} bytes of a {width} pixel '{msg.encoding}' row"
        )
    if len(msg.data) < step * (height - 1) + row:
        raise InputError(
            f"image data has {len(msg.data)} bytes, {width}x{height} '{msg.encoding}' with step {step}"
            f" needs {step * height}"
        )
    stored = np.dtype(dtype).newbyteorder(">" if msg.is_bigendian else "<")
    shape = (height, width, channels) if channels > 1 else (height, width)
    strides = (step, channels * stored.itemsize, stored.itemsize)[: len(shape)]
    pixels: NDArray[Any] = np.ndarray(shape, stored, buffer=memoryview(msg.data), strides=strides)
    return pixels if stored.isnative else pixels.astype(dtype)


def rgb_array(msg: Image) -> UInt8:
    """(H, W, 3) uint8 sRGB of a colour, grey, YUV 4:2:2 or Bayer image. Raises InputError for other encodings."""
    if msg.encoding not in TO_RGB:
        raise InputError(f"'{msg.encoding}' is no colour encoding; supported: {', '.join(TO_RGB)}")
    pixels = image_array(msg)
    code = TO_RGB[msg.encoding]
    if code is None:
        return pixels
    if msg.encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv") and pixels.shape[1] % 2:
        raise InputError(f"a '{msg.encoding}' image needs an even width, this one has {pixels.shape[1]}")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), np.uint8)


def depth_array(msg: Image) -> Float:
    """(H, W) float32 metres, NaN where the sensor gave nothing (REP 117, 118). Raises InputError."""
    if msg.encoding not in DEPTH_ENCODINGS:
        raise InputError(
            f"depth encoding '{msg.encoding}' is not supported; use 16UC1 (millimetres) or 32FC1 (metres), REP 118"
        )
    encoding = "16UC1" if msg.encoding == "mono16" else msg.encoding
    return pointmap.depth_to_metres(image_array(msg), encoding)


def label_array(msg: Image) -> Int:
    """(H, W) integer label image, 0 is background. Raises InputError for colour or float images."""
    if msg.encoding not in LABEL_ENCODINGS:
        raise InputError(
            f"mask encoding '{msg.encoding}' is not supported; a label image is {', '.join(LABEL_ENCODINGS)}"
        )
    return image_array(msg)


def decompress(msg: CompressedImage) -> Image:
    """A raw Image of a CompressedImage: JPEG or PNG colour ("rgb8"), or compressedDepth PNG ("16UC1").

    The 32FC1 variant of compressedDepth quantises inverse depth; its two parameters are in the 12-byte header
    (compressed_depth_image_transport). Raises InputError where the data does not decode.
    """
    data = np.frombuffer(msg.data, np.uint8)
    depth = "compressedDepth" in msg.format
    pixels = cv2.imdecode(data[12:] if depth else data, cv2.IMREAD_UNCHANGED) if data.size > 12 else None
    if pixels is None:
        raise InputError(f"compressed image ('{msg.format}', {data.size} bytes) does not decode")
    if not depth:
        if pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
        encoding = {(3, 1): "rgb8", (2, 1): "mono8", (2, 2): "16UC1"}.get((pixels.ndim, pixels.itemsize))
    elif msg.format.startswith("32FC1"):
        a, b = np.frombuffer(msg.data, "<f4", count=2, offset=4)
        with np.errstate(divide="ignore"):
            pixels = np.where(pixels == 0, np.float32(np.nan), a / (pixels.astype(np.float32) - b)).astype(
                np.float32
            )
        encoding = "32FC1"
    else:
        encoding = "16UC1" if pixels.dtype == np.uint16 and pixels.ndim == 2 else None
    if encoding is None:
        raise InputError(
            f"compressed image ('{msg.format}') holds {pixels.dtype} {pixels.shape}, which is not supported"
        )
    return image_message(pixels, encoding, msg.header)


def image_message(pixels: NDArray[Any], encoding: str, header: Any) -> Image:
    """An Image of (H, W) or (H, W, C) pixels, which must already have the dtype of the encoding."""
    dtype, channels = LAYOUT[encoding]
    if pixels.dtype != dtype or (pixels.shape[2] if pixels.ndim == 3 else 1) != channels:
        raise ValueError(
            f"'{encoding}' holds {np.dtype(dtype)} x {channels}, not {pixels.dtype} {pixels.shape}"
        )
    msg = Image(
        header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0
    )
    msg.step = pixels.shape[1] * channels * np.dtype(dtype).itemsize
    msg.data = flat(np.ascontiguousarray(pixels).view(np.uint8), "u1")
    return msg


def camera_model(info: CameraInfo, image_width: int, image_height: int, rectified: bool) -> Camera:
    """The camera that belongs to an image of this size: ROI and binning of the CameraInfo applied.

    rectified: the image was undistorted already (topics named *_rect*): P counts and the distortion does not.
    Raises InputError for an uncalibrated camera, an unknown lens model or a size that does not follow.
    """
    roi = Roi(int(info.roi.x_offset), int(info.roi.y_offset), int(info.roi.width), int(info.roi.height))
    return pinhole.camera_from_info(
        int(info.width), int(info.height), info.k, info.d, info.distortion_model,
        int(info.binning_x), int(info.binning_y), roi, image_width, image_height,
        p=info.p, r=info.r, rectified=rectified,
    )  # fmt: skip


def cloud_points(msg: PointCloud2) -> Float:
    """(H, W, 3) float32 m of an organised cloud, NaN where nothing was measured. Raises InputError."""
    fields = [(f.name, int(f.offset), int(f.datatype), int(f.count)) for f in msg.fields]
    return pointmap.points_from_cloud(
        msg.data,
        fields,
        int(msg.height),
        int(msg.width),
        int(msg.point_step),
        int(msg.row_step),
        bool(msg.is_bigendian),
    )


def cloud_message(points: Float, colors: UInt8, header: Any) -> PointCloud2:
    """An organised (H, W, 3) or flat (N, 3) coloured cloud, 16 bytes a point: x y z rgb."""
    from sensor_msgs.msg import PointField

    height, width = points.shape[:2] if points.ndim == 3 else (1, points.shape[0])
    packed = np.zeros((height, width), [("xyz", "<f4", 3), ("bgr", "u1", 3), ("pad", "u1")])
    packed["xyz"] = points.reshape(height, width, 3)
    packed["bgr"] = colors.reshape(height, width, 3)[..., ::-1]
    msg = PointCloud2(header=header, height=height, width=width, point_step=16, row_step=16 * width)
    msg.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(("x", "y", "z", "rgb"))
    ]
    msg.is_dense = bool(np.isfinite(points).all())
    msg.data = flat(packed.view(np.uint8), "u1")
    return msg
