"""What the texture & refinement stage learns: fine distances, and the colours of the whole surface without light."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.compact.colours import seen_colours
from sam3d_ros.compact.lift import cells_of
from sam3d_ros.data.distance import DistanceVolume
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.train.compact.store import load, pack, quantised, save, unpack_object, unquantised
from sam3d_ros.types import Float, UInt8

SAMPLES = 12_000
NEAR = 0.6
"""Colours are learned where the coarse distance, over the truncation, is below this."""


@dataclass(frozen=True)
class Coloured:
    """An object's distances, and points (N, 3) of its surface with their colours (N, 3), object frame."""

    volume: DistanceVolume
    tree: cKDTree
    colors: UInt8


@dataclass(frozen=True)
class ColouredObjects:
    """Objects of a training folder by number; the last `kept` stay in memory."""

    folder: Path
    kept: int = 64
    _cache: OrderedDict[int, Coloured] = field(default_factory=OrderedDict, repr=False, compare=False)

    def __getitem__(self, number: int) -> Coloured:
        if number not in self._cache:
            mesh, volume = unpack_object(load(self.folder / f"{number:06d}.npz"))
            rng = np.random.default_rng(number)
            corners = mesh.vertices[mesh.faces]
            area = np.linalg.norm(
                np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
            )
            face = rng.choice(len(area), SAMPLES, p=area / area.sum())
            weight = rng.dirichlet((1, 1, 1), SAMPLES).astype(np.float32)[..., None]
            assert mesh.colors is not None
            colors = (mesh.colors[mesh.faces[face]] * weight).sum(axis=1)
            points = (corners[face] * weight).sum(axis=1)
            self._cache[number] = Coloured(volume, cKDTree(points), np.rint(colors).astype(np.uint8))
            while len(self._cache) > self.kept:
                self._cache.popitem(last=False)
        return self._cache[number]


def fine_example(
    thing: Coloured,
    box: ObjectBox,
    T_cam_view: Float,
    T_cam_obj: Float,
    points_cam: Float,
    colors: UInt8,
    coarse: Float,
    side: int,
) -> dict[str, Float]:
    """coarse: (G, G, G) true coarse distances. Returns fine (side, side, side) distances in fine cells over the
    truncation; seen (4, G, G, G) as `seen_colours`; colour (3, G, G, G) of the nearest point of the surface in -1 ..
    1, 0 away from it; all float32."""
    T_obj_view = inverse(T_cam_obj) @ T_cam_view
    fine, grid = box.grid(side), box.grid(len(coarse))
    metres = thing.volume.at(apply(T_obj_view, fine.points().astype(np.float64))).reshape(fine.shape)
    near = np.abs(coarse) < NEAR
    _, nearest = thing.tree.query(apply(T_obj_view, grid.points().astype(np.float64)[near.ravel()]))
    colour = np.zeros((3, *coarse.shape), np.float32)
    colour[:, near] = thing.colors[nearest].T.astype(np.float32) / 127.5 - 1
    points_view = apply(inverse(T_cam_view), points_cam.astype(np.float64))
    return {
        "fine": cells_of(metres, fine),
        "seen": seen_colours(points_view, colors, grid),
        "colour": colour,
    }


def fill(
    folder: Path,
    side: int,
    scenes: Container[int],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make fine/NUMBER.npz for those of these scenes that are in a training folder and have none, in the order of
    their examples. progress(scene, examples in it) is called after each; what it raises stops the work."""
    things = ColouredObjects(folder / "objects")
    for path in sorted((folder / "scenes").glob("*.npz")):
        scene, target = int(path.stem), folder / "fine" / path.name
        if scene not in scenes or target.exists():
            continue
        looks = load(folder / "looks" / path.name)
        shapes = unquantised("shape", load(path)["shape"])
        made = [
            quantised(
                fine_example(
                    things[int(looks["thing"][i])],
                    ObjectBox(*looks["box"][i]),
                    looks["T_cam_view"][i],
                    looks["T_cam_obj"][i],
                    points,
                    colors,
                    shapes[i],
                    side,
                )
            )
            for i, (points, colors) in enumerate(_clouds(looks))
        ]
        save(target, pack(made))
        if progress is not None:
            progress(scene, len(made))


def _clouds(looks: dict[str, NDArray[Any]]) -> list[tuple[Float, UInt8]]:
    """Points (N, 3) and colours (N, 3) of every look."""
    ends = np.cumsum(looks["shape"][:, 2])[:-1]
    return list(zip(np.split(looks["points"], ends), np.split(looks["colors"], ends), strict=True))
