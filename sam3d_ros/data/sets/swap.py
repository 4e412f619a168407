"""RP-3DO Object Swap-Random (paper, render-paste data): one object of an RGB-D picture gives way to a random mesh at
its place and of its size, hidden by whatever stands before it; the pointmap is overwritten where the mesh is seen.

Where the paper is silent: the rotation is uniform; the mesh's box has the diagonal of the original's in the optical
frame; "clearly nearer" is 2 % of the depth; the bottom counts as supported where half of its boundary is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.render import Rendered, SceneRenderer
from sam3d_ros.data.scene import Light, Scene
from sam3d_ros.data.sets.alone import Alone, any_rotation
from sam3d_ros.data.sets.sample import (
    POINTS,
    ROTATION,
    SCALE,
    SHAPE,
    TRANSLATION,
    Sample,
    crop_camera,
    points_of,
)
from sam3d_ros.data.sets.tabletop import VIEW, TabletopSet, noisy_depth, viewpoint
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Bool, Camera, Float, InputError, Int, UInt8

LEAST_VISIBLE = 0.2
BOTTOM = 0.1
"""Part of the object's rows at the bottom in which support is looked for."""
CONTOUR = 0.1
"""Part of the contour that has to be occluded for the other cue."""
NEARER = 0.02
STEP = 2.0
"""Pixels from the contour at which the two sides are compared."""
LEAST_PIXELS = 30
TRIES = 200


def fit(points_cam: Float, model: ObjectModel, R_cam_obj: Float) -> tuple[Float, float]:
    """`T_cam_obj` (4, 4) and scale that put the turned mesh in the box of points (N, 3): its middle at their mean, its
    diagonal as long as theirs. Raises InputError for fewer than four finite points."""
    points = points_cam[np.isfinite(points_cam).all(axis=-1)]
    if len(points) < 4:
        raise InputError(f"{len(points)} points do not make a box")
    turned = model.mesh.vertices.astype(np.float64) @ R_cam_obj.T
    scale = float(np.linalg.norm(np.ptp(points, axis=0)) / np.linalg.norm(np.ptp(turned, axis=0)))
    middle = scale * (turned.min(axis=0) + turned.max(axis=0)) / 2
    return transform(R_cam_obj, points.mean(axis=0, dtype=np.float64) - middle), scale


def z_buffer(depth_object: Float, depth_scene: Float) -> Bool:
    """(H, W) pixels where the object is seen: it is there, and nothing of the scene is nearer. NaN is nothing."""
    there = np.isfinite(depth_object)
    nearer: Bool = there & ~(depth_scene < depth_object)
    return nearer


def contour(mask: Bool) -> tuple[Int, Float]:
    """Pixels (N, 2) row, column of the mask's boundary inside it, and the directions (N, 2) out of it."""
    inner = mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5)
    slope = np.stack(np.gradient(soft), axis=-1)
    pixels = np.argwhere(inner)
    outward = -slope[inner]
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    known = length[:, 0] > 1e-6
    return pixels[known], outward[known] / length[known]


def occluded(mask: Bool, depth: Float, least: float) -> tuple[Int, Bool]:
    """Contour pixels (N, 2) with known depth on both sides, and whether the outside is nearer by more than `least`
    times the depth."""
    pixels, outward = contour(mask)
    inside = np.rint(pixels - STEP * outward).astype(int)
    outside = np.rint(pixels + STEP * outward).astype(int)
    limits = np.array(mask.shape) - 1
    fits = ((outside >= 0) & (outside <= limits) & (inside >= 0) & (inside <= limits)).all(axis=1)
    pixels, inside, outside = pixels[fits], inside[fits], outside[fits]
    here, there = depth[tuple(inside.T)], depth[tuple(outside.T)]
    counts = np.isfinite(here) & np.isfinite(there) & mask[tuple(inside.T)] & ~mask[tuple(outside.T)]
    nearer: Bool = there[counts] < here[counts] * (1 - least)
    return pixels[counts], nearer


def has_cue(mask: Bool, depth: Float) -> bool:
    """The paper's cue filter: something tells the size apart from the distance. Either support, the background being
    nearer along half of the boundary in the bottom tenth of the object, or at least a tenth of the contour occluded by
    something clearly nearer. depth: (H, W) m after the swap."""
    pixels, nearer = occluded(mask, depth, 0.0)
    if len(pixels):
        rows = np.flatnonzero(mask.any(axis=1))
        bottom = pixels[:, 0] >= rows[-1] - BOTTOM * (rows[-1] - rows[0] + 1)
        if bottom.any() and nearer[bottom].mean() >= 0.5:
            return True
    pixels, nearer = occluded(mask, depth, NEARER)
    return bool(len(pixels)) and float(nearer.mean()) >= CONTOUR


def swapped(rgb: UInt8, depth: Float, layer: Rendered) -> tuple[UInt8, Float, Bool]:
    """The mesh's picture in the picture without the object: new colours (H, W, 3), depth (H, W), visible mask."""
    mask = z_buffer(layer.depth_m, depth)
    return (
        np.where(mask[..., None], layer.rgb, rgb),
        np.where(mask, layer.depth_m, depth).astype(np.float32),
        mask,
    )


@dataclass(frozen=True)
class ObjectSwap:
    """Sample i swaps an object of scene i // 64 of `tables`, so a scene is rendered without each of its objects a few
    times. Taking an object away is exact here; in a photograph it would be painted over."""

    tables: TabletopSet
    seed: int = 0
    name: str = "rp-3do-os-r"
    _without: dict[tuple[int, int], SceneRenderer] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, index: int) -> Sample:
        """Raises RuntimeError where 200 drawings in a row are rejected."""
        for attempt in range(TRIES):
            sample = self._try(index, np.random.default_rng([self.seed, index, attempt, 8]))
            if sample is not None:
                return sample
        raise RuntimeError(f"{self.name}: {TRIES} drawings of sample {index} were rejected")

    def _try(self, index: int, rng: np.random.Generator) -> Sample | None:
        group = index // 64
        table = self.tables.table(group)
        T_world_cam = viewpoint(rng)
        before = table.renderer.render(VIEW, T_world_cam, antialias=False)
        labels = [k for k in range(1, len(table.drawn) + 1) if (before.labels == k).sum() >= LEAST_PIXELS]
        if not labels:
            return None
        label = int(rng.choice(labels))
        drawn = self.tables.pool.draw(group, 1, rng)[0]
        points = points_of(before.depth_m, VIEW)[before.labels == label]
        T_cam_obj, scale = fit(points, drawn.model, any_rotation(rng))
        if T_cam_obj[2, 3] < 0.1:
            return None
        light = table.scene.light
        direction_cam = T_world_cam[:3, :3].T @ light.direction
        layer = Alone(
            scaled(drawn.model, scale), T_cam_obj, Light(direction_cam, light.strength, light.ambient)
        )
        without = self._renderer(group, label)

        def look(camera: Camera) -> tuple[Rendered, Rendered, UInt8, Float, Bool]:
            scene = without.render(camera, T_world_cam, antialias=False)
            seen = layer.seen(camera, antialias=False)
            return scene, seen, *swapped(scene.rgb, scene.depth_m, seen)

        _, seen, view, depth, view_mask = look(VIEW)
        whole = int((seen.labels == 1).sum())
        if view_mask.sum() < max(LEAST_PIXELS, LEAST_VISIBLE * whole) or not has_cue(view_mask, depth):
            return None
        camera = crop_camera(VIEW, view_mask)
        scene, seen, rgb, _, mask = look(camera)
        step = camera.width // POINTS
        noisy = noisy_depth(scene, camera, VIEW, self.tables.sensor, rng)
        return Sample(
            set_name=self.name,
            index=index,
            source=drawn.key[0],
            object_index=drawn.key[1],
            rgb=rgb,
            mask=mask,
            # As in the paper the pasted points are exact, those of the scene as they were measured.
            depth_m=np.where(mask[::step, ::step], seen.depth_m[::step, ::step], noisy).astype(np.float32),
            target=seen.albedo,
            view=view,
            view_mask=view_mask,
            camera=camera,
            view_camera=VIEW,
            T_cam_obj=T_cam_obj,
            scale=scale,
            visible=float(view_mask.sum() / whole),
            labels=(SHAPE, ROTATION, TRANSLATION, SCALE),
        )

    def _renderer(self, group: int, label: int) -> SceneRenderer:
        if (group, label) not in self._without:
            for key in [k for k in self._without if k[0] != group]:
                del self._without[key]
            scene = self.tables.table(group).scene
            others = tuple(p for p in scene.objects if p.label != label)
            self._without[group, label] = SceneRenderer(Scene(others, scene.room, scene.light))
        return self._without[group, label]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_without": {}}


def scaled(model: ObjectModel, scale: float) -> ObjectModel:
    """The object `scale` times as large."""
    vertices = (model.mesh.vertices * np.float32(scale)).astype(np.float32)
    larger = replace(model, mesh=replace(model.mesh, vertices=vertices))
    # Scaling turns no normal: what was computed once serves every size.
    larger.__dict__["corner_normals"] = model.corner_normals
    return larger
