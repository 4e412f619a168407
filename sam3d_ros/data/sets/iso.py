"""Iso-3DO: one centred object, 24 views around it (paper, Iso-3DO; light as in its section on lighting)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.data.scene import look_at
from sam3d_ros.data.sets.alone import VIEW, Alone, any_light, in_view
from sam3d_ros.data.sets.pool import Pool
from sam3d_ros.data.sets.sample import POINTS, ROTATION, SCALE, SHAPE, TRANSLATION, Sample, crop_camera
from sam3d_ros.perception.frames import inverse

VIEWS = 24
GOLDEN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class IsoSet:
    """Sample i is view i % 24 of object i // 24; white behind it."""

    pool: Pool
    seed: int = 0
    name: str = "iso-3do"

    def __call__(self, index: int) -> Sample:
        group, view = divmod(index, VIEWS)
        drawn = self.pool.at(group % len(self.pool))
        rng = np.random.default_rng([self.seed, index, 1])
        # Directions spread evenly over the sphere, turned as a whole by a random angle per object.
        turn = np.random.default_rng([self.seed, group, 2]).uniform(0, 2 * np.pi)
        height = np.clip(1 - 2 * (view + 0.5) / VIEWS, -0.98, 0.98)
        flat, angle = np.sqrt(1 - height**2), GOLDEN * view + turn
        eye = np.array([flat * np.cos(angle), flat * np.sin(angle), height])
        R_cam_obj = inverse(look_at(eye, np.zeros(3)))[:3, :3]
        T_cam_obj = in_view(drawn.model, R_cam_obj, float(rng.uniform(0.6, 0.9)), np.zeros(2))
        object_ = Alone(drawn, T_cam_obj, any_light(rng))
        whole = object_.seen(VIEW)
        view_mask = whole.mask
        camera = crop_camera(VIEW, view_mask)
        picture = object_.seen(camera)
        mask = picture.mask
        return Sample(
            set_name=self.name,
            index=index,
            source=drawn.key[0],
            object_index=drawn.key[1],
            rgb=np.where(mask[..., None], picture.rgb, np.uint8(255)),
            mask=mask,
            depth_m=picture.depth_m[:: camera.height // POINTS, :: camera.width // POINTS],
            target=picture.albedo,
            view=np.where(view_mask[..., None], whole.rgb, np.uint8(255)),
            view_mask=view_mask,
            camera=camera,
            view_camera=VIEW,
            T_cam_obj=T_cam_obj,
            scale=1.0,
            visible=1.0,
            labels=(SHAPE, ROTATION, TRANSLATION, SCALE),
        )
