"""Boxes and planes seen by a tilted depth camera, ray by ray: scenes whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from sam3d_ros.perception import frames
from sam3d_ros.perception.camera import rays
from sam3d_ros.perception.support import find_support
from sam3d_ros.types import Bool, Camera, Float, Frame, Mask, Support, UpSource

CAMERA = Camera(320, 240, 290.0, 290.0, 159.5, 119.5)


@dataclass(frozen=True)
class Scene:
    """frame and masks (in the order of the boxes with a mask); T_cam_world with the world's z up."""

    frame: Frame
    masks: list[Mask]
    T_cam_world: Float

    @property
    def occupied(self) -> np.ndarray:
        return np.any([m.pixels for m in self.masks], axis=0)

    @property
    def up_cam(self) -> Float:
        return self.T_cam_world[:3, 2]


@dataclass(frozen=True)
class Box:
    """An upright box in the world: centre of its bottom, full sizes, m; `masked` if it is an object."""

    x: float
    y: float
    z: float
    size: tuple[float, float, float]
    masked: bool = True


Render = Callable[..., Scene]


def _render(
    boxes: list[Box],
    *,
    pitch_deg: float = 35.0,
    height: float = 0.6,
    roll_deg: float = 0.0,
    noise: float = 0.0,
    holes: float = 0.0,
    seed: int = 0,
    camera: Camera = CAMERA,
) -> Scene:
    """The camera stands at (0, 0, height), looks along world x, pitched down.

    noise: sigma at 1 m, grows with z^2.
    """
    p, r = np.radians(pitch_deg), np.radians(roll_deg)
    pitch = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    roll = np.array(
        [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    )  # about the optical axis
    R_world_cam = pitch @ frames.R_CAM_BODY.T @ roll
    eye = np.array([0, 0, height])
    ray = rays(camera).astype(float) @ R_world_cam.T
    z, owner = np.full(ray.shape[:2], np.inf), np.full(ray.shape[:2], -1)
    for i, box in enumerate(boxes):
        low = np.array([box.x, box.y, box.z]) - [box.size[0] / 2, box.size[1] / 2, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (low - eye) / ray, (low + box.size - eye) / ray
        enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        hit = (enter <= leave) & (enter > 0) & (enter < z)  # the ray's z is 1, so its parameter is depth
        z[hit], owner[hit] = enter[hit], i
    rng = np.random.default_rng(seed)
    z[~np.isfinite(z) | (rng.random(z.shape) < holes)] = np.nan
    z = z + noise * z**2 * rng.standard_normal(z.shape)
    points = (rays(camera) * z[..., None]).astype(np.float32)
    masks = [Mask(i + 1, owner == i) for i, box in enumerate(boxes) if box.masked]
    R_cam_world = R_world_cam.T
    rgb = np.stack([owner + 1, owner * 0, owner * 0], -1).astype(np.uint8)
    return Scene(Frame(rgb, points, camera), masks, frames.transform(R_cam_world, -R_cam_world @ eye))


def table(z: float = 0.0, x: float = 1.0, depth: float = 1.0, width: float = 1.2) -> Box:
    return Box(x, 0, z - 0.03, (depth, width, 0.03), masked=False)


def wall(x: float = 1.2) -> Box:
    return Box(x + 0.05, 0, -2, (0.1, 6, 6), masked=False)


def floor(z: float = -0.7) -> Box:
    return Box(0, 0, z - 0.1, (20, 20, 0.1), masked=False)


@pytest.fixture
def render() -> Render:
    return _render


CUP = Box(0.8, -0.05, 0, (0.08, 0.08, 0.1))
CARTON = Box(0.9, 0.18, 0, (0.06, 0.15, 0.2))
NOISE = {"noise": 0.002, "holes": 0.2}


def check(
    scene: Scene, support: Support, level: float = 0.0, degrees: float = 1.0, metres: float = 0.004
) -> None:
    """The plane is z = level of the world."""
    assert support.source is UpSource.SUPPORT_PLANE
    assert support.offset is not None
    angle = np.degrees(np.arccos(np.clip(support.up_cam @ scene.up_cam, -1, 1)))
    assert angle < degrees
    # Where it counts: under the objects.
    base = np.array([0.85, 0.05, level, 1]) @ scene.T_cam_world[:3].T
    assert abs(base @ support.up_cam - support.offset) < metres


def find(scene: Scene, hint: bool = False, occupied: Bool | None = None) -> Support:
    used = scene.occupied if occupied is None else occupied
    return find_support(scene.frame.points_cam, used, scene.up_cam if hint else None)


def level_of(scene: Scene, support: Support) -> float:
    """World height of the plane under the objects."""
    assert support.offset is not None
    eye_height = 0.6
    return eye_height + support.offset
