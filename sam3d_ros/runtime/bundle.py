"""A bundle: a folder with `manifest.json`, ONNX graphs and safetensors; everything the pipeline needs of a model.

    engines/NAME/manifest.json   {"format": 1, "name", "version", "description", "licence", "training": {...},
                                  "settings": {...}, "graphs": {name: {...}}, "weights": {name: {...}}}
    engines/NAME/*.onnx  *.data  *.safetensors

The manifest lists every file with size and SHA-256, and every graph with its inputs and outputs. Files are named
without folders, so a manifest never points outside of its own. One file may have several roles, and is then listed in
each: a graph may read its tensors (`data`) out of a safetensors file, as those of engines/compact do. Reading runs no
code: all three formats are data.

    bundle = read_bundle(Path("engines/compact"))
    encode = backend.load(bundle.graphs["encode"])        # hashes are checked here
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from sam3d_ros.types import InputError

from .spec import DTYPES, GraphSpec, Profile, StoredFile, TensorSpec, sha256_of

FORMAT = 1
MANIFEST = "manifest.json"
PRECISIONS = ("fp32", "bf16", "fp16")
T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """What a bundle says about itself. training: how it was made (data, steps, seeds, scores), free-form.
    settings: what the code around the graphs must know (sizes, thresholds, means), free-form."""

    name: str
    version: str
    description: str
    licence: str
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: its manifest is complete and every file is there in its full size."""

    folder: Path
    about: About
    graphs: Mapping[str, GraphSpec]
    weights: Mapping[str, StoredFile]

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files but the manifest, each once."""
        listed = (*(f for g in self.graphs.values() for f in g.files), *self.weights.values())
        return tuple(dict.fromkeys(listed))

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(f.bytes for f in self.files)

    def verify(self) -> None:
        """Read every byte of every file; raises InputError naming the first one that is not as it was written."""
        for file in self.files:
            file.verify(self.folder)

    def graph(self, name: str) -> GraphSpec:
        """A graph by name; InputError where the bundle has none."""
        if name not in self.graphs:
            raise InputError(
                f"{self.folder}: no graph {name!r}, only {', '.join(self.graphs) or 'none at all'}"
            )
        return self.graphs[name]

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensors of one weights file by name, its hash checked. Raises InputError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if name not in self.weights:
            raise InputError(f"{self.folder}: no weights {name!r}, only {', '.join(self.weights) or 'none'}")
        path = self.weights[name].verify(self.folder)
        try:
            return dict(load_file(path))
        except (
            SafetensorError,
            KeyError,
            ValueError,
        ) as error:  # KeyError: an element type numpy does not have
            raise InputError(f"{path}: cannot be read as safetensors ({error})") from error


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder.

    Raises InputError with the manifest's path and what is wrong: no such file, not JSON, another format, a missing or
    odd entry, a file name with a folder in it, a file that is listed in two ways, is missing or has another size.
    Hashes are checked when a graph or its weights are loaded, or by `Bundle.verify`.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, so {folder} is no bundle") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: not a manifest of format {FORMAT}")
    try:
        bundle = _parse(manifest, folder)
        for file in bundle.files:
            file.check_size(folder)
    except _Odd as odd:
        raise InputError(f"{path}: {odd}") from None
    return bundle


def write_bundle(
    folder: Path,
    about: About,
    graphs: Mapping[str, str],
    weights: Mapping[str, str] | None = None,
    profiles: Mapping[str, Sequence[Profile]] | None = None,
) -> Bundle:
    """Write the manifest for files that already lie in `folder`; returns the bundle as a reader sees it.

    graphs, weights: name -> file name. Inputs, outputs, opset and external data come from the ONNX files (needs the
    onnx package). profiles: graph name -> sizes of its named dimensions. Raises InputError where a file is missing, a
    graph has a dimension without name or size, or a profile does not fit its graph.
    """
    from .onnx_file import interface

    entries = {}
    for name, file in graphs.items():
        stored = _stored(folder, file)
        found = interface(folder / file)
        entries[name] = {
            **stored,
            "opset": found.opset,
            "precision": found.precision,
            "inputs": [_tensor(t) for t in found.inputs],
            "outputs": [_tensor(t) for t in found.outputs],
            "data": [_stored(folder, data) for data in found.data],
            "profiles": [{k: list(v) for k, v in p.items()} for p in (profiles or {}).get(name, ())],
        }
    manifest = {
        "format": FORMAT,
        "name": about.name,
        "version": about.version,
        "description": about.description,
        "licence": about.licence,
        "training": dict(about.training),
        "settings": dict(about.settings),
        "graphs": entries,
        "weights": {name: _stored(folder, file) for name, file in (weights or {}).items()},
    }
    _parse(manifest, folder)
    partial = folder / f"{MANIFEST}.part"
    partial.write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n", "utf-8")
    partial.replace(folder / MANIFEST)
    return read_bundle(folder)


class _Odd(InputError):
    """An entry of the manifest that cannot be right; the text names it."""


def _parse(manifest: Mapping[str, Any], folder: Path) -> Bundle:
    about = About(
        name=_get(manifest, "name", str, ""),
        version=_get(manifest, "version", str, ""),
        description=_get(manifest, "description", str, ""),
        licence=_get(manifest, "licence", str, ""),
        training=_get(manifest, "training", dict, ""),
        settings=_get(manifest, "settings", dict, ""),
    )
    if not _is_plain(about.name) or not about.name.isprintable():
        raise _Odd(f"name {about.name!r} is no plain name")
    graphs = {n: _graph(n, e, folder) for n, e in _get(manifest, "graphs", dict, "").items()}
    weights = {n: _file(e, f"weights.{n}") for n, e in _get(manifest, "weights", dict, "").items()}
    bundle = Bundle(folder, about, graphs, weights)
    names = [file.name for file in bundle.files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _Odd(f"{', '.join(twice)} with two sizes or hashes")
    return bundle


def _graph(name: str, entry: Any, folder: Path) -> GraphSpec:
    where = f"graphs.{name}"
    file = _file(entry, where)
    spec = GraphSpec(
        name=name,
        folder=folder,
        file=file,
        inputs=_list(entry, "inputs", where, _tensor_spec),
        outputs=_list(entry, "outputs", where, _tensor_spec),
        data=_list(entry, "data", where, _file),
        profiles=_list(entry, "profiles", where, _profile),
        precision=_get(entry, "precision", str, where),
        opset=_get(entry, "opset", int, where),
    )
    if spec.precision not in PRECISIONS:
        raise _Odd(f"{where}.precision {spec.precision!r} is not one of {', '.join(PRECISIONS)}")
    for tensors in (spec.inputs, spec.outputs):
        names = [t.name for t in tensors]
        if not names or len(set(names)) < len(names):
            raise _Odd(f"{where}: inputs and outputs need at least one name each, and each name once")
    for i, profile in enumerate(spec.profiles):
        if set(profile) != set(spec.symbols):
            wanted = ", ".join(spec.symbols) or "no dimension"
            raise _Odd(f"{where}.profiles[{i}] gives {', '.join(profile) or 'nothing'}, expected {wanted}")
    return spec


def _file(entry: Any, where: str) -> StoredFile:
    name = _get(entry, "file", str, where)
    size, digest = _get(entry, "bytes", int, where), _get(entry, "sha256", str, where)
    if not _is_plain(name):
        raise _Odd(f"{where}.file {name!r} is no plain file name")
    if size < 0 or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise _Odd(f"{where}: bytes or sha256 is no size or no hash")
    return StoredFile(name, size, digest)


def _tensor_spec(entry: Any, where: str) -> TensorSpec:
    dtype = _get(entry, "dtype", str, where)
    if dtype not in DTYPES:
        raise _Odd(f"{where}.dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    shape = _get(entry, "shape", list, where)
    if not all((isinstance(s, str) and s) or (type(s) is int and s >= 0) for s in shape):
        raise _Odd(f"{where}.shape {shape} must hold sizes and names")
    return TensorSpec(_get(entry, "name", str, where), dtype, tuple(shape))


def _profile(entry: Any, where: str) -> Profile:
    if not isinstance(entry, dict):
        raise _Odd(f"{where} is no object")
    sizes = {}
    for name, given in entry.items():
        good = isinstance(given, list) and len(given) == 3 and all(type(s) is int for s in given)
        if not good or not 0 < given[0] <= given[1] <= given[2]:
            raise _Odd(f"{where}.{name} {given} must be three sizes, smallest, usual, largest")
        sizes[name] = (given[0], given[1], given[2])
    return sizes


def _list(entry: Mapping[str, Any], key: str, where: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
    items = _get(entry, key, list, where)
    return tuple(read(item, f"{where}.{key}[{i}]") for i, item in enumerate(items))


def _get(entry: Any, key: str, kind: type[T], where: str) -> T:
    if not isinstance(entry, Mapping) or key not in entry:
        raise _Odd(f"{where + '.' if where else ''}{key} is missing")
    if type(value := entry[key]) is not kind:
        raise _Odd(f"{where + '.' if where else ''}{key} must be {kind.__name__}, not {type(value).__name__}")
    return value


def _is_plain(name: str) -> bool:
    """Whether this is the name of a file, without any folder."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _stored(folder: Path, file: str) -> dict[str, Any]:
    if not _is_plain(file):
        raise InputError(f"{file!r} is no plain file name")
    if not (path := folder / file).is_file():
        raise InputError(f"{path}: missing")
    return {"file": file, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
