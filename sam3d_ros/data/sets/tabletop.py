"""Tables as a robot sees them: several objects, clutter, sensor noise; every object that shows enough is a sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sam3d_ros.data.render import Rendered, SceneRenderer
from sam3d_ros.data.room import room
from sam3d_ros.data.scene import Scene, any_lamp, any_viewpoint, place
from sam3d_ros.data.sensor import DepthSensor, sense
from sam3d_ros.data.sets.pool import Drawn, Pool
from sam3d_ros.data.sets.sample import (
    CROP,
    POINTS,
    ROTATION,
    SCALE,
    SHAPE,
    TRANSLATION,
    Sample,
    crop_camera,
)
from sam3d_ros.perception.frames import inverse
from sam3d_ros.types import Camera, Float

VIEW = Camera(CROP, CROP, 1.05 * CROP, 1.05 * CROP, (CROP - 1) / 2, (CROP - 1) / 2)
"""The middle square of an ordinary colour camera, made small."""
PER_GROUP = 64
"""Samples of one scene: sixteen viewpoints with four objects each."""
TARGETS = 4
LEAST_VISIBLE = 0.1
LEAST_PIXELS = 12
TEXELS = 128


@dataclass(frozen=True)
class Table:
    """A scene with its renderer and where each object came from. labels are 1 + position in `drawn`."""

    scene: Scene
    renderer: SceneRenderer
    drawn: list[Drawn]


@dataclass(frozen=True)
class View:
    """A picture from T_world_cam (4, 4), and per label the pixels of the whole silhouette."""

    T_world_cam: Float
    picture: Rendered
    whole: dict[int, int]


@dataclass(frozen=True)
class TabletopSet:
    """Sample i: scene i // 64, viewpoint (i % 64) // 4, one of its objects. objects: least and most on a table; the
    more stand on the same area, the more they hide each other. Occlusion stays in the label `visible`."""

    pool: Pool
    seed: int = 0
    objects: tuple[int, int] = (4, 9)
    radius_m: float = 0.2
    sensor: DepthSensor = field(default_factory=DepthSensor)
    name: str = "tabletop"
    _kept: dict[int, Table] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[tuple[int, int, int], View] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, index: int) -> Sample:
        group, within = divmod(index, PER_GROUP)
        table = self.table(group)
        for attempt in range(100):
            view = self._view(group, within // TARGETS, attempt)
            sample = self._look(index, table, view, within % TARGETS)
            if sample is not None:
                return sample
        raise RuntimeError(f"{self.name}: no viewpoint of scene {group} shows an object")

    def table(self, group: int) -> Table:
        """The scene of a group; the last one is kept."""
        if group not in self._kept:
            rng = np.random.default_rng([self.seed, group, 4])
            drawn = self.pool.draw(group, int(rng.integers(self.objects[0], self.objects[1] + 1)), rng)
            placed = place([d.model for d in drawn], rng, self.radius_m, lying=0.3)
            light = any_lamp(rng)
            scene = Scene(placed, room(rng, TEXELS), light)
            self._kept.clear()
            self._kept[group] = Table(scene, SceneRenderer(scene), drawn)
        return self._kept[group]

    def _view(self, group: int, number: int, attempt: int) -> View:
        """What the camera sees from a viewpoint; the last one is kept for the other objects in it."""
        key = (group, number, attempt)
        if key not in self._views:
            table = self.table(group)
            T_world_cam = any_viewpoint(np.random.default_rng([self.seed, *key, 5]))
            picture = table.renderer.render(VIEW, T_world_cam, antialias=False)
            whole = {k: int(v.sum()) for k, v in table.renderer.silhouettes(VIEW, T_world_cam).items()}
            self._views.clear()
            self._views[key] = View(T_world_cam, picture, whole)
        return self._views[key]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": {}, "_views": {}}

    def _look(self, index: int, table: Table, looked: View, number: int) -> Sample | None:
        """Object `number` of those that show enough; None where none does."""
        T_world_cam, view, whole = looked.T_world_cam, looked.picture, looked.whole
        pixels = np.bincount(view.labels.ravel(), minlength=len(table.drawn) + 1)
        candidates = [
            label for label in whole if pixels[label] >= max(LEAST_PIXELS, LEAST_VISIBLE * whole[label])
        ]
        if not candidates:
            return None
        rng = np.random.default_rng([self.seed, index, 6])
        label = candidates[number % len(candidates)]
        view_mask = view.labels == label
        camera = crop_camera(VIEW, view_mask)
        picture = table.renderer.render(camera, T_world_cam, antialias=False)
        drawn, placed = table.drawn[label - 1], table.scene.objects[label - 1]
        return Sample(
            set_name=self.name,
            index=index,
            source=drawn.key[0],
            object_index=drawn.key[1],
            rgb=picture.rgb,
            mask=picture.labels == label,
            depth_m=noisy_depth(picture, camera, VIEW, self.sensor, rng),
            target=np.where((picture.labels == label)[..., None], picture.albedo, np.uint8(0)),
            view=view.rgb,
            view_mask=view_mask,
            camera=camera,
            view_camera=VIEW,
            T_cam_obj=inverse(T_world_cam) @ placed.T_world_obj,
            scale=1.0,
            visible=min(1.0, float(pixels[label] / max(whole[label], 1))),
            labels=(SHAPE, ROTATION, TRANSLATION, SCALE),
        )


def noisy_depth(
    picture: Rendered, camera: Camera, view_camera: Camera, sensor: DepthSensor, rng: np.random.Generator
) -> Float:
    """(POINTS, POINTS) float32 m: what a sensor of 5 times the view's pixels makes of every second pixel of the crop.

    Errors that are given in pixels of the sensor are scaled to these.
    """
    step = camera.width // POINTS
    thinned = Rendered(**{name: values[::step, ::step] for name, values in vars(picture).items()})
    fx, fy, cx, cy = (value / step for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    zoom = fx / (5 * view_camera.fx)
    own = replace(
        sensor,
        subpixel=sensor.subpixel * zoom,
        lateral_px=sensor.lateral_px * zoom,
        correlation_px=max(sensor.correlation_px * zoom, 0.3),
    )
    units = sense(thinned, Camera(POINTS, POINTS, fx, fy, cx, cy), rng, own)
    return np.where(units > 0, units * np.float32(own.unit_m), np.float32(np.nan)).astype(np.float32)
