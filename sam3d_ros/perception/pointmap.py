"""From what depth sensors publish to points: one (H, W, 3) map in metres, optical frame, NaN where nothing
was seen.

Encodings and invalid values are those of REP 117 and REP 118.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.perception.camera import rays
from sam3d_ros.types import Camera, InputError

DEPTH_DTYPES = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
"""Depth encodings that are understood; some drivers call 16UC1 mono16."""

# sensor_msgs/PointField: FLOAT32 and FLOAT64.
_CLOUD_DTYPES = {7: "f4", 8: "f8"}
# No camera for manipulation looks this far in the median; millimetres in a 32FC1 image do.
_IMPLAUSIBLE_MEDIAN_M = 100.0


def depth_to_metres(depth: NDArray[Any], encoding: str) -> NDArray[np.float32]:
    """(H, W) depth image to a new (H, W) float32 array of metres along the optical axis, NaN where invalid.

    16UC1 (uint16): millimetres, 0 and 65535 are invalid. 32FC1 (float32): metres, NaN, infinite and values
    not above zero are invalid. Raises InputError for another encoding or dtype, and for a 32FC1 image in
    millimetres.
    """
    expected = DEPTH_DTYPES.get(encoding)
    if expected is None:
        raise InputError(
            f"depth encoding {encoding!r} is not supported: 16UC1 (millimetres) or 32FC1 (metres) is "
            "needed (REP 118)"
        )
    if depth.ndim != 2 or not depth.size or depth.dtype.newbyteorder("=") != np.dtype(expected):
        raise InputError(
            f"a {encoding} depth image is (height, width) of {np.dtype(expected).name}, not {depth.shape} of "
            f"{depth.dtype.name}"
        )
    if expected == "u2":
        metres = depth.astype(np.float32)
        metres *= np.float32(0.001)
        metres[(depth == 0) | (depth == 65535)] = np.nan
        return metres
    metres = depth.astype(np.float32)
    with np.errstate(invalid="ignore"):
        metres[~((metres > 0) & (metres < np.inf))] = np.nan
    sample = metres[::8, ::8]
    sample = sample[np.isfinite(sample)]
    if sample.size and float(np.median(sample)) > _IMPLAUSIBLE_MEDIAN_M:
        raise InputError(
            f"32FC1 depth has a median of {float(np.median(sample)):.0f}, plausible in millimetres only; "
            "32FC1 means metres (REP 118): let the driver publish 16UC1, or divide by 1000 "
            "(depth_image_proc convert_metric)"
        )
    return metres


def points_from_depth(depth_m: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(H, W) float32 metres along the optical axis to (H, W, 3) float32 points, optical frame, NaN without
    depth.

    Raises InputError if the image does not have the camera's size.
    """
    if depth_m.shape != (camera.height, camera.width):
        raise InputError(
            f"depth image of {depth_m.shape[::-1]} pixels for a camera of {(camera.width, camera.height)}; "
            "width and height must agree"
        )
    with np.errstate(invalid="ignore"):
        usable = (depth_m > 0) & (depth_m < np.inf)
        depth = depth_m if usable.all() else np.where(usable, depth_m, np.float32(np.nan))
        ray = rays(camera)
        points = np.empty((*depth.shape, 3), np.float32)
        for axis in range(3):  # three long loops; broadcasting over the short last axis takes thrice the time
            np.multiply(ray[..., axis], depth, out=points[..., axis])
    return points


def points_from_cloud(
    data: bytes | bytearray | memoryview,
    fields: Sequence[tuple[str, int, int, int]],
    height: int,
    width: int,
    point_step: int,
    row_step: int,
    is_bigendian: bool,
) -> NDArray[np.float32]:
    """An organised sensor_msgs/PointCloud2 in an optical frame to a new (H, W, 3) float32 array in metres.

    `data` is any object with the buffer protocol; `fields` are (name, offset, datatype, count) of its
    PointFields. Points with a NaN or infinite coordinate, or not in front of the camera, become NaN in all
    three. Raises InputError for a cloud that is not organised, has no x, y, z or is shorter than it says, and
    for one whose points all lie behind the camera, which is not in an optical frame.
    """
    if height <= 1 or width <= 1:
        raise InputError(
            f"point cloud of {width}x{height} is not organised: masks need point per pixel; "
            "publish the driver's organised cloud (ordered_pc / organized) or the depth image"
        )
    xyz = [next((f for f in fields if f[0] == name), None) for name in "xyz"]
    kinds = {f[2] for f in xyz if f is not None}
    if (
        None in xyz
        or len(kinds) != 1
        or not kinds <= _CLOUD_DTYPES.keys()
        or any(f and f[3] > 1 for f in xyz)
    ):
        raise InputError(
            f"point cloud needs fields x, y, z, all float32 or all float64; it has {list(fields)}"
        )
    dtype = np.dtype(_CLOUD_DTYPES[kinds.pop()]).newbyteorder(">" if is_bigendian else "<")
    offsets = [f[1] for f in xyz if f is not None]
    buffer = memoryview(data).cast("B")
    needed = row_step * (height - 1) + point_step * width
    last = max(offsets) + dtype.itemsize
    if min(offsets) < 0 or last > point_step or point_step * width > row_step or needed > len(buffer):
        raise InputError(
            f"point cloud layout is impossible: {width}x{height} points of {point_step} bytes in rows of "
            f"{row_step}, x, y, z end at byte {last} of a point, {len(buffer)} bytes of data"
        )
    points = np.empty((height, width, 3), np.float32)
    finite = np.ones((height, width), np.bool_)
    for axis, offset in enumerate(offsets):
        points[..., axis] = np.ndarray((height, width), dtype, buffer, offset, (row_step, point_step))
        finite &= np.isfinite(points[..., axis])
    usable = finite & (points[..., 2] > 0)
    if finite.any() and not usable.any():
        raise InputError(
            "no point of the cloud has z > 0, so it is not in an optical frame (z forward, REP 103)"
        )
    points[~usable] = np.nan
    return points


def check_registered(
    depth_shape: Sequence[int], depth_frame_id: str, rgb_shape: Sequence[int], rgb_frame_id: str
) -> None:
    """Raise InputError unless depth and colour share their pixels: same (height, width), same optical frame.

    An empty frame_id says nothing and is let pass; a leading slash does not count.
    """
    cure = (
        "register depth to colour: realsense2_camera align_depth.enable:=true, depth_registration:=true for "
        "OpenNI and Orbbec drivers, setDepthAlign for OAK, or depth_image_proc register"
    )
    frames = depth_frame_id.lstrip("/"), rgb_frame_id.lstrip("/")
    if all(frames) and frames[0] != frames[1]:
        raise InputError(f"depth is in frame {frames[0]!r} but colour in {frames[1]!r}; {cure}")
    if tuple(depth_shape[:2]) != tuple(rgb_shape[:2]):
        depth_size, rgb_size = (f"{shape[1]}x{shape[0]}" for shape in (depth_shape, rgb_shape))
        raise InputError(f"depth has {depth_size} pixels but colour {rgb_size}; {cure}")
