"""Rays of a pinhole camera, the part of a picture they are needed for, and colours of textured quads."""

from __future__ import annotations

import itertools
from functools import lru_cache

import cv2
import numpy as np

from sam3d_ros.data.room import Quad
from sam3d_ros.types import Camera, Float, InputError


@lru_cache(maxsize=4)
def pixel_rays(camera: Camera) -> Float:
    """(H W, 3) float32 directions through pixel centres with z = 1, so that the distance along them is
    depth."""
    if camera.distortion_model and any(camera.distortion):
        raise InputError("the renderer makes rectified pictures: the camera must have no distortion")
    grid = np.ones((camera.height, camera.width, 3), np.float32)
    grid[..., 0] = (np.arange(camera.width) - camera.cx) / camera.fx
    grid[..., 1] = ((np.arange(camera.height) - camera.cy) / camera.fy)[:, None]
    rays = grid.reshape(-1, 3)
    rays.flags.writeable = False
    return rays


def ray_starts(T_world_cam: Float, count: int) -> Float:
    """(count, 3) float32: Embree wants a start for every ray, here the optical centre."""
    origins = np.empty((count, 3), np.float32)
    origins[:] = T_world_cam[:3, 3]
    return origins


def window_of(points_cam: Float, camera: Camera) -> tuple[slice, slice]:
    """Rows and columns around the projection of points (N, 3); all where a point is not before the lens."""
    x, y, z = points_cam.T
    if z.min() < 1e-3:
        return slice(0, camera.height), slice(0, camera.width)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    columns = np.clip([np.floor(u.min()), np.ceil(u.max()) + 1], 0, camera.width).astype(int)
    rows = np.clip([np.floor(v.min()), np.ceil(v.max()) + 1], 0, camera.height).astype(int)
    return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def box_corners(vertices: Float) -> Float:
    """(8, 3) corners of the box around vertices (V, 3)."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return np.array(list(itertools.product(*zip(low, high, strict=True))))


def quad_colors(quad: Quad, image: Float, points: Float) -> Float:
    """(N, 3) bilinear colours of the quad's image at world points on it."""
    relative = points - quad.corner.astype(np.float32)
    along = [relative @ (edge / (edge @ edge)).astype(np.float32) for edge in (quad.u, quad.v)]
    columns, rows = along[0] * image.shape[1] - 0.5, along[1] * image.shape[0] - 0.5
    # cv2.remap takes at most 32767 rows; a long column of points is folded into a picture.
    width = 4096
    padding = -len(points) % width
    maps = [np.pad(m, (0, padding)).reshape(-1, width) for m in (columns, rows)]
    colors = cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    sampled: Float = np.asarray(colors, np.float32).reshape(-1, 3)[: len(points)]
    return sampled
