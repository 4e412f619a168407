"""Every graph of the published networks: exported, run by ONNX Runtime at sizes it was not traced with, and equal to
torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_networks as tiny
from numpy.typing import NDArray
from tiny_bundle import ABOUT

from sam3d_ros.runtime.backend import arrays
from sam3d_ros.runtime.bundle import Bundle, write_bundle
from sam3d_ros.runtime.export import export_graph, torch_modules
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.runtime.torch_backend import TorchBackend

Shell = Callable[..., NDArray[np.int32]]
GRAPHS = tuple(tiny.plans())


def exported(folder: Path, graph: str, opset: int = 20, precision: str = "fp32") -> Bundle:
    """A bundle with one graph."""
    plan = tiny.plans(precision)[graph]
    export_graph(plan, tiny.network(plan.network, precision), folder / f"{graph}.onnx", opset)
    return write_bundle(folder, ABOUT, {graph: f"{graph}.onnx"}, profiles={graph: plan.profiles})


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    made: dict[str, Bundle] = {}

    def build(graph: str) -> Bundle:
        if graph not in made:
            made[graph] = exported(tmp_path_factory.mktemp(graph), graph)
        return made[graph]

    return build


@pytest.mark.parametrize("graph", GRAPHS)
def test_onnxruntime_equals_torch_at_any_size(
    graph: str, bundle: Callable[[str], Bundle], shell: Shell
) -> None:
    plan, made = tiny.plans()[graph], bundle(graph)
    spec = made.graphs[graph]
    assert (spec.inputs, spec.outputs, spec.profiles) == (plan.inputs, plan.outputs, plan.profiles)
    assert (spec.opset, spec.precision) == (20, "fp32")
    ours = OnnxRuntimeBackend(threads=1).load(spec)
    theirs = TorchBackend(torch_modules({plan.network: tiny.network(plan.network)}, [plan])).load(spec)
    for side, count in ((10, 1), (13, 3)):
        given = tiny.inputs(plan, shell(seed=side, side=side), count, side)
        got, want = arrays(ours(given)), arrays(theirs(given))
        assert list(got) == [t.name for t in plan.outputs]
        for name in want:
            scale = np.abs(want[name]).max()
            assert np.isfinite(scale)
            np.testing.assert_allclose(got[name], want[name], atol=1e-4 * scale, rtol=0, err_msg=name)


def test_no_path_of_this_machine_is_in_a_graph(bundle: Callable[[str], Bundle]) -> None:
    content = bundle("geometry_step").graphs["geometry_step"].path.read_bytes()
    assert b"graphs.py" not in content
    assert b"site-packages" not in content


def test_only_operators_that_tensorrt_has(bundle: Callable[[str], Bundle]) -> None:
    """Nothing that searches, and no scatter with a reduction: index tables come from outside."""
    import onnx

    kinds: set[str] = set()
    for graph in ("texture_step", "mesh_heads", "gaussians"):
        model: Any = onnx.load(bundle(graph).graphs[graph].path, load_external_data=False)
        kinds |= {node.op_type for node in model.graph.node}
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert not model.functions
    assert not kinds & {"NonZero", "Unique", "ScatterND", "ScatterElements", "Loop", "If", "SequenceAt"}


def test_attention_is_one_operator_from_opset_23(tmp_path: Path) -> None:
    import onnx

    spec = exported(tmp_path, "geometry_step", 23, "bf16").graphs["geometry_step"]
    assert (spec.opset, spec.precision) == (23, "bf16")
    assert spec.inputs == tiny.plans("bf16")["geometry_step"].inputs
    kinds = [node.op_type for node in onnx.load(spec.path, load_external_data=False).graph.node]
    # Shape stream: self and cross attention; layout stream: self, and the condition read by absorption.
    assert kinds.count("Attention") == 4
    assert "Softmax" not in kinds
