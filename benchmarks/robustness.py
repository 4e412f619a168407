"""What cameras, sensors, masks and surroundings do to the answers: the same things under one condition after another.

    sam3d data prepare object-sim && sam3d data prepare ycb-sim
    python benchmarks/robustness.py [--views 45] [--methods compact,extrude] [--conditions plain,low,...]

Household things, scans and procedural objects in turn, two to four on a table; one that is at least half visible is
judged, posed and without alignment. Nothing tells the method where up is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import trimesh
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam3d_ros.data.bop import BopImage
from sam3d_ros.data.held_out import HELD_OUT_SEED
from sam3d_ros.data.make_bop import CAMERA, look
from sam3d_ros.data.objects import TABLETOP, ObjectModel, Symmetry, make_object
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.room import FLOOR
from sam3d_ros.data.scene import PlacedObject, around, orbit, place, world_vertices
from sam3d_ros.data.sensor import DepthSensor, jitter
from sam3d_ros.evaluate.methods import method_by_name
from sam3d_ros.evaluate.posed import EMPTY, posed_metrics
from sam3d_ros.evaluate.source import Shot, Target
from sam3d_ros.evaluate.splits import HOUSEHOLD, YCB
from sam3d_ros.perception.frames import apply, transform
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.types import Bool, Camera, Float, Mask, Mesh

SEED = 7 * HELD_OUT_SEED
LEAST_SEEN = 0.5
Rng = np.random.Generator
Placed = tuple[PlacedObject, ...]


def same_things(placed: Placed, rng: Rng) -> tuple[Placed, Placed]:
    return placed, ()


def same_mask(pixels: Bool, rng: Rng) -> Bool:
    return pixels


def same_depth(picture: BopImage, mask: Mask, T_world_cam: Float, rng: Rng) -> Float:
    return picture.depth_m


@dataclass(frozen=True)
class Condition:
    """What is other than in the standard splits. things: to those with masks and those without; masks: what a
    segmentation makes of each; depth: (H, W) m of a picture, the judged mask and the camera's pose; alone: the judged
    mask is the only one."""

    camera: Camera = CAMERA
    distance_m: tuple[float, float] = (0.5, 0.9)
    down_deg: tuple[float, float] = (25, 60)
    sensor: DepthSensor | None = None
    things: Callable[[Placed, Rng], tuple[Placed, Placed]] = same_things
    masks: Callable[[Bool, Rng], Bool] = same_mask
    depth: Callable[[BopImage, Mask, Float, Rng], Float] = same_depth
    alone: bool = False


def cuboid(size: Sequence[float], middle: Sequence[float], colour: Float) -> tuple[ObjectModel, Float]:
    box = trimesh.creation.box(size).subdivide().subdivide()
    colours = np.tile(colour.astype(np.uint8), (len(box.vertices), 1))
    mesh = Mesh(box.vertices.astype(np.float32), box.faces.astype(np.int32), colours)
    return ObjectModel("cuboid", mesh, Symmetry()), transform(np.eye(3), np.asarray(middle, np.float64))


def unmasked(first_label: int, parts: Sequence[tuple[ObjectModel, Float]]) -> Placed:
    return tuple(PlacedObject(first_label + i, model, T) for i, (model, T) in enumerate(parts))


def in_a_bin(placed: Placed, rng: Rng) -> tuple[Placed, Placed]:
    """Four walls, 46 by 36 cm, 8 to 20 cm high."""
    colour, height = rng.integers(60, 220, 3), rng.uniform(0.08, 0.2)
    across = [cuboid((0.46, 0.01, height), (0, y, height / 2), colour) for y in (-0.18, 0.18)]
    along = [cuboid((0.01, 0.36, height), (x, 0, height / 2), colour) for x in (-0.23, 0.23)]
    return placed, unmasked(len(placed) + 1, across + along)


def on_a_crate(placed: Placed, rng: Rng) -> tuple[Placed, Placed]:
    """The first thing alone, on something 3 to 15 cm high that is a little wider than it and has no mask."""
    height, more, thing = rng.uniform(0.03, 0.15), rng.uniform(0.02, 0.08), placed[0]
    corners = world_vertices(thing)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = (*(high - low)[:2] + more, height)
    crate = cuboid(size, (*(low + high)[:2] / 2, height / 2), rng.integers(60, 220, 3))
    raised = transform(np.eye(3), np.array([0.0, 0.0, height])) @ thing.T_world_obj
    return (replace(thing, T_world_obj=raised),), unmasked(2, [crate])


def grown(by: int) -> Callable[[Bool, Rng], Bool]:
    """By so many pixels, or smaller where it is negative."""
    change = cv2.dilate if by > 0 else cv2.erode
    kernel = np.ones((3, 3), np.uint8)
    return lambda pixels, rng: np.asarray(change(pixels.astype(np.uint8), kernel, iterations=abs(by))) > 0


def ragged(pixels: Bool, rng: Rng) -> Bool:
    """Edges two pixels off, neighbours alike."""
    columns, rows = jitter(pixels.shape, 2.0, rng, correlation_px=3.0)
    return np.asarray(cv2.remap(pixels.astype(np.uint8), columns, rows, cv2.INTER_NEAREST)) > 0


def only_masks(picture: BopImage, mask: Mask, T_world_cam: Float, rng: Rng) -> Float:
    """Nothing but things with a mask was measured."""
    occupied = np.logical_or.reduce([m.pixels for m in picture.masks])
    return np.where(occupied, picture.depth_m, np.float32(np.nan))


def through_the_table(picture: BopImage, mask: Mask, T_world_cam: Float, rng: Rng) -> Float:
    """The table is of glass: where it was measured, the floor is, with 6 mm of noise."""
    camera = picture.camera
    world = apply(T_world_cam, points_from_depth(picture.depth_m, camera).astype(np.float64))
    occupied = np.logical_or.reduce([m.pixels for m in picture.masks])
    rays = points_from_depth(np.ones_like(picture.depth_m), camera) @ T_world_cam[:3, :3].T
    depth = (FLOOR - T_world_cam[2, 3]) / rays[..., 2] + 0.006 * rng.standard_normal(occupied.shape)
    table = (np.abs(world[..., 2]) < 0.02) & ~occupied
    return np.where(table, np.where((depth > 0) & (depth < 4), depth, np.nan), picture.depth_m).astype(
        np.float32
    )


def half_lost(picture: BopImage, mask: Mask, T_world_cam: Float, rng: Rng) -> Float:
    """Half of the thing gives no depth, in patches."""
    patches = cv2.GaussianBlur(rng.standard_normal(mask.pixels.shape).astype(np.float32), (0, 0), 12)
    lost = mask.pixels & (patches > np.median(patches[mask.pixels]))
    return np.where(lost, np.float32(np.nan), picture.depth_m)


PERFECT = DepthSensor(
    subpixel=0, lateral_px=0, parallax_shadow=False, grazing_deg=89.9, dark=0, glare=9, speckle=1e-9
)
CONDITIONS = {
    "plain": Condition(),
    "camera 5 to 20 degrees down": Condition(down_deg=(5, 20)),
    "camera 68 to 87 degrees down": Condition(down_deg=(68, 87)),
    "28 to 40 cm away": Condition(distance_m=(0.28, 0.4)),
    "1.1 to 1.6 m away": Condition(distance_m=(1.1, 1.6)),
    "320 x 240": Condition(camera=Camera(320, 240, 305.0, 305.0, 159.5, 119.5)),
    "1280 x 720": Condition(camera=Camera(1280, 720, 915.0, 915.0, 639.5, 359.5)),
    "perfect depth": Condition(sensor=PERFECT),
    "four times the noise": Condition(sensor=DepthSensor(subpixel=0.32)),
    "structured light": Condition(sensor=DepthSensor(window_px=3.0)),
    "half of its depth missing": Condition(depth=half_lost),
    "masks 3 px too small": Condition(masks=grown(-3)),
    "masks 3 px too large": Condition(masks=grown(3)),
    "masks 6 px too large": Condition(masks=grown(6)),
    "ragged masks": Condition(masks=ragged),
    "no masks of the others": Condition(alone=True),
    "in a bin without a mask": Condition(things=in_a_bin, down_deg=(45, 80)),
    "alone on a crate without a mask": Condition(things=on_a_crate),
    "on a table of glass": Condition(depth=through_the_table),
    "nothing around it measured": Condition(depth=only_masks),
}


def things(index: int, rng: Rng) -> Placed:
    """Two to four of one source, by turns."""
    count = int(rng.integers(2, 5))
    if (source := (HOUSEHOLD, YCB, None)[index % 3]) is not None:
        return place([source.draw(rng) for _ in range(count)], rng, 0.16, source.lying, source.rest)
    models = [make_object(str(rng.choice(list(TABLETOP))), rng) for _ in range(count)]
    return place(models, rng, 0.16, 0.3)


def view(condition: Condition, index: int) -> Shot | None:
    """The same things on the table under each condition; None where none is visible enough."""
    placed, rng = things(index, np.random.default_rng([SEED, index])), np.random.default_rng([SEED, index, 1])
    masked, bare = condition.things(placed, rng)
    scene = around((*masked, *bare), rng)
    renderer = SceneRenderer(scene)
    ways = orbit(8, condition.distance_m, condition.down_deg, start=float(rng.uniform(0, 2 * np.pi)))
    for T_world_cam in rng.permutation(ways)[:4]:
        picture = look(scene, renderer, condition.camera, T_world_cam, index, rng, condition.sensor)
        fitting = [t for t in picture.truths[: len(masked)] if t.visible >= LEAST_SEEN and t.pixels_all > 200]
        if not fitting:
            continue
        truth = fitting[int(rng.integers(len(fitting)))]
        own = [truth.mask_index] if condition.alone else range(1, len(masked) + 1)
        masks = [
            Mask(m.index, condition.masks(m.pixels, rng), m.label) for m in picture.masks if m.index in own
        ]
        picture = replace(picture, masks=tuple(masks))
        judged = next(m for m in masks if m.index == truth.mask_index)
        picture = replace(picture, depth_m=condition.depth(picture, judged, T_world_cam, rng))
        model = masked[truth.mask_index - 1].model
        target = Target(
            truth.mask_index, str(index), model.category, model.mesh, truth.T_cam_obj, truth.visible
        )
        return Shot("robustness", picture, (target,))
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--views", type=int, default=45)
    parser.add_argument("--methods", default="compact,extrude")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help=", ".join(CONDITIONS))
    arguments = parser.parse_args()
    methods = {name: method_by_name(name, None) for name in arguments.methods.split(",")}
    table = Table("condition", "views", *(f"{name}: vIoU, F1, ADD-S, found" for name in methods))
    console = Console(width=160)
    for name in arguments.conditions.split(","):
        scores: dict[str, list[tuple[float, float, float, bool]]] = {method: [] for method in methods}
        for index in track(range(arguments.views), name, console=console, transient=True):
            if (shot := view(CONDITIONS[name], index)) is None:
                continue
            target = shot.targets[0]
            for method, predict in methods.items():
                answer = predict(shot)[0]
                score = EMPTY
                if answer.mesh is not None:
                    score = posed_metrics(answer.mesh, answer.T_cam_obj, target.mesh, target.T_cam_obj)
                found = answer.mesh is not None
                scores[method].append((score.viou, score.f1, score.add_s if found else np.nan, found))
        cells = [" ".join(f"{m:.3f}" for m in np.nanmean(scores[method], axis=0)) for method in methods]
        table.add_row(name, str(len(next(iter(scores.values())))), *cells)
        console.print(name, *cells, highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
