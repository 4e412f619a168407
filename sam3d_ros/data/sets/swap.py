"""RP-3DO Object Swap-Random (paper, render-paste data): one object of an RGB-D picture gives way to a random mesh at
its place and of its size, hidden by whatever stands before it; the pointmap is overwritten where the mesh is seen.

Where the paper is silent: the rotation is uniform; the mesh's box has the diagonal of the original's in the optical
frame; "clearly nearer" is 2 % of the depth; the bottom counts as supported where half of its boundary is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.render import Outlines, SceneRenderer
from sam3d_ros.data.scene import Scene, any_viewpoint
from sam3d_ros.data.sets.alone import Alone, Layer, any_rotation
from sam3d_ros.data.sets.pool import Drawn
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
from sam3d_ros.data.sets.tabletop import PER_GROUP, VIEW, TabletopSet, noisy_depth
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Bool, Float, InputError, Int, UInt8

LEAST_VISIBLE = 0.2
BOTTOM = 0.1
"""Part of the object's rows at the bottom in which support is looked for."""
CONTOUR = 0.1
"""Part of the contour that has to be occluded for the other cue."""
NEARER = 0.02
STEP = 2.0
"""Pixels from the contour at which the two sides are compared."""
LEAST_PIXELS = 30
AROUND = 8
"""Pixels around the mask in which depths are compared: STEP and the reach of the smoothing."""
PER_SPOT = 8
"""Samples that replace the same object in the same view."""
GIVING_WAY = 2
"""Objects of a scene that are ever taken away: a scene without one costs as much as two samples."""
SCOUTS = 4
"""Meshes tried in a place before it is given up where none keeps to the rules."""
SPOTS, MESHES = 200, 50
"""Places tried in a scene for PER_SPOT samples, and meshes tried in a place."""


@dataclass(frozen=True)
class Box:
    """Where an object was. middle: (3,) mean of its visible points in the optical frame; diagonal: of their box, m."""

    middle: Float
    diagonal: float


def box_of(points_cam: Float) -> Box:
    """Of points (N, 3). Raises InputError for fewer than four finite ones."""
    points = points_cam[np.isfinite(points_cam).all(axis=-1)]
    if len(points) < 4:
        raise InputError(f"{len(points)} points do not make a box")
    return Box(points.mean(axis=0, dtype=np.float64), float(np.linalg.norm(np.ptp(points, axis=0))))


def fit(box: Box, model: ObjectModel, R_cam_obj: Float) -> tuple[Float, float]:
    """`T_cam_obj` (4, 4) and scale that put the turned mesh in a box: its middle there, its diagonal as long."""
    # Rows of coordinates: the extremes of long rows are found much faster than those of long columns.
    turned = R_cam_obj.astype(np.float32) @ model.mesh.vertices.T
    low, high = turned.min(axis=1).astype(np.float64), turned.max(axis=1).astype(np.float64)
    scale = float(box.diagonal / np.linalg.norm(high - low))
    return transform(R_cam_obj, box.middle - scale * (low + high) / 2), scale


def z_buffer(depth_object: Float, depth_scene: Float) -> Bool:
    """(H, W) pixels where the object is seen: it is there, and nothing of the scene is nearer. NaN is nothing."""
    there = np.isfinite(depth_object)
    nearer: Bool = there & ~(depth_scene < depth_object)
    return nearer


def contour(mask: Bool) -> tuple[Int, Float]:
    """Pixels (N, 2) row, column of the mask's boundary inside it, and the directions (N, 2) out of it."""
    inner = mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5)
    slope = np.stack([cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx, ksize=1) for dx in (0, 1)], axis=-1)
    pixels = np.argwhere(inner)
    outward = -slope[inner]
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    known = length[:, 0] > 1e-6
    return pixels[known], outward[known] / length[known]


def steps(mask: Bool, depth: Float) -> tuple[Int, Float]:
    """Contour pixels (N, 2) with known depth on both sides, and by which share (N,) of its depth the outside is nearer
    than the inside."""
    pixels, outward = contour(mask)
    inside = np.rint(pixels - STEP * outward).astype(int)
    outside = np.rint(pixels + STEP * outward).astype(int)
    limits = np.array(mask.shape) - 1
    fits = ((outside >= 0) & (outside <= limits) & (inside >= 0) & (inside <= limits)).all(axis=1)
    pixels, inside, outside = pixels[fits], inside[fits], outside[fits]
    here, there = depth[tuple(inside.T)], depth[tuple(outside.T)]
    counts = np.isfinite(here) & np.isfinite(there) & mask[tuple(inside.T)] & ~mask[tuple(outside.T)]
    nearer: Float = 1 - there[counts] / here[counts]
    return pixels[counts], nearer


def has_cue(mask: Bool, depth: Float) -> bool:
    """The paper's cue filter: something tells the size apart from the distance. Either support, the background being
    nearer along half of the boundary in the bottom tenth of the object, or at least a tenth of the contour occluded by
    something clearly nearer. depth: (H, W) m after the swap."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return False
    # Only the surroundings of the mask matter.
    top, left = max(0, rows[0] - AROUND), max(0, columns[0] - AROUND)
    window = np.s_[top : rows[-1] + AROUND + 1, left : columns[-1] + AROUND + 1]
    pixels, nearer = steps(mask[window], depth[window])
    if not len(pixels):
        return False
    bottom = pixels[:, 0] + top >= rows[-1] - BOTTOM * (rows[-1] - rows[0] + 1)
    if bottom.any() and (nearer[bottom] > 0).mean() >= 0.5:
        return True
    return float((nearer > NEARER).mean()) >= CONTOUR


def swapped(rgb: UInt8, depth: Float, layer: Layer) -> tuple[UInt8, Float, Bool]:
    """The mesh's picture in the picture without the object: new colours (H, W, 3), depth (H, W), visible mask."""
    mask = z_buffer(layer.depth_m, depth)
    return (
        np.where(mask[..., None], layer.rgb, rgb),
        np.where(mask, layer.depth_m, depth).astype(np.float32),
        mask,
    )


@dataclass(frozen=True)
class Spot:
    """An object in a view that may give way: the box of its points, and the scene without it as VIEW sees it."""

    T_world_cam: Float
    box: Box
    without: SceneRenderer
    behind: Outlines


@dataclass(frozen=True)
class Placed:
    """A mesh in the place of the object that keeps to the rules, and the pixels of VIEW where it is seen."""

    drawn: Drawn
    layer: Alone
    outlines: Outlines
    scale: float
    mask: Bool
    visible: float


@dataclass(frozen=True)
class Swaps:
    """PER_SPOT meshes in one place, and the view (H, W, 3) without any."""

    spot: Spot
    view: UInt8
    placed: list[Placed]


@dataclass(frozen=True)
class ObjectSwap:
    """Sample i swaps an object of scene i // 64 of `tables`; in each place eight meshes take turns. Taking an object
    away is exact here; in a photograph it would be painted over."""

    tables: TabletopSet
    seed: int = 0
    name: str = "rp-3do-os-r"
    _without: dict[tuple[int, int], SceneRenderer] = field(default_factory=dict, repr=False, compare=False)
    _swaps: dict[tuple[int, int], Swaps] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, index: int) -> Sample:
        """Raises RuntimeError where 200 places of a scene in a row are rejected."""
        group, within = divmod(index, PER_GROUP)
        swaps = self._found(group, within // PER_SPOT)
        rng = np.random.default_rng([self.seed, index, 8])
        return self._sample(index, swaps, swaps.placed[within % PER_SPOT], rng)

    def _found(self, group: int, number: int) -> Swaps:
        """The first place in which enough meshes keep to the rules; the last one is kept."""
        key = (group, number)
        if key not in self._swaps:
            rng = np.random.default_rng([self.seed, *key, 9])
            for _ in range(SPOTS):
                spot = self._look(group, rng)
                placed = self._meshes(group, spot, rng) if spot else []
                if spot and len(placed) == PER_SPOT:
                    break
            else:
                raise RuntimeError(f"{self.name}: no place in scene {group} where meshes keep to the rules")
            self._swaps.clear()
            self._swaps[key] = Swaps(spot, spot.without.colours(spot.behind)[0], placed)
        return self._swaps[key]

    def _look(self, group: int, rng: np.random.Generator) -> Spot | None:
        """A viewpoint and one of the group's objects that give way, if one shows enough."""
        table, T_world_cam = self.tables.table(group), any_viewpoint(rng)
        giving_way = np.random.default_rng([self.seed, group, 10]).permutation(len(table.drawn))[:GIVING_WAY]
        seen = table.renderer.outlines(VIEW, T_world_cam)
        pixels = np.bincount(seen.labels.ravel(), minlength=len(table.drawn) + 1)
        shown = [label for label in 1 + giving_way if pixels[label] >= LEAST_PIXELS]
        if not shown:
            return None
        label = int(rng.choice(shown))
        without = self._renderer(group, label)
        box = box_of(points_of(seen.depth_m, VIEW)[seen.labels == label])
        return Spot(T_world_cam, box, without, without.outlines(VIEW, T_world_cam))

    def _meshes(self, group: int, spot: Spot, rng: np.random.Generator) -> list[Placed]:
        """PER_SPOT meshes that keep to the rules, fewer where they are too rare."""
        placed: list[Placed] = []
        for tried in range(1, MESHES + 1):
            mesh = self._place(group, spot, rng)
            if mesh is not None:
                placed.append(mesh)
            if len(placed) == PER_SPOT or (tried >= SCOUTS and not placed):
                break
        return placed

    def _place(self, group: int, spot: Spot, rng: np.random.Generator) -> Placed | None:
        """One drawing. Most are rejected, so nothing is coloured yet."""
        drawn = self.tables.pool.draw(group, 1, rng)[0]
        T_cam_obj, scale = fit(spot.box, drawn.model, any_rotation(rng))
        if T_cam_obj[2, 3] < 0.1:
            return None
        light = self.tables.table(group).scene.light.turned(spot.T_world_cam[:3, :3].T)
        layer = Alone(drawn, T_cam_obj, light, scale)
        outlines = layer.outlines(VIEW)
        depth = outlines.depth_m
        mask = z_buffer(depth, spot.behind.depth_m)
        seen, whole = int(mask.sum()), int(np.isfinite(depth).sum())
        if seen < max(LEAST_PIXELS, LEAST_VISIBLE * whole):
            return None
        if not has_cue(mask, np.where(mask, depth, spot.behind.depth_m)):
            return None
        return Placed(drawn, layer, outlines, scale, mask, seen / whole)

    def _sample(self, index: int, swaps: Swaps, placed: Placed, rng: np.random.Generator) -> Sample:
        spot, camera = swaps.spot, crop_camera(VIEW, placed.mask)
        scene = spot.without.render(camera, spot.T_world_cam, antialias=False)
        seen = placed.layer.seen(camera)
        rgb, _, mask = swapped(scene.rgb, scene.depth_m, seen)
        step = camera.width // POINTS
        noisy = noisy_depth(scene, camera, VIEW, self.tables.sensor, rng)
        return Sample(
            set_name=self.name,
            index=index,
            source=placed.drawn.key[0],
            object_index=placed.drawn.key[1],
            rgb=rgb,
            mask=mask,
            # As in the paper the pasted points are exact, those of the scene as they were measured.
            depth_m=np.where(mask[::step, ::step], seen.depth_m[::step, ::step], noisy).astype(np.float32),
            target=seen.albedo,
            view=swapped(swaps.view, spot.behind.depth_m, placed.layer.coloured(placed.outlines))[0],
            view_mask=placed.mask,
            camera=camera,
            view_camera=VIEW,
            T_cam_obj=placed.layer.T_cam_obj,
            scale=placed.scale,
            visible=placed.visible,
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
        return {**self.__dict__, "_without": {}, "_swaps": {}}
