"""Which other files an ONNX file reads, found without the onnx package and without believing the file.

ONNX files may keep large tensors in other files and name these by path. Not every runtime refuses a path that leads out
of the model's folder, so we look before any of them does. This walks protobuf's wire format: a field is a number, a
kind, and (kind 2) a length with that many bytes; only fields that can lead to a tensor are entered.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from sam3d_ros.types import InputError

# Message -> field number -> what lies in it. From onnx.proto.
FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
DEPTH = 50  # of graphs inside of graphs, far more than any exporter writes


def external_files(path: Path) -> list[str]:
    """Names of the external data files in the order of their first use. Raises InputError for a file that is no
    protobuf message."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return list(dict.fromkeys(_locations(data, 0, len(data), "model", 0)))
            except (ValueError, IndexError, UnicodeDecodeError):
                raise InputError(f"{path}: not an ONNX file, or a damaged one") from None


def _locations(data: mmap.mmap, start: int, stop: int, message: str, depth: int) -> Iterator[str]:
    if depth > DEPTH:
        raise ValueError("nested too deeply")
    if message == "entry":
        text = {number: data[a:b].decode() for number, a, b in _parts(data, start, stop)}
        if text.get(1) == "location":
            yield text.get(2, "")
        return
    for number, a, b in _parts(data, start, stop):
        if inner := FIELDS[message].get(number):
            yield from _locations(data, a, b, inner, depth + 1)


def _parts(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Fields of a message that hold bytes: number, start, stop. Raises ValueError where the bytes are no message."""
    at = start
    while at < stop:
        key, at = _varint(data, at, stop)
        kind = key & 7
        if kind == 2:
            size, at = _varint(data, at, stop)
            yield key >> 3, at, at + size
            at += size
        elif kind == 0:
            _, at = _varint(data, at, stop)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("unknown kind of field")
        if at > stop:
            raise ValueError("a field ends behind its message")


def _varint(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a number does not end")
