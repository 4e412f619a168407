"""Weights that lie once in a bundle: a graph reads them out of the safetensors file beside it.

A safetensors file is the length of its header (8 bytes, little endian), the header, and the tensors one after another.
ONNX external data is a file name, an offset and a length, so a graph can name a tensor in it as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Of a tensor in its file. offset, length: bytes. dtype: by safetensors' names, "F16" or another."""

    offset: int
    length: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoredWeights:
    """A safetensors file and where each of its tensors lies."""

    path: Path
    places: Mapping[str, Place]

    def tensor(self, name: str) -> NDArray[np.float16]:
        """A copy of one tensor. Raises ValueError where it is not in fp16."""
        place = self.places[name]
        if place.dtype != "F16":
            raise ValueError(f"{self.path}: {name} is {place.dtype}, not F16")
        count = place.length // 2
        return np.fromfile(self.path, "<f2", count, offset=place.offset).reshape(place.shape)


def stored_weights(path: Path) -> StoredWeights:
    """Read a file's header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        first, stop = entry["data_offsets"]
        places[name] = Place(8 + length + first, stop - first, entry["dtype"], tuple(entry["shape"]))
    return StoredWeights(path, places)


def refer(model: Any, weights: StoredWeights, initializers: Mapping[str, str]) -> None:
    """Let an onnx_ir model read weights from the file, in fp16, each with a cast to fp32 before it is used.

    initializers: name in the model -> name in the file; those that the model has no use for are passed over. Raises
    ValueError where one is not the file's tensor.
    """
    import onnx_ir as ir

    graph = model.graph
    for own, name in initializers.items():
        if (value := graph.initializers.get(own)) is None:
            continue
        if not np.array_equal(value.const_value.numpy().astype(np.float16), weights.tensor(name)):
            raise ValueError(f"{weights.path}: {name} is not the network's")
        place = weights.places[name]
        half = ir.ExternalTensor(
            weights.path.name,
            place.offset,
            place.length,
            ir.DataType.FLOAT16,
            shape=ir.Shape(place.shape),
            name=f"{name}_half",
            base_dir=weights.path.parent,
        )
        stored = ir.val(half.name, const_value=half)
        cast = ir.node("Cast", [stored], attributes={"to": int(ir.DataType.FLOAT)})
        cast.outputs[0].name = name
        cast.outputs[0].type, cast.outputs[0].shape = value.type, value.shape
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        del graph.initializers[own]
        graph.initializers[half.name] = stored
        graph.insert_before(graph[0], cast)
