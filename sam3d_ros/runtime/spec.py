"""What a graph takes and gives, as data: names, dtypes, shapes with named dimensions, sizes to optimise for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from sam3d_ros.types import InputError

from .external_data import external_files

DTYPES = ("float32", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
"""Element types by numpy's names. numpy has no bfloat16: such tensors stay on the device behind a handle."""

Profile: TypeAlias = Mapping[str, tuple[int, int, int]]
"""Named dimension -> smallest, usual and largest size. A graph may have several, for example one per number of
voxels; TensorRT optimises for each, the other backends only need them to know what is allowed."""


class Shaped(Protocol):
    """What numpy arrays, torch tensors and device handles have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> object: ...


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. A string in `shape` names a dimension; equal names are equal sizes in one call."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class StoredFile:
    """A file of a bundle: its plain name inside the bundle's folder, its size and its hash."""

    name: str
    bytes: int
    sha256: str

    def verify(self, folder: Path) -> Path:
        """The file's path. Raises InputError where it is missing, truncated or not the file that was written."""
        path = self.check_size(folder)
        digest = sha256_of(path)
        if digest != self.sha256:
            raise InputError(f"{path}: damaged or foreign, its SHA-256 is {digest}, expected {self.sha256}")
        return path

    def check_size(self, folder: Path) -> Path:
        """As `verify`, without reading the content."""
        path = folder / self.name
        if not path.is_file():
            raise InputError(f"{path}: missing")
        if (size := path.stat().st_size) != self.bytes:
            raise InputError(f"{path}: {size} bytes, expected {self.bytes}; damaged or not fully copied")
        return path


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX graph: where it lies and its interface.

    data: files with the graph's large tensors (ONNX external data), in the same folder; they may be another graph's
    data and the bundle's weights too. precision: of the weights and the arithmetic, "fp32", "bf16" or "fp16". profiles:
    empty where no dimension is named.
    """

    name: str
    folder: Path
    file: StoredFile
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[StoredFile, ...] = ()
    profiles: tuple[Profile, ...] = ()
    precision: str = "fp32"
    opset: int = 0

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.folder / self.file.name

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The graph and its data."""
        return (self.file, *self.data)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Named dimensions of the inputs, in the order in which they appear."""
        return tuple(dict.fromkeys(s for t in self.inputs for s in t.shape if isinstance(s, str)))

    def verify(self) -> Path:
        """The ONNX file, after every byte of graph and data was checked. Raises InputError.

        Links are followed, as colcon's symlink installs make them: runtimes look for the data beside the file itself.
        """
        path = self.file.verify(self.folder).resolve()
        if foreign := set(external_files(path)) - {d.name for d in self.data}:
            raise InputError(f"{self.path}: reads files that its manifest does not list: {sorted(foreign)}")
        for file in self.data:
            file.verify(path.parent)
        return path

    def bind(self, inputs: Mapping[str, Shaped]) -> dict[str, int]:
        """Sizes of the named dimensions in a call; raises InputError where the inputs do not fit the graph."""
        missing = [t.name for t in self.inputs if t.name not in inputs]
        unknown = sorted(set(inputs) - {t.name for t in self.inputs})
        if missing or unknown:
            parts = [("missing", missing), ("unknown", unknown)]
            said = "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts if names)
            raise InputError(f"inputs of {self.name}: {said}")
        sizes: dict[str, int] = {}
        for spec in self.inputs:
            given = inputs[spec.name]
            if dtype_name(given) != spec.dtype:
                raise InputError(f"{self.name}: {spec} was given as {dtype_name(given)}")
            fits = len(given.shape) == len(spec.shape) and all(
                sizes.setdefault(want, got) == got if isinstance(want, str) else want == got
                for want, got in zip(spec.shape, given.shape, strict=True)
            )
            if not fits:
                known = ", ".join(f"{k} = {v}" for k, v in sizes.items())
                raise InputError(
                    f"{self.name}: {spec} was given as {list(given.shape)}"
                    + (f" with {known}" if known else "")
                )
        return sizes


def dtype_name(value: Shaped) -> str:
    """numpy's name of an element type: "float32" for numpy.float32, torch.float32 and the handles' own strings."""
    return str(value.dtype).removeprefix("torch.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
