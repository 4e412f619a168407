"""What the rooms hand to each other: frozen dataclasses of numpy arrays, in metres. Knows no other room.

Names say the frame: `points_cam` are points in the camera's optical frame (REP 103: x right, y down, z forward),
`T_cam_obj` is the 4x4 transform that takes object coordinates to optical ones. The object frame has its origin at the
centre of the bounding box, z up, x horizontal and away from the camera at first sight, y to the left.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.floating[Any]]
Int: TypeAlias = NDArray[np.integer[Any]]
UInt8: TypeAlias = NDArray[np.uint8]
Bool: TypeAlias = NDArray[np.bool_]


class InputError(ValueError):
    """The input cannot be used; the text says what is wrong with it and what would be right."""


class Cancelled(Exception):
    """Raised between two stages after the caller asked to stop."""


class UpSource(enum.Enum):
    """What 'up' of a scene was taken from, best first."""

    SUPPORT_PLANE = "support_plane"
    GRAVITY = "gravity"
    CAMERA = "camera"


class RejectCode(enum.IntEnum):
    """Why a mask gave no object; the numbers are those of msg/RejectedMask.msg."""

    EMPTY_MASK = 1
    TINY_MASK = 2
    NO_DEPTH = 3
    OUT_OF_RANGE = 4
    DEGENERATE = 5
    LOW_CONFIDENCE = 6
    TOO_LARGE = 7
    FAILED = 8
    TOO_MANY = 9


@dataclass(frozen=True)
class Camera:
    """A pinhole camera for images of exactly this size, with the lens model of sensor_msgs/CameraInfo.

    `distortion_model`: "" (rectified), "plumb_bob", "rational_polynomial" or "equidistant"; `distortion` its
    coefficients in OpenCV's order.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()

    @property
    def K(self) -> Float:
        """(3, 3) float64 intrinsic matrix, pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)


@dataclass(frozen=True)
class Frame:
    """One synchronised look of the camera.

    rgb: (H, W, 3) uint8, or None where the camera has no colour. points_cam: (H, W, 3) float32 m, optical frame,
    NaN where the sensor gave nothing. up_cam: (3,) unit vector against gravity in the optical frame, where TF knows it.
    """

    rgb: UInt8 | None
    points_cam: Float
    camera: Camera
    stamp_ns: int = 0
    frame_id: str = ""
    up_cam: Float | None = None


@dataclass(frozen=True)
class Mask:
    """One instance: `pixels` (H, W) bool, `index` its value in the label image, `label` a name where known."""

    index: int
    pixels: Bool
    label: str = ""


@dataclass(frozen=True)
class Roi:
    """Pixel rectangle: columns x .. x+width-1, rows y .. y+height-1."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Support:
    """What an object stands on: points p with `up_cam . p == offset` (m, optical frame).

    `offset` is None where no such level was seen and only the direction of `up_cam` (3,) is known.
    """

    up_cam: Float
    offset: float | None
    source: UpSource
    rmse: float = float("nan")


@dataclass(frozen=True)
class ObjectView:
    """What the camera saw of one object.

    points_cam: (N, 3) float32 m, finite points inside the mask without flying pixels. colors: (N, 3) uint8 sRGB.
    T_cam_view: (4, 4) float64, the view frame: origin on the support under the visible points' middle (or at their
    lowest level), z up, x horizontal and away from the camera, y left. occupied: (H, W) bool, pixels of any mask of the
    frame, this one's too.
    """

    mask: Mask
    roi: Roi
    points_cam: Float
    colors: UInt8
    support: Support
    T_cam_view: Float
    occupied: Bool


@dataclass(frozen=True)
class Mesh:
    """Triangles. vertices: (V, 3) float32 m. faces: (F, 3) int32, counter-clockwise seen from outside.
    colors: (V, 3) uint8 sRGB or None."""

    vertices: Float
    faces: Int
    colors: UInt8 | None = None


@dataclass(frozen=True)
class Fit:
    """How well a posed mesh explains what the camera saw.

    depth_rmse: m, observed points to the surface. inlier_ratio: share of them within 10 mm. mask_iou: mask against the
    silhouette of the mesh.
    """

    depth_rmse: float
    inlier_ratio: float
    mask_iou: float


@dataclass(frozen=True)
class Reconstruction:
    """One object: mesh in the object frame (m), pose and size.

    T_cam_obj: (4, 4) float64, object to optical frame, no scale. size_m: (3,) full extents along the object axes, the
    box is centred on the object's origin (a refined mesh keeps the frame of the first one, so to part of a cell).
    method: which one made it; note: why not the one that was asked for. seconds: wall time per stage.
    """

    mask: Mask
    mesh: Mesh
    T_cam_obj: Float
    size_m: Float
    confidence: float
    fit: Fit
    method: str
    metric: bool
    up_source: UpSource
    roi: Roi
    watertight: bool
    seconds: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Rejected:
    """A mask that gave no object, and why. `mask_index` is its value in the label image."""

    mask_index: int
    code: RejectCode
    reason: str
    label: str = ""
