"""Synthetic tabletop scenes as a BOP folder with ground truth.

    write_tabletop_bop(Path("out"), seed=0, scenes=2, images=5)

gives out/000001, out/000002 (rgb, depth with sensor noise, masks, poses) and out/models.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sam3d_ros.data.bop import MM, BopImage, BopModel, Truth
from sam3d_ros.data.bop_write import write_image, write_models
from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Scene, make_tabletop, orbit
from sam3d_ros.data.sensor import DepthSensor, sense
from sam3d_ros.perception.frames import inverse
from sam3d_ros.types import Camera, Float, Mask

CAMERA = Camera(640, 480, 610.0, 610.0, 319.5, 239.5)
"""The colour camera of a D435 at VGA, rounded."""


def write_tabletop_bop(
    folder: Path,
    seed: int = 0,
    scenes: int = 1,
    images: int = 3,
    objects: int = 5,
    camera: Camera = CAMERA,
    sensor: DepthSensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `scenes` scenes of `objects` objects with `images` images each; models get ids across all scenes.

    Scene s has the seed `seed + s - 1`, so a longer run begins like a shorter one. Each image lists every
    object in scene_gt, also those out of sight, whose mask is then empty. `progress(done, total)` is called
    after every image; what it raises stops the work, and the scenes up to there stay readable.
    """
    sensor = sensor or DepthSensor()
    obj_id = 0
    for number in range(1, scenes + 1):
        scene_seed = seed + number - 1
        scene = make_tabletop(scene_seed, objects)
        write_models(folder, {obj_id + p.label: bop_model(p.model) for p in scene.objects})
        renderer = SceneRenderer(scene)
        rng = np.random.default_rng([scene_seed, 1])
        for index, T_world_cam in enumerate(orbit(images, start=float(rng.uniform(0, 2 * np.pi)))):
            shot = look(scene, renderer, camera, T_world_cam, index, rng, sensor, first_obj_id=obj_id + 1)
            write_image(folder, number, shot, depth_scale=sensor.unit_m / MM)
            if progress is not None:
                progress((number - 1) * images + index + 1, scenes * images)
        obj_id += objects


def look(
    scene: Scene,
    renderer: SceneRenderer,
    camera: Camera,
    T_world_cam: Float,
    image: int,
    rng: np.random.Generator,
    sensor: DepthSensor | None = None,
    first_obj_id: int = 1,
) -> BopImage:
    """What the sensor gives from one place, with masks and truths of all objects in the order of their
    labels."""
    rendered = renderer.render(camera, T_world_cam)
    sensor = sensor or DepthSensor()
    units = sense(rendered, camera, rng, sensor)
    depth_m = np.where(units > 0, units * np.float32(sensor.unit_m), np.float32(np.nan)).astype(np.float32)
    whole = renderer.silhouettes(camera, T_world_cam)
    masks, truths = [], []
    for placed in scene.objects:
        pixels = rendered.labels == placed.label
        seen, pixels_all = int(pixels.sum()), int(whole[placed.label].sum())
        masks.append(Mask(placed.label, pixels, placed.model.category))
        truths.append(
            Truth(
                obj_id=first_obj_id + placed.label - 1,
                T_cam_obj=inverse(T_world_cam) @ placed.T_world_obj,
                mask_index=placed.label,
                visible=seen / pixels_all if pixels_all else 0.0,
                pixels_all=pixels_all,
            )
        )
    sizes = {p.label: p.model.size_m for p in scene.objects}
    return BopImage(image, rendered.rgb, depth_m, camera, tuple(masks), tuple(truths), sizes)


def bop_model(model: ObjectModel) -> BopModel:
    """A procedural object as a BOP model."""
    axis = np.array([0.0, 0.0, 1.0]) if model.symmetry.about_z else None
    return BopModel(model.mesh, model.category, model.symmetry.rotations, axis)
