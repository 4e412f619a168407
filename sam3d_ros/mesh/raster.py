"""A small z-buffer in numpy: which triangle covers which pixel, and how deep. No GL, no scene to build and
to free.

Every triangle is expanded to the pixels of its bounding box, all triangles at once, and the pixels outside
it are dropped. The cost is the summed area of the boxes, so callers draw regions of interest at a modest
resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.perception.camera import project
from sam3d_ros.types import Camera, Float, Int, Mesh, Roi

T = TypeVar("T", bound=np.generic)
CHUNK = 1 << 20  # candidate pixels per step: bounds the memory at some 100 MB for any mesh


@dataclass(frozen=True)
class Fragments:
    """Pixels covered by triangles. face, column, row: (N,) int64. weights: (N, 3) float32 barycentric,
    screen space."""

    face: Int
    column: Int
    row: Int
    weights: Float


@dataclass(frozen=True)
class Picture:
    """Pixels of a region of interest, drawn every `step`-th pixel of the full image in both directions.

    Pixel (row r, column c) of the picture is pixel (roi.y + r * step, roi.x + c * step) of the image.
    """

    roi: Roi
    step: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return -(-self.roi.height // self.step), -(-self.roi.width // self.step)

    def sample(self, image: NDArray[T]) -> NDArray[T]:
        """The picture's pixels of a full image (H, W, ...)."""
        roi, step = self.roi, self.step
        return image[roi.y : roi.y + roi.height : step, roi.x : roi.x + roi.width : step]

    @staticmethod
    def around(roi: Roi, camera: Camera, margin: float, most: int) -> Picture:
        """The region grown by `margin` of its size on every side, at most `most` pixels along the longer
        side."""
        dx, dy = int(roi.width * margin) + 2, int(roi.height * margin) + 2
        x0, y0 = max(roi.x - dx, 0), max(roi.y - dy, 0)
        x1, y1 = min(roi.x + roi.width + dx, camera.width), min(roi.y + roi.height + dy, camera.height)
        grown = Roi(x0, y0, max(x1 - x0, 1), max(y1 - y0, 1))
        return Picture(grown, max(1, -(-max(grown.width, grown.height) // most)))


def fragments(corners: Float, height: int, width: int) -> Iterator[Fragments]:
    """Fragments of triangles with `corners` (F, 3, 2) float, columns and rows; pixel centres at whole
    numbers.

    A pixel centre on an edge belongs to both triangles. Triangles without area or with NaN give nothing.
    """
    corners = np.asarray(corners, np.float32)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    usable = np.isfinite(area) & (np.abs(area) > 1e-9)
    limit = np.array([width - 1, height - 1], np.float32)
    safe = np.where(usable[:, None, None], corners, -1)
    low = np.clip(np.ceil(safe.min(1)), 0, limit + 1).astype(np.int64)
    high = np.clip(np.floor(safe.max(1)), -1, limit).astype(np.int64)
    size = np.maximum(high - low + 1, 0)
    count = np.where(usable, size[:, 0] * size[:, 1], 0)
    drawn = np.flatnonzero(count)
    ends = np.cumsum(count[drawn])
    start = 0
    while start < len(drawn):
        base = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + CHUNK, "right")))
        chosen = drawn[start:stop]
        n = count[chosen]
        face = np.repeat(chosen, n)
        local = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        wide = size[face, 0]
        column = low[face, 0] + local % wide
        row = low[face, 1] + local // wide
        u = column - a[face, 0]
        v = row - a[face, 1]
        ab, ac = (b - a)[face], (c - a)[face]
        w_b = (u * ac[:, 1] - v * ac[:, 0]) / area[face]
        w_c = (v * ab[:, 0] - u * ab[:, 1]) / area[face]
        weights = np.stack([1 - w_b - w_c, w_b, w_c], axis=1)
        inside = (weights >= -1e-5).all(1)
        yield Fragments(face[inside], column[inside], row[inside], weights[inside].astype(np.float32))
        start = stop


def pixels_of(points_cam: Float, camera: Camera) -> Float:
    """(N, 2) columns and rows of points (N, 3) m, optical frame; NaN for points nearer than 1 mm to the
    camera's plane."""
    if camera.distortion_model:
        return project(points_cam, camera)
    z = np.where(points_cam[:, 2:] > 1e-3, points_cam[:, 2:], np.nan)
    uv: Float = points_cam[:, :2] / z * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return uv


def depth_picture(mesh_cam: Mesh, camera: Camera, picture: Picture) -> Float:
    """(rows, columns) float32 z in metres of the nearest surface, inf where there is none.

    `mesh_cam` has its vertices in the optical frame. Edges stay straight between their projected ends, also
    where the lens would bend them. Triangles with a vertex behind the camera are left out.
    """
    rows, columns = picture.shape
    uv = (pixels_of(mesh_cam.vertices, camera) - (picture.roi.x, picture.roi.y)) / picture.step
    with np.errstate(divide="ignore"):
        inverse = (1 / mesh_cam.vertices[:, 2]).astype(np.float32)
    nearest = np.zeros(rows * columns, np.float32)
    for part in fragments(uv[mesh_cam.faces], rows, columns):
        depth = (part.weights * inverse[mesh_cam.faces[part.face]]).sum(1)
        np.maximum.at(nearest, part.row * columns + part.column, depth)
    with np.errstate(divide="ignore"):
        picture_depth: Float = (1 / nearest).reshape(rows, columns)
    return picture_depth
