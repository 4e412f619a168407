"""torch to ONNX: the graphs of `networks` as a bundle.

opset 20 writes attention as products and a softmax, which every runtime has; opset 23 writes it as one operator, which
TensorRT from 10.14 on and TensorRT-RTX turn into a fused kernel in bf16 and fp16 (in fp32 they refuse it).
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam3d_ros.types import InputError

from .bundle import About, Bundle, write_bundle
from .networks import GraphPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

OPSETS = (20, 23)


def export_bundle(
    folder: Path,
    about: About,
    networks: Callable[[str], torch.nn.Module],
    plans: Collection[GraphPlan],
    opset: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Bundle:
    """Export graphs and write their bundle.

    networks: name of a network -> the module in evaluation mode, in the precision that the plans are for; asked once
    for the graphs of a network in a row. progress(graph, done, total) is called before every graph.
    Raises InputError for an opset that is not in OPSETS, or fp32 attention as an operator.
    """
    from sam3d_ros.model.graphs import Graph

    if opset not in OPSETS:
        raise InputError(f"opset {opset} is not one of {', '.join(map(str, OPSETS))}")
    folder.mkdir(parents=True, exist_ok=True)
    last, net = "", None
    for i, plan in enumerate(plans):
        if progress:
            progress(plan.name, i, len(plans))
        if plan.network != last:
            net = None  # before the next one is made: two may not fit into memory
            last, net = plan.network, networks(plan.network)
        assert net is not None
        export_graph(plan, Graph(plan.name, net), folder / f"{plan.name}.onnx", opset)
    graphs = {plan.name: f"{plan.name}.onnx" for plan in plans}
    return write_bundle(folder, about, graphs, profiles={p.name: p.profiles for p in plans if p.profiles})


def export_graph(plan: GraphPlan, module: torch.nn.Module, path: Path, opset: int) -> None:
    """Write one graph; large weights go to `<path>.data` beside it.

    module: takes the plan's inputs in their order and returns its outputs in theirs; any module, not only ours. It is
    traced with zeros, which are valid rows of every index table.
    """
    import onnx_ir
    import torch

    device = next(module.parameters()).device
    symbols = dict.fromkeys(s for t in plan.inputs for s in t.shape if isinstance(s, str))
    # Sizes that differ from each other and from 1: the exporter takes equal sizes for the same dimension.
    sizes = {symbol: 3 + 2 * i for i, symbol in enumerate(symbols)}
    dims = {symbol: torch.export.Dim(symbol) for symbol in symbols}
    dynamic = tuple({i: dims[s] for i, s in enumerate(t.shape) if isinstance(s, str)} for t in plan.inputs)
    example = []
    for tensor in plan.inputs:
        shape = [s if isinstance(s, int) else sizes[s] for s in tensor.shape]
        example.append(torch.zeros(shape, dtype=getattr(torch, tensor.dtype), device=device))
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            _positional(module), tuple(example), dynamic_shapes=(dynamic,), strict=False
        )
        # Where each node came from in our source: copied by every pass of the exporter, and nobody's business later.
        for node in program.graph.nodes:
            for key in ("from_node", "stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
                node.meta.pop(key, None)
        model = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=(dynamic,),  # for the names of the dimensions
            input_names=[t.name for t in plan.inputs],
            output_names=[t.name for t in plan.outputs],
            verbose=False,
        )
    assert model is not None
    for value, tensor in zip(model.model.graph.outputs, plan.outputs, strict=True):
        value.shape = onnx_ir.Shape(tensor.shape)  # the exporter's words for them are its own
    # Our names are given to inputs and outputs alone; torch names the rest after operators ("view", "t").
    borders = {v.name: v for v in (*model.model.graph.inputs, *model.model.graph.outputs)}
    model.model.graph.metadata_props.clear()
    for node in model.model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            if value.name in borders and value is not borders[value.name]:
                value.name = f"{value.name}_inner"
    model.save(str(path), external_data=True)


def _positional(module: torch.nn.Module) -> torch.nn.Module:
    """The module with one signature for all: dynamic shapes are given per position."""
    import torch

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.inner(*inputs)

    return Positional().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def torch_modules(networks: Mapping[str, Any], plans: Collection[GraphPlan]) -> dict[str, Any]:
    """Graph name -> module, for `TorchBackend`: what the graphs are exported from."""
    from sam3d_ros.model.graphs import Graph

    return {plan.name: Graph(plan.name, networks[plan.network]).eval() for plan in plans}
