"""One training view of one object, and the square crop it is seen through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sam3d_ros.types import Bool, Camera, Float, InputError, UInt8

CROP = 128
"""Pixels of pictures and masks."""
POINTS = 64
"""Pixels of the pointmap: every second of the crop's."""
MARGIN = 1.2
"""Side of the crop relative to the box of the visible mask."""
SHAPE, ROTATION, TRANSLATION, SCALE = "shape", "R", "t", "s"


@dataclass(frozen=True)
class Sample:
    """A view of one object. Which object: number `object_index` of source `source`.

    rgb: (CROP, CROP, 3) uint8 around the visible part; mask: (CROP, CROP) bool, that part. depth_m: (POINTS,
    POINTS) float32 along the optical axis of every second pixel, NaN where there is nothing. target: (CROP, CROP, 3)
    uint8, the object under ambient light alone, black around it; the whole of it where it was rendered by itself, in
    tabletop scenes the part that is seen. view, view_mask: the full picture, (CROP,
    CROP, 3) and (CROP, CROP). camera: of the crop; view_camera: of the full picture.
    T_cam_obj: (4, 4) rigid, object to optical frame; scale: what the mesh is multiplied by before. visible: visible
    share of the silhouette. labels: which of shape, R, t, s may be learned from this sample.
    """

    set_name: str
    index: int
    source: str
    object_index: int
    rgb: UInt8
    mask: Bool
    depth_m: Float
    target: UInt8
    view: UInt8
    view_mask: Bool
    camera: Camera
    view_camera: Camera
    T_cam_obj: Float
    scale: float
    visible: float
    labels: tuple[str, ...]

    def points_cam(self) -> Float:
        """(POINTS, POINTS, 3) float32 pointmap in the optical frame, NaN where there is nothing."""
        return points_of(self.depth_m, self.camera)


class SampleSet(Protocol):
    """A set of training views: a pure function of the index, so that any part of it can be made anywhere."""

    @property
    def name(self) -> str: ...

    def __call__(self, index: int) -> Sample: ...


def stream(samples: SampleSet, start: int = 0, step: int = 1, stop: int | None = None) -> Iterator[Sample]:
    """Samples start, start + step, ...: what worker number `start` of `step` workers reads."""
    index = start
    while stop is None or index < stop:
        yield samples(index)
        index += step


def crop_camera(camera: Camera, mask: Bool, size: int = CROP, margin: float = MARGIN) -> Camera:
    """The camera whose picture is the square around a mask, `margin` times as wide as its box, in size x size pixels.

    The square may go beyond the picture. Raises InputError for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise InputError("an empty mask has no crop")
    side = margin * float(max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1, 4))
    left = float(columns[0] + columns[-1]) / 2 - side / 2
    top = float(rows[0] + rows[-1]) / 2 - side / 2
    # Column u covers u - 0.5 .. u + 0.5: scaling keeps edges, not centres.
    zoom = size / side
    return Camera(
        size,
        size,
        camera.fx * zoom,
        camera.fy * zoom,
        (camera.cx - left) * zoom - 0.5,
        (camera.cy - top) * zoom - 0.5,
    )


def points_of(depth_m: Float, camera: Camera) -> Float:
    """(h, w, 3) float32 points of a depth picture that holds every n-th pixel of the camera's, n = width / w."""
    step = camera.width // depth_m.shape[1]
    u, v = np.meshgrid(np.arange(0, camera.width, step), np.arange(0, camera.height, step))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return np.stack([x * depth_m, y * depth_m, depth_m], axis=-1).astype(np.float32)
