"""A camera above a table with boxes, by ray casting against planes: exact, instant, and independent of the renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.perception import frames
from sam3d_ros.types import Camera, Float, Int, UInt8


@dataclass(frozen=True)
class BoxScene:
    """rgb (H, W, 3) uint8, depth_m (H, W) float32, labels (H, W) uint16; per box T_cam_obj (4, 4) and size (3,) m."""

    rgb: UInt8
    depth_m: Float
    labels: Int
    camera: Camera
    T_cam_obj: list[Float]
    sizes_m: list[Float]
    up_cam: Float


def box_scene(
    width: int = 320,
    height: int = 240,
    boxes: tuple[tuple[float, float, float, float, float], ...] = ((0.0, 0.0, 0.08, 0.06, 0.10),),
    down_deg: float = 40.0,
    distance: float = 0.7,
) -> BoxScene:
    """Boxes (x, y, size x, size y, size z) standing on the table z = 0, seen from `distance` m and `down_deg`.

    The world's x points away from the camera, so a box's axes are those of its object frame.
    """
    camera = Camera(width, height, 0.94 * width, 0.94 * width, (width - 1) / 2, (height - 1) / 2)
    down = np.deg2rad(down_deg)
    forward = np.array([np.cos(down), 0.0, -np.sin(down)])
    right = np.array([0.0, -1.0, 0.0])
    R_world_cam = np.stack([right, np.cross(forward, right), forward], axis=1)
    T_world_cam = frames.transform(R_world_cam, np.array([0.0, 0.0, 0.04]) - distance * forward)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays_cam = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    rays, origin = rays_cam @ R_world_cam.T, T_world_cam[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
        labels = np.zeros((height, width), np.uint16)
        shade = np.full((height, width), 150.0)
        for number, (x, y, *size) in enumerate(boxes, start=1):
            low, high = (
                np.array([x - size[0] / 2, y - size[1] / 2, 0]),
                np.array([x + size[0] / 2, y + size[1] / 2, size[2]]),
            )
            near, far = np.sort(np.stack([(low - origin) / rays, (high - origin) / rays]), axis=0)
            enter, leave = near.max(-1), far.min(-1)
            hit = (enter < leave) & (enter > 0) & (enter < depth)
            depth, labels = np.where(hit, enter, depth), np.where(hit, number, labels).astype(np.uint16)
            shade = np.where(hit, 40 + 50 * near.argmax(-1), shade)
    depth = np.where(np.isfinite(depth) & (depth < 3), depth, np.nan)
    rgb = np.stack([shade, np.where(labels > 0, 60, shade), shade / 2], -1).astype(np.uint8)
    T_cam_world = frames.inverse(T_world_cam)
    poses = [T_cam_world @ frames.transform(np.eye(3), np.array([x, y, s[2] / 2])) for x, y, *s in boxes]
    sizes = [np.array(s) for _, _, *s in boxes]
    return BoxScene(rgb, depth.astype(np.float32), labels, camera, poses, sizes, T_cam_world[:3, 2])
