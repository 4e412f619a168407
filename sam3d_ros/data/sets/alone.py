"""An object by itself before a camera: what Iso-3DO shows and Flying Occlusions pastes."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation  # type: ignore[import-untyped]

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.render import Rendered, SceneRenderer
from sam3d_ros.data.scene import Light, PlacedObject, Scene
from sam3d_ros.data.sets.sample import CROP
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Camera, Float

VIEW = Camera(CROP, CROP, 1.2 * CROP, 1.2 * CROP, (CROP - 1) / 2, (CROP - 1) / 2)
"""A square view of 45 degrees."""


class Alone:
    """One posed object and its renderer. T_cam_obj: (4, 4)."""

    def __init__(self, model: ObjectModel, T_cam_obj: Float, light: Light) -> None:
        # The world is the optical frame: no room has to stand upright in it.
        self.model, self.T_cam_obj = model, T_cam_obj
        self._renderer = SceneRenderer(Scene((PlacedObject(1, model, T_cam_obj),), (), light))

    def seen(self, camera: Camera, antialias: bool = True) -> Rendered:
        return self._renderer.render(camera, np.eye(4), antialias)


def any_rotation(rng: np.random.Generator) -> Float:
    """(3, 3) every rotation equally likely."""
    R: Float = Rotation.random(random_state=rng).as_matrix()
    return R


def any_light(rng: np.random.Generator) -> Light:
    """Random direction (from the camera's side) and strength (paper, lighting of Iso-3DO and FO)."""
    direction = rng.normal(size=3)
    direction[2] = -abs(direction[2])
    return Light(
        direction / np.linalg.norm(direction), float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.25, 0.6))
    )


def in_view(model: ObjectModel, R_cam_obj: Float, fill: float, offset: Float, camera: Camera = VIEW) -> Float:
    """(4, 4) `T_cam_obj` with the object's bounding sphere over `fill` of the view's width and its middle `offset` (2,)
    widths away from the view's."""
    radius = float(np.linalg.norm(model.mesh.vertices.astype(np.float64), axis=1).max())
    z = 2 * radius * camera.fx / (fill * camera.width)
    z = max(z, 1.3 * radius)
    x, y = np.asarray(offset, np.float64) * camera.width * z / camera.fx
    return transform(R_cam_obj, np.array([x, y, z]))
