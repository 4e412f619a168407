"""The interface of an ONNX file, without its weights. Needs the onnx package, so only where bundles are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam3d_ros.types import InputError

from .external_data import external_files
from .spec import TensorSpec

PRECISION = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Interface:
    """What an ONNX file says. data: its external data files. precision: in which most of its weights
    are used: those that are stored in another one go through a Cast first."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[str, ...]
    opset: int
    precision: str


def interface(path: Path) -> Interface:
    """Read a graph's interface. Raises InputError where the file is no ONNX model or has a dimension with neither name
    nor size."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, beside OSError
        raise InputError(f"{path}: cannot be read as ONNX ({error})") from error
    if not model.graph.output:
        raise InputError(f"{path}: not an ONNX model")
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    weights: Counter[str] = Counter()
    cast = {
        node.input[0]: attribute.i
        for node in model.graph.node
        if node.op_type == "Cast"
        for attribute in node.attribute
        if attribute.name == "to"
    }
    for tensor in _tensors(model.graph):
        if (dtype := _dtype(cast.get(tensor.name, tensor.data_type))) in PRECISION:
            weights[PRECISION[dtype]] += int(np.prod(tensor.dims))
    return Interface(
        inputs=tuple(_spec(v, path) for v in model.graph.input),
        outputs=tuple(_spec(v, path) for v in model.graph.output),
        data=tuple(external_files(path)),
        opset=opset,
        precision=weights.most_common(1)[0][0] if weights else "fp32",
    )


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph: weights, constants, and those of its inner graphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _spec(value: Any, path: Path) -> TensorSpec:
    kind = value.type.tensor_type
    shape: list[int | str] = []
    for dim in kind.shape.dim:
        if not dim.HasField("dim_value") and not dim.dim_param:
            raise InputError(f"{path}: {value.name} has a dimension with neither size nor name")
        shape.append(int(dim.dim_value) if dim.HasField("dim_value") else str(dim.dim_param))
    return TensorSpec(value.name, _dtype(kind.elem_type), tuple(shape))


def _dtype(kind: int) -> str:
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)
