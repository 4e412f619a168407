"""The graphs of the published networks: exported, run by ONNX Runtime at sizes it was not traced with, and equal to
torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_networks as tiny
import torch
from numpy.typing import NDArray
from tiny_bundle import ABOUT

from sam3d_ros.model.block import Modulation, TwoStreamBlock
from sam3d_ros.model.graphs import Graph
from sam3d_ros.runtime.backend import arrays
from sam3d_ros.runtime.bundle import Bundle, read_bundle, write_bundle
from sam3d_ros.runtime.export import export_graph, torch_modules
from sam3d_ros.runtime.networks import COMPUTE, GraphPlan
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.runtime.spec import Profile, TensorSpec
from sam3d_ros.runtime.tensorrt_build import build_plan
from sam3d_ros.runtime.torch_backend import TorchBackend

Shell = Callable[..., NDArray[np.int32]]
TWINS = ("_unconditional", "texture_image", "texture_mask")
"""The same modules as their sisters, without a condition or for the other stage: exporting each takes many seconds."""
GRAPHS = tuple(name for name in tiny.plans() if not name.endswith(TWINS[0]) and name not in TWINS)


def exported(folder: Path, graph: str, opset: int = 20, precision: str = "fp32") -> Bundle:
    """A bundle with one graph."""
    plan = tiny.plans(precision)[graph]
    module = Graph(graph, tiny.network(plan.network, precision))
    export_graph(plan, module, folder / f"{graph}.onnx", opset)
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
    # Shape stream: self and cross attention; layout stream: self, and the condition read by absorption, whose one
    # head is wider than any fused kernel.
    assert kinds.count("Attention") == 3
    assert kinds.count("Softmax") == 1


@pytest.mark.parametrize("graph", GRAPHS)
def test_tensorrt_compiles_it(graph: str, bundle: Callable[[str], Bundle]) -> None:
    """With TensorRT 11's parser and the profiles of the published sizes."""
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="requirements/engines.txt", exc_type=ImportError
    )
    assert len(build_plan(bundle(graph).graphs[graph], trt)) > 10_000


def test_tensorrt_compiles_fused_attention_at_full_width(tmp_path: Path) -> None:
    """One block of the geometry flow: width 1024, 4096 shape tokens, 7528 condition tokens, bf16, opset 23; and the
    same block in fp32, opset 20, by ONNX Runtime against torch at fewer tokens."""
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="requirements/engines.txt", exc_type=ImportError
    )
    torch.manual_seed(0)
    block = Block().eval()
    write(tmp_path, "reference", block, "fp32", 20, ({"shapes": (1, 64, 4096), "tokens": (1, 48, 7528)},))
    spec = read_bundle(tmp_path).graphs["reference"]
    ours = OnnxRuntimeBackend(threads=1).load(spec)
    theirs = TorchBackend({"reference": block}).load(spec)
    rng = np.random.default_rng(0)
    for shapes, tokens in ((64, 48), (129, 200)):
        sizes = {"shapes": shapes, "tokens": tokens}
        given = {
            t.name: rng.normal(size=[sizes.get(s, s) for s in t.shape]).astype(np.float32)
            for t in spec.inputs
        }
        got, want = arrays(ours(given)), arrays(theirs(given))
        for name in want:
            np.testing.assert_allclose(got[name], want[name], atol=1e-4 * np.abs(want[name]).max(), rtol=0)
    full = ({"shapes": (4096, 4096, 4096), "tokens": (2740, 7528, 7528)},)
    write(tmp_path, "fused", block.to(torch.bfloat16), "bf16", 23, full)
    plan = build_plan(read_bundle(tmp_path).graphs["fused"], trt)
    weights = sum(p.numel() for p in block.parameters())
    assert 2 * weights < len(plan) < 3 * weights


class Block(torch.nn.Module):
    """A block of the published geometry flow, with flat inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = TwoStreamBlock(width=1024, heads=16, mlp_ratio=4.0, condition_width=1024)

    def forward(self, shape, layout, e, k, v, condition):
        m = Modulation.of(self.block.modulation, e)
        shape, kept = self.block.shape_step(shape, m, (k, v))
        return shape, self.block.layout_step(layout, m, condition, kept)


def write(
    folder: Path, name: str, block: Block, precision: str, opset: int, profiles: tuple[Profile, ...]
) -> None:
    """Export the block as the only graph of a bundle."""
    kind = COMPUTE[precision]
    heads = (1, 16, "tokens", 64)
    shape, layout = ((1, n, 1024) for n in ("shapes", 4))
    inputs = {
        "shape": shape,
        "layout": layout,
        "e": (1, 1024),
        "k": heads,
        "v": heads,
        "condition": (1, "tokens", 1024),
    }
    outputs = {"shape_out": shape, "layout_out": layout}
    tensors = [tuple(TensorSpec(n, kind, s) for n, s in io.items()) for io in (inputs, outputs)]
    export_graph(GraphPlan(name, "", *tensors, profiles), block, folder / f"{name}.onnx", opset)
    write_bundle(folder, ABOUT, {name: f"{name}.onnx"}, profiles={name: profiles})
