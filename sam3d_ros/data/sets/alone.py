"""An object by itself before a camera: what Iso-3DO shows and Flying Occlusions pastes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation  # type: ignore[import-untyped]

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.render import Outlines
from sam3d_ros.data.scene import Light
from sam3d_ros.data.sets.pool import Drawn
from sam3d_ros.data.sets.sample import CROP
from sam3d_ros.perception.frames import inverse, transform
from sam3d_ros.types import Bool, Camera, Float, UInt8

VIEW = Camera(CROP, CROP, 1.2 * CROP, 1.2 * CROP, (CROP - 1) / 2, (CROP - 1) / 2)
"""A square view of 45 degrees."""


@dataclass(frozen=True)
class Layer:
    """A picture of one object to be pasted. rgb and albedo: (H, W, 3) sRGB, black around the object; depth_m: (H, W)
    float32, NaN around it; mask: (H, W)."""

    rgb: UInt8
    albedo: UInt8
    depth_m: Float
    mask: Bool


class Alone:
    """One posed object, `scale` times as large, in a light given in the optical frame. T_cam_obj: (4, 4)."""

    def __init__(self, drawn: Drawn, T_cam_obj: Float, light: Light, scale: float = 1.0) -> None:
        # The object's frame is the world, so that its renderer serves every pose. An object twice as large looks the
        # same from twice as far.
        self.T_cam_obj, self._scale = T_cam_obj, np.float32(scale)
        T_obj_cam = inverse(T_cam_obj)
        self._T_obj_cam = transform(T_obj_cam[:3, :3], T_obj_cam[:3, 3] / scale)
        self._renderer = drawn.renderer.relit(light.turned(T_obj_cam[:3, :3]))

    def outlines(self, camera: Camera) -> Outlines:
        """What the picture shows, its label 1, before it is coloured: most drawings are rejected by that."""
        seen = self._renderer.outlines(camera, self._T_obj_cam)
        return replace(seen, depth_m=seen.depth_m * self._scale)

    def coloured(self, outlines: Outlines) -> Layer:
        """The picture of which this object gave the outlines."""
        rgb, albedo = self._renderer.colours(outlines)
        return Layer(rgb, albedo, outlines.depth_m, outlines.labels == 1)

    def seen(self, camera: Camera) -> Layer:
        """The picture."""
        return self.coloured(self.outlines(camera))


def any_rotation(rng: np.random.Generator) -> Float:
    """(3, 3) every rotation equally likely."""
    R: Float = Rotation.random(random_state=rng).as_matrix()
    return R


def any_light(rng: np.random.Generator) -> Light:
    """Random direction (from the camera's side) and strength (paper, lighting of Iso-3DO and FO)."""
    direction = rng.normal(size=3)
    direction[2] = -abs(direction[2])
    direction /= np.linalg.norm(direction)
    return Light(direction, float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.25, 0.6)), up=(0.0, -1.0, 0.0))


def in_view(model: ObjectModel, R_cam_obj: Float, fill: float, offset: Float, camera: Camera = VIEW) -> Float:
    """(4, 4) `T_cam_obj` with the object's bounding sphere over `fill` of the view's width and its middle `offset` (2,)
    widths away from the view's."""
    radius = model.radius_m
    z = 2 * radius * camera.fx / (fill * camera.width)
    z = max(z, 1.3 * radius)
    x, y = np.asarray(offset, np.float64) * camera.width * z / camera.fx
    return transform(R_cam_obj, np.array([x, y, z]))
