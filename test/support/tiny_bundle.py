"""A bundle of two small graphs, made with the onnx package: `scale` y = x * w and `total` s = sum of y over rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from safetensors.numpy import save_file

from sam3d_ros.runtime.bundle import About, Bundle, write_bundle

WEIGHTS = np.array([1.0, -2.0, 0.5], np.float32)
ABOUT = About(
    name="tiny",
    version="0.1.0",
    description="multiplies and adds",
    licence="Apache-2.0",
    training={"data": "none", "steps": 0},
    settings={"size": 3, "threshold": 0.5},
)


def save(path: Path, nodes: list[Any], inputs: Any, outputs: Any, initializers: list[Any]) -> None:
    """Write a graph at opset 20; inputs and outputs: name -> (dtype, shape)."""
    values = [
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in io.items()]
        for io in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, path.stem, *values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def save_scale(path: Path, data: str | None = None, offset: int = 0) -> None:
    """y (rows, 3) = x (rows, 3) * WEIGHTS, the weights in the file, or by reference to `data`, bytes from `offset`
    on."""
    weights = numpy_helper.from_array(WEIGHTS, "w")
    if data is not None:
        set_external_data(weights, data, offset, WEIGHTS.nbytes)
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
    tensor = (TensorProto.FLOAT, ["rows", 3])
    save(path, [helper.make_node("Mul", ["x", "w"], ["y"])], {"x": tensor}, {"y": tensor}, [weights])


def save_total(path: Path) -> None:
    """s (3,) = y (rows, 3) summed over the rows, n () int64 = given n + 1."""
    one = numpy_helper.from_array(np.array(1, np.int64), "one")
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    nodes = [
        helper.make_node("ReduceSum", ["y", "axes"], ["s"], keepdims=0),
        helper.make_node("Add", ["n", "one"], ["next"]),
    ]
    inputs = {"y": (TensorProto.FLOAT, ["rows", 3]), "n": (TensorProto.INT64, [])}
    save(path, nodes, inputs, {"s": (TensorProto.FLOAT, [3]), "next": (TensorProto.INT64, [])}, [one, axes])


def make(folder: Path, external: bool = False) -> Bundle:
    """The bundle in a new folder; `external` keeps the weights of `scale` in a file of their own."""
    folder.mkdir(parents=True)
    if external:
        (folder / "scale.data").write_bytes(WEIGHTS.tobytes())
    save_scale(folder / "scale.onnx", "scale.data" if external else None)
    save_total(folder / "total.onnx")
    save_file({"w": WEIGHTS}, folder / "tiny.safetensors")
    return write_bundle(
        folder,
        ABOUT,
        graphs={"scale": "scale.onnx", "total": "total.onnx"},
        weights={"tiny": "tiny.safetensors"},
        profiles={"scale": [{"rows": (1, 16, 64)}, {"rows": (64, 128, 256)}]},
    )
