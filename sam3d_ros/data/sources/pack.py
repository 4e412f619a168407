"""Objects of one source in one file: safetensors, which is read in place and holds no code.

Tensors `<n>.vertices` float32, `<n>.faces` uint16 or int32, `<n>.colors` uint8. The header's `objects` lists name,
category, licence, symmetry, gloss and the SHA-256 of the three tensors of each, `rejected` what was left out and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open  # type: ignore[import-not-found,unused-ignore]
from safetensors.numpy import save  # type: ignore[import-not-found,unused-ignore]

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import Symmetry
from sam3d_ros.data.sources.source import check_index
from sam3d_ros.mesh.export import write_atomic
from sam3d_ros.types import InputError, Mesh

FORMAT = "sam3d-objects-1"
PARTS = ("vertices", "faces", "colors")


def encode(models: Iterable[ObjectModel], rejected: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a pack. Raises InputError for a mesh without colours."""
    tensors: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    for number, model in enumerate(models):
        mesh = model.mesh
        if mesh.colors is None:
            raise InputError(f"{model.name} has no colours")
        small = len(mesh.vertices) < 65536
        own = {
            "vertices": np.ascontiguousarray(mesh.vertices, np.float32),
            "faces": np.ascontiguousarray(mesh.faces, np.uint16 if small else np.int32),
            "colors": np.ascontiguousarray(mesh.colors, np.uint8),
        }
        tensors |= {f"{number}.{part}": value for part, value in own.items()}
        entries.append(_entry(model) | {"sha256": digest(own)})
    header = {"format": FORMAT, "objects": json.dumps(entries), "rejected": json.dumps(dict(rejected or {}))}
    return bytes(save(tensors, metadata=header))


def write_pack(path: Path, models: Iterable[ObjectModel], rejected: Mapping[str, str] | None = None) -> str:
    """Write a pack and beside it `<name>.sha256` as sha256sum writes it; returns the SHA-256 of the file."""
    data = encode(models, rejected)
    write_atomic(path, data)
    total = hashlib.sha256(data).hexdigest()
    write_atomic(path.with_name(f"{path.name}.sha256"), f"{total}  {path.name}\n".encode())
    return total


@dataclass(frozen=True)
class Packed:
    """A pack as an object source; every object is checked against its sum when it is loaded."""

    path: Path

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def names(self) -> Sequence[str]:
        return [entry["name"] for entry in self.entries]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """One per object: name, category, licence, symmetry, gloss, sha256."""
        return self._header["objects"]  # type: ignore[no-any-return]

    @property
    def rejected(self) -> dict[str, str]:
        """Name and reason of what was left out."""
        return self._header["rejected"]  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def _file(self) -> Any:
        try:
            return safe_open(self.path, framework="numpy")
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.path} is not a pack of objects: {error}") from None

    @cached_property
    def _header(self) -> dict[str, Any]:
        metadata = self._file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise InputError(f"{self.path} is not a pack of objects of the format {FORMAT}")
        return {key: json.loads(metadata[key]) for key in ("objects", "rejected")}

    def load(self, index: int) -> ObjectModel:
        """Raises InputError where the object's bytes are not those that were packed."""
        check_index(index, len(self), self.name)
        entry = self.entries[index]
        own = {part: self._file.get_tensor(f"{index}.{part}") for part in PARTS}
        if digest(own) != entry["sha256"]:
            raise InputError(f"{self.path}: object {index} ({entry['name']}) does not match its checksum")
        mesh = Mesh(own["vertices"], own["faces"].astype(np.int32), own["colors"])
        rotations = tuple(np.array(R, np.float64).reshape(3, 3) for R in entry["rotations"])
        symmetry = Symmetry(rotations, bool(entry["about_z"]), bool(entry["symmetry_known"]))
        return ObjectModel(
            entry["category"], mesh, symmetry, float(entry["gloss"]), entry["name"], entry["licence"]
        )

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}


def digest(tensors: Mapping[str, Any]) -> str:
    """SHA-256 over the bytes of the three tensors of an object."""
    total = hashlib.sha256()
    for part in PARTS:
        total.update(tensors[part].tobytes())
    return total.hexdigest()


def _entry(model: ObjectModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "category": model.category,
        "licence": model.licence,
        "gloss": model.gloss,
        "rotations": [np.asarray(R).ravel().tolist() for R in model.symmetry.rotations],
        "about_z": model.symmetry.about_z,
        "symmetry_known": model.symmetry.known,
    }
