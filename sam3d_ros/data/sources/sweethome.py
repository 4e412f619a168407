"""Debian's sweethome3d-furniture: artist meshes with images and real sizes, under CC0 or CC-BY, of which those
small enough for a table are taken.

A library (.sh3f) is a zip file with OBJ models (y up) and PluginFurnitureCatalog.properties, which gives the width
(x), depth (z) and height (y) in cm and the creator of each.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.data.sources.raw import Within, read_raw
from sam3d_ros.data.sources.solidify import clean
from sam3d_ros.data.sources.source import Unusable, check_index
from sam3d_ros.perception.frames import R_OBJ_GLTF
from sam3d_ros.types import Float, InputError

CATALOG = "PluginFurnitureCatalog.properties"
LARGEST_M, SMALLEST_M = 0.45, 0.03
CM = 0.01


@dataclass(frozen=True)
class Item:
    """One model of a library. size_m: (3,) width, depth, height. rotation: (3, 3) to apply in the file's axes."""

    library: str
    model: str
    title: str
    category: str
    licence: str
    size_m: Float
    rotation: Float


@dataclass(frozen=True)
class SweetHome:
    """folder: where the .sh3f libraries lie (usr/share/sweethome3d/furniture of the package)."""

    folder: Path
    name: str = "sweethome3d"

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Everything with every side below LARGEST_M and the longest above SMALLEST_M, by library and model."""
        libraries = sorted(Path(self.folder).glob("*.sh3f"))
        if not libraries:
            raise InputError(f"{self.folder} holds no .sh3f libraries")
        found = [item for path in libraries for item in read_catalog(path)]
        small = [i for i in found if i.size_m.max() < LARGEST_M and i.size_m.max() > SMALLEST_M]
        return tuple(sorted(small, key=lambda i: (i.library, i.model)))

    @property
    def names(self) -> Sequence[str]:
        return [f"{i.library}/{PurePosixPath(i.model).stem}" for i in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def load(self, index: int) -> ObjectModel:
        check_index(index, len(self), self.name)
        item = self.items[index]
        with zipfile.ZipFile(Path(self.folder) / item.library) as archive:
            model = PurePosixPath(item.model.lstrip("/"))
            try:
                data = archive.read(str(model))
            except KeyError:
                raise Unusable(f"{item.library} has no {model}") from None
            resolver = Within(lambda name: _member(archive, name), str(model.parent))
            raw = read_raw(data, model.suffix.lower()[1:], resolver)
        raw = raw.moved(R_OBJ_GLTF @ item.rotation)
        extent = np.ptp(raw.points, axis=0)
        if not (extent > 0).all():
            raise Unusable("flat: it has no extent along an axis")
        raw = raw.moved(np.diag(item.size_m / extent))
        mesh, _ = clean(raw)
        return ObjectModel(item.category, mesh, UNKNOWN, 0.2, self.names[index], item.licence)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise FileNotFoundError(name) from None


def read_catalog(path: Path) -> list[Item]:
    """The movable models of one library. Raises InputError where it is damaged; entries without sizes are
    left out."""
    try:
        with zipfile.ZipFile(path) as archive:
            values = properties(archive.read(CATALOG).decode("latin-1"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a furniture library: {error}") from None
    items = []
    for key, model in values.items():
        number = key.removeprefix("model#")
        if number == key or values.get(f"doorOrWindow#{number}", "").lower() == "true":
            continue
        try:
            size = np.array([float(values[f"{side}#{number}"]) for side in ("width", "depth", "height")]) * CM
            numbers = [float(x) for x in values.get(f"modelRotation#{number}", "1 0 0 0 1 0 0 0 1").split()]
            rotation = np.array(numbers).reshape(3, 3)
        except (KeyError, ValueError):
            continue
        creator = values.get(f"creator#{number}", "unknown author")
        title = values.get(f"name#{number}", "")
        category = re.sub(r"[^a-z]+", "_", title.lower()).strip("_") or "thing"
        licence = f"{values.get('license', 'unknown')}; by {creator}"
        items.append(Item(path.name, model, title, category, licence, size, rotation))
    return items


def properties(text: str) -> Mapping[str, str]:
    """The entries of a Java properties file, with its \\uXXXX signs."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "!")):
            plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value)
            entries[key.strip()] = plain.strip()
    return entries
