"""Training examples on disk, one file per scene, and the objects they show.

    scenes/000012.npz      every example of scene 12, grids and pictures as int8
    looks/000012.npz       the same looks: crops, points, poses, boxes
    fine/000012.npz        what the second stage learns from them, made by `fine.py`
    objects/000031.npz     mesh and distance volume of object 31

Files appear under their name only when they are complete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.compact.ask import Question
from sam3d_ros.data.distance import DistanceVolume
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.train.compact.objects import TrainingObject
from sam3d_ros.train.compact.scenes import Look
from sam3d_ros.types import Float, InputError, Mesh

Arrays = dict[str, NDArray[Any]]
QUANTISED = ("grid", "picture", "shape", "fine", "seen", "colour")
"""Arrays in -1 .. 1 that are stored as int8 in steps of 1 / STEPS."""
STEPS = 127


def pack(examples: Sequence[Arrays]) -> Arrays:
    """Examples as `quantised` made them, stacked along a first axis."""
    return {name: np.stack([e[name] for e in examples]) for name in examples[0]}


def quantised(example: Mapping[str, Float]) -> Arrays:
    """An example as it is stored, a quarter of the size."""
    return {
        name: np.rint(np.clip(array, -1, 1) * STEPS).astype(np.int8) if name in QUANTISED else array
        for name, array in example.items()
    }


def unquantised(name: str, value: NDArray[Any]) -> NDArray[np.float32]:
    """float32 of a stored array."""
    return np.asarray(value, np.float32) / np.float32(STEPS if name in QUANTISED else 1)


def pack_looks(items: Sequence[tuple[Look, Question]]) -> dict[str, NDArray[Any]]:
    """Crops and point clouds of different sizes end to end, `shape` (N, 3) says how large each is (rows, columns,
    points); everything else stacked. Poses and boxes as in Look and Question."""
    arrays: dict[str, list[Any]] = {}
    for look, question in items:
        seen, camera = question.seen, look.frame.camera
        rows, columns = seen.depth.shape
        window = np.s_[seen.y0 : seen.y0 + rows, seen.x0 : seen.x0 + columns]
        assert look.frame.rgb is not None
        entry: dict[str, Any] = {
            "rgb": look.frame.rgb[window].reshape(-1, 3),
            "depth": look.frame.points_cam[window][..., 2].ravel(),
            "mask": seen.mask.ravel(),
            "points": look.view.points_cam,
            "colors": look.view.colors,
            "shape": np.array([rows, columns, len(look.view.points_cam)]),
            "camera": np.array([camera.fx, camera.fy, camera.cx - seen.x0, camera.cy - seen.y0]),
            "T_cam_view": look.view.T_cam_view,
            "T_cam_obj": look.T_cam_obj,
            "up": look.view.support.up_cam,
            "offset": np.nan if look.view.support.offset is None else look.view.support.offset,
            "box": np.stack([question.box.low, question.box.size]),
            "thing": look.thing.number,
            "visible": look.visible,
        }
        for name, value in entry.items():
            arrays.setdefault(name, []).append(value)
    flat = ("rgb", "depth", "mask", "points", "colors")
    return {n: np.concatenate(v) if n in flat else np.stack(v) for n, v in arrays.items()}


def pack_object(thing: TrainingObject) -> dict[str, NDArray[Any]]:
    """Mesh and distance volume."""
    mesh, volume = thing.model.mesh, thing.volume
    colors = np.full((len(mesh.vertices), 3), 128, np.uint8) if mesh.colors is None else mesh.colors
    return {
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "colors": colors,
        "values": volume.values.astype(np.float16),
        "origin": volume.grid.origin,
        "spacing": volume.grid.spacing,
        "category": np.array(thing.model.category),
    }


def unpack_object(file: Mapping[str, NDArray[Any]]) -> tuple[Mesh, DistanceVolume]:
    """What `pack_object` made."""
    values = file["values"].astype(np.float32)
    grid = Grid(file["origin"], file["spacing"], (values.shape[0], values.shape[1], values.shape[2]))
    return Mesh(file["vertices"], file["faces"], file["colors"]), DistanceVolume(grid, values)


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` as a file that is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its `allow_pickle` is no array
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Arrays:
    """The arrays of one file; nothing in it is executed."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def scene_files(folders: Sequence[Path], fine: bool) -> list[Path]:
    """Files of scenes/ in these folders; fine: those that have a file in fine/. Raises InputError where there are
    none."""
    scenes = [path for folder in folders for path in sorted((folder / "scenes").glob("*.npz"))]
    if fine:
        scenes = [path for path in scenes if _fine(path).exists()]
    if not scenes:
        what = "training scenes with fine examples" if fine else "training scenes"
        raise InputError(f"no {what} in {', '.join(map(str, folders))}")
    return scenes


def examples_of(path: Path, fine: bool) -> Arrays:
    """Every example of a file of scenes/, as it is stored; fine: with what the second stage learns."""
    return {**load(path), **(load(_fine(path)) if fine else {})}


def _fine(path: Path) -> Path:
    return path.parents[1] / "fine" / path.name
