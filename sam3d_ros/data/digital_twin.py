"""Reading scenes laid out like a sequence of Aria Digital Twin, after its recordings were turned into pictures.

    <folder>/instances.json       {uid: {"instance_name": ..., "prototype_name": ...}}        as ADT has it
    <folder>/scene_objects.csv    object_uid, timestamp[ns], t_wo_{x,y,z}[m], q_wo_{w,x,y,z}   as ADT has it; -1: always
    <folder>/cameras.csv          timestamp[ns], fx, fy, cx, cy, t_wc_{x,y,z}[m], q_wc_{w,x,y,z}   rectified colour
    <folder>/rgb/<ns>.png (.jpg)  <folder>/depth/<ns>.png 16 bit mm   <folder>/segmentation/<ns>.png 16 bit, 1 + rank
    <folder>/meshes/<prototype_name>.glb

ADT's own pictures are inside VRS files with fisheye lenses; its tools write rectified ones. In segmentation, value v
is the object with the v-th smallest uid of instances.json. World and object frames are ADT's; objects have the ids v,
and come as the types of `bop.py`.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from sam3d_ros.data.artist_folder import read_depth, read_mesh, read_rgb
from sam3d_ros.data.bop import BopImage, BopModel, Truth
from sam3d_ros.perception.frames import inverse, matrix_from_quaternion, transform, xyzw_from_wxyz
from sam3d_ros.types import Camera, Float, InputError, Mask

ALWAYS = -1
"""Time of objects that do not move."""


@dataclass(frozen=True)
class TwinScene:
    """One sequence. Its methods raise InputError for files that are missing or damaged."""

    folder: Path

    @cached_property
    def uids(self) -> tuple[int, ...]:
        """Of the objects, ascending; object v has uids[v - 1]."""
        return tuple(sorted(self._instances))

    @cached_property
    def _instances(self) -> dict[int, dict[str, str]]:
        path = self.folder / "instances.json"
        try:
            table = json.loads(path.read_text())
            return {int(uid): dict(entry) for uid, entry in table.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {type(error).__name__}: {error}") from None

    @cached_property
    def _poses(self) -> dict[int, dict[int, Float]]:
        """{uid: {time: T_world_obj}}"""
        poses: dict[int, dict[int, Float]] = {}
        for row in _rows(self.folder / "scene_objects.csv"):
            poses.setdefault(int(_number(row, "object_uid")), {})[int(_number(row, "timestamp"))] = _pose(
                row, "wo"
            )
        return poses

    @cached_property
    def _cameras(self) -> dict[int, dict[str, str]]:
        return {int(_number(row, "timestamp")): row for row in _rows(self.folder / "cameras.csv")}

    def images(self) -> list[int]:
        """Times in ns, ascending."""
        return sorted(self._cameras)

    def read_image(self, time_ns: int) -> BopImage:
        """One picture with masks and poses of all objects that are seen in it. The pose nearest in time counts."""
        if time_ns not in self._cameras:
            raise InputError(f"{self.folder / 'cameras.csv'} has no time {time_ns}")
        row = self._cameras[time_ns]
        found = [p for p in (self.folder / "rgb" / f"{time_ns}{s}" for s in (".png", ".jpg")) if p.is_file()]
        rgb = read_rgb(found[0] if found else self.folder / "rgb" / f"{time_ns}.png")
        size = rgb.shape[:2]
        path = self.folder / "segmentation" / f"{time_ns}.png"
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2 or labels.shape != size:
            raise InputError(f"{path} must have one channel of {size[1]}x{size[0]} pixels")
        fx, fy, cx, cy = (_number(row, name) for name in ("fx", "fy", "cx", "cy"))
        T_cam_world = inverse(_pose(row, "wc"))
        masks, truths = [], []
        for value in sorted(int(v) for v in np.unique(labels) if v > 0):
            if value > len(self.uids):
                raise InputError(f"{path}: value {value}, but instances.json has {len(self.uids)} objects")
            masks.append(
                Mask(value, labels == value, self._instances[self.uids[value - 1]].get("instance_name", ""))
            )
            poses = self._poses.get(self.uids[value - 1], {})
            if poses:
                nearest = min(poses, key=lambda t: 0 if t == ALWAYS else abs(t - time_ns))
                truths.append(Truth(value, T_cam_world @ poses[nearest], value))
        camera = Camera(size[1], size[0], fx, fy, cx, cy)
        depth = read_depth(self.folder / "depth" / f"{time_ns}.png", size)
        return BopImage(time_ns, rgb, depth, camera, tuple(masks), tuple(truths))

    def read_model(self, obj_id: int) -> BopModel:
        """The mesh of object `obj_id` in its own frame, as glTF is turned: z up."""
        if not 1 <= obj_id <= len(self.uids):
            raise InputError(f"{self.folder} has objects 1 to {len(self.uids)}, not {obj_id}")
        entry = self._instances[self.uids[obj_id - 1]]
        name = str(entry.get("prototype_name", ""))
        if not re.fullmatch(r"[\w][\w .-]*", name):
            raise InputError(f"prototype {name!r} is not a plain file name")
        path = self.folder / "meshes" / f"{name}.glb"
        if not path.is_file():
            raise InputError(f"{path} is missing")
        return BopModel(read_mesh(path), name)


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, its columns without their units."""
    try:
        with path.open(newline="") as file:
            reader = csv.reader(file)
            names = [name.partition("[")[0].strip() for name in next(reader)]
            return [dict(zip(names, row, strict=True)) for row in reader if row]
    except (OSError, StopIteration, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {type(error).__name__}: {error}") from None


def _number(row: dict[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, ValueError):
        raise InputError(f"column {name} is missing or not a number in {row}") from None
    if not np.isfinite(value):
        raise InputError(f"column {name} is not finite in {row}")
    return value


def _pose(row: dict[str, str], frames: str) -> Float:
    """(4, 4) from t_<frames>_x .. z in m and q_<frames>_w .. z."""
    t = np.array([_number(row, f"t_{frames}_{axis}") for axis in "xyz"])
    q = np.array([_number(row, f"q_{frames}_{axis}") for axis in "wxyz"])
    try:
        return transform(matrix_from_quaternion(xyzw_from_wxyz(q)), t)
    except ValueError as error:
        raise InputError(str(error)) from None
