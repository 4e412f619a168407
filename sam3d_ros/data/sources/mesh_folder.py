"""Any folder of GLB, GLTF, OBJ, PLY, STL or OFF files as an object source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.data.sources.raw import in_folder, read_raw
from sam3d_ros.data.sources.solidify import clean
from sam3d_ros.data.sources.source import Unusable, check_index
from sam3d_ros.perception.frames import R_OBJ_GLTF
from sam3d_ros.types import InputError

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
SIZE_M = (0.02, 0.5)
"""Longest side of an object that a robot's camera sees on a table."""


@dataclass(frozen=True)
class MeshFolder:
    """Every mesh file below `folder`, in the order of their paths; the name of the folder a file lies in is
    its category.

    unit_m: what 1 in a file means; glTF is always in metres. z_up: False for files with y up; glTF always has y up.
    size_m: objects whose longest side is outside are left out, or, with `rescale`, get a size in between drawn
    from their index: most artists' files have no real unit.
    """

    folder: Path
    name: str = "meshes"
    unit_m: float = 1.0
    z_up: bool = True
    size_m: tuple[float, float] = SIZE_M
    rescale: bool = False
    licence: str = "unknown"

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Paths relative to the folder. Raises InputError where there are none."""
        root = Path(self.folder)
        found = sorted(p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"{root} holds no {', '.join(SUFFIXES)} files")
        return tuple(found)

    @property
    def names(self) -> Sequence[str]:
        return [str(path) for path in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> ObjectModel:
        check_index(index, len(self), self.name)
        path = Path(self.folder) / self.files[index]
        gltf = path.suffix.lower() in (".glb", ".gltf")
        raw = read_raw(path.read_bytes(), path.suffix.lower()[1:], in_folder(path.parent))
        axes = R_OBJ_GLTF if gltf or not self.z_up else np.eye(3)
        raw = raw.moved(axes * (1.0 if gltf else self.unit_m))
        longest, (low, high) = float(np.ptp(raw.points, axis=0).max()), self.size_m
        if self.rescale:
            # Small objects are more frequent on tables: even in the logarithm.
            wanted = float(np.exp(np.random.default_rng(index).uniform(np.log(low), np.log(high))))
            raw = raw.moved(np.eye(3) * (wanted / longest))
        elif not low <= longest <= high:
            raise Unusable(f"{longest:.3f} m long, wanted {low} to {high} m")
        mesh, _ = clean(raw)
        category = path.parent.name if path.parent != Path(self.folder) else path.stem
        return ObjectModel(category, mesh, UNKNOWN, 0.15, str(self.files[index]), self.licence)
