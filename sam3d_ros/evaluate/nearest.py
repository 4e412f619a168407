"""The baseline that only remembers: the shape of the training view that looks most like this one, as large as it is.

A training view is an object of a training category alone on a table, made from its number. What it looks like is where
its visible points lie in the view frame, divided by their longest side. The descriptors of all training views are in
nearest.npz; `python benchmarks/nearest_index.py` makes them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.data.held_out import TRAINING_CATEGORIES
from sam3d_ros.data.objects import ObjectModel, make_object
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Light, Scene, look_at, place
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.perception.view import object_view
from sam3d_ros.types import Camera, Float, Frame, Mask, Mesh, ObjectView, Support, UInt8, UpSource

INDEX = Path(__file__).with_name("nearest.npz")
OBJECTS = 30 * len(TRAINING_CATEGORIES)
VIEWS = 4
"""Of each object."""
CELLS = 8
SIDE = 1.2
"""Of the descriptor's grid, where the longest side of the visible points is 1."""
LEVELS = 63
"""Steps of a descriptor's values in the file: the fewer, the smaller it is."""
SIZE_WEIGHT = 0.3
"""Of the difference in size, by its logarithm, beside the distance of two descriptors of length 1."""
_CAMERA = Camera(160, 160, 300.0, 300.0, 79.5, 79.5)


@dataclass(frozen=True)
class TrainingView:
    """points: (N, 3) visible points in the view frame, m. mesh: the whole object in the view frame, m."""

    points: Float
    mesh: Mesh


@dataclass(frozen=True)
class Index:
    """grids: (N, CELLS^3) uint8 descriptors times LEVELS. sizes_m: (N,) float32 longest side of the visible points."""

    grids: UInt8
    sizes_m: Float


def nearest_shape(points_view: Float) -> Mesh:
    """The shape in the view frame, m. points_view: (N, 3) visible points in the view frame."""
    index = read_index()
    size = longest_side(points_view)
    distances = np.square(index.grids / LEVELS - descriptor(points_view)).sum(axis=1)
    distances += np.square(SIZE_WEIGHT * np.log(index.sizes_m / size))
    best = training_view(int(np.argmin(distances)))
    # The origin is on the support under the points, in both views: what stands there still does.
    vertices = best.mesh.vertices * np.float32(size / longest_side(best.points))
    return Mesh(vertices, best.mesh.faces)


def training_view(number: int) -> TrainingView:
    """Training view `number`, from 0 to OBJECTS * VIEWS - 1: the same on every machine."""
    object_number, view_number = divmod(number, VIEWS)
    model = _training_object(object_number)
    rng = np.random.default_rng([object_number, 11, view_number])
    for _ in range(100):
        (placed,) = place([model], rng, radius=0.0, lying=0.3)
        middle = placed.T_world_obj[:3, 3]
        angle, down = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(20, 60))
        away = np.array([np.cos(angle) * np.cos(down), np.sin(angle) * np.cos(down), np.sin(down)])
        distance = max(rng.uniform(0.5, 0.9), 2.2 * float(model.size_m.max()))
        T_world_cam = look_at(middle + distance * away, middle)
        scene = Scene((placed,), (), Light(np.array([0.0, 0.0, 1.0])))
        seen = SceneRenderer(scene).render(_CAMERA, T_world_cam, antialias=False)
        up_cam, T_cam_world = T_world_cam[2, :3], inverse(T_world_cam)
        support = Support(up_cam, float(up_cam @ T_cam_world[:3, 3]), UpSource.GRAVITY)
        frame = Frame(None, points_from_depth(seen.depth_m, _CAMERA), _CAMERA)
        mask = Mask(1, seen.labels == 1)
        view = object_view(frame, mask, support, MaskLimits(), mask.pixels)
        if isinstance(view, ObjectView):
            T_view_cam = inverse(view.T_cam_view)
            vertices = apply(
                T_view_cam @ T_cam_world @ placed.T_world_obj, model.mesh.vertices.astype(np.float64)
            )
            points = apply(T_view_cam, view.points_cam.astype(np.float64))
            return TrainingView(points, Mesh(vertices.astype(np.float32), model.mesh.faces))
    raise RuntimeError(f"training view {number} shows nothing")


@lru_cache(maxsize=1)
def _training_object(number: int) -> ObjectModel:
    category = TRAINING_CATEGORIES[number % len(TRAINING_CATEGORIES)]
    return make_object(category, np.random.default_rng([number, 10]))


def longest_side(points: Float) -> float:
    """Of the box around points (N, 3), single stray ones aside."""
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    return float((high - low).max())


def descriptor(points_view: Float) -> Float:
    """(CELLS^3,) of length 1: square roots of the shares of the points in the cells of a grid on the support, softened
    by two thirds of a cell."""
    scaled = points_view / longest_side(points_view)
    low = np.array([-SIDE / 2, -SIDE / 2, -(SIDE - 1) / 2])
    shares, _ = np.histogramdd(scaled, bins=CELLS, range=[(a, a + SIDE) for a in low])
    soft = ndimage.gaussian_filter(shares, 0.67, mode="constant")
    found: Float = np.sqrt(soft / max(soft.sum(), 1e-12)).ravel()
    return found


def make_index(numbers: range = range(OBJECTS * VIEWS)) -> Index:
    """The descriptors of some training views: a minute or two for all."""
    views = [training_view(number).points for number in numbers]
    grids = np.rint(LEVELS * np.array([descriptor(points) for points in views])).astype(np.uint8)
    return Index(grids, np.array([longest_side(points) for points in views], np.float32))


@lru_cache(maxsize=1)
def read_index() -> Index:
    """The index of the package."""
    with np.load(INDEX, allow_pickle=False) as file:
        return Index(file["grids"], file["sizes_m"])


def write_index(path: Path, index: Index) -> None:
    """An index as a file."""
    np.savez_compressed(path, grids=index.grids, sizes_m=index.sizes_m)
