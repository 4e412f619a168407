"""The compact networks as ONNX graphs (opset 20) with a free batch and flat convolutions. They compute in fp32.

Large weights are read from the safetensors beside a graph, in fp16 and as the network holds them; whatever else the
graph needs it makes of them itself. That depends on no input, so runtimes do it once, when they load the graph.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactContext, CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture, TextureContext
from sam3d_ros.train.compact.flat_convolutions import flat
from sam3d_ros.train.compact.stored_weights import StoredWeights, refer, stored_weights

OPSET = 20
LARGE = 256
"""Elements from which on a weight is read from the safetensors; smaller ones lie in the graph, in fp32."""
BATCH_FIRST, BATCH_THIRD = (2, 0, 1, 3, 4, 5), (1, 2, 0, 3, 4, 5)
"""Keys and values (depth, 2, B, H, T, D) with the batch as first axis, as all inputs of a graph have it, and back."""


class PrepareGraph(nn.Module):
    """`CompactGeometry.prepare` with a tuple as its answer."""

    def __init__(self, network: CompactGeometry) -> None:
        super().__init__()
        self.network = network

    def forward(self, grid: Tensor, picture: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        """In the order of CompactContext; the batch is the first axis of kv too."""
        context = self.network.prepare(grid, picture, numbers)
        return (*context[:3], context.kv.permute(BATCH_FIRST), context.tokens)


class StepGraph(nn.Module):
    """`CompactGeometry.forward` with plain arguments."""

    def __init__(self, network: CompactGeometry) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        shape: Tensor,
        rotation: Tensor,
        translation: Tensor,
        scale: Tensor,
        t: Tensor,
        d: Tensor,
        volume: Tensor,
        column: Tensor,
        numbers: Tensor,
        kv: Tensor,
        tokens: Tensor,
    ) -> tuple[Tensor, ...]:
        """Velocities of shape, rotation, translation, scale."""
        x = {"shape": shape, "rotation": rotation, "translation": translation, "scale": scale}
        context = CompactContext(volume, column, numbers, kv.permute(BATCH_THIRD), tokens)
        v = self.network(x, t, d, context)
        return tuple(v[name] for name in ("shape", *LAYOUT))


class TexturePrepareGraph(nn.Module):
    """`CompactTexture.prepare` with a tuple as its answer."""

    def __init__(self, network: CompactTexture) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, coarse: Tensor, grid: Tensor, seen: Tensor, numbers: Tensor, picture: Tensor
    ) -> tuple[Tensor, ...]:
        """In the order of TextureContext."""
        context = self.network.prepare(coarse, grid, seen, numbers, picture)
        return (*context[:4], context.kv.permute(BATCH_FIRST))


class TextureStepGraph(nn.Module):
    """`CompactTexture.forward` with plain arguments."""

    def __init__(self, network: CompactTexture) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        distance: Tensor,
        colour: Tensor,
        t: Tensor,
        d: Tensor,
        volume: Tensor,
        fine: Tensor,
        seen: Tensor,
        numbers: Tensor,
        kv: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Velocities of distance and colour."""
        context = TextureContext(volume, fine, seen, numbers, kv.permute(BATCH_THIRD))
        v = self.network({"distance": distance, "colour": colour}, t, d, context)
        return v["distance"], v["colour"]


def export_geometry(network: CompactGeometry, weights: Path) -> dict[str, str]:
    """Write geometry_prepare.onnx and geometry_step.onnx; returns graph name -> file name.

    weights: the network's safetensors in fp16; the graphs read it, so they are written beside it.
    """
    folder, stored = weights.parent, stored_weights(weights)
    network = flat(network).eval()
    c = network.config
    grid = torch.zeros(2, c.condition, c.grid, c.grid, c.grid)
    picture = torch.zeros(2, c.picture.channels, c.picture.pixels, c.picture.pixels)
    numbers = torch.zeros(2, c.condition_globals)
    prepare = PrepareGraph(network)
    with torch.no_grad():
        context = prepare(grid, picture, numbers)
    latents = (torch.zeros(2, 1, c.grid, c.grid, c.grid), *(torch.zeros(2, 1, n) for n in LAYOUT.values()))
    times = (torch.zeros(2), torch.zeros(2))
    names = ("volume", "column", "embedded", "kv", "tokens")
    write_graph(
        prepare,
        (grid, picture, numbers),
        folder / "geometry_prepare.onnx",
        ("grid", "picture", "numbers"),
        names,
        stored,
    )
    write_graph(
        StepGraph(network),
        (*latents, *times, *context),
        folder / "geometry_step.onnx",
        ("shape", *LAYOUT, "t", "d", *names),
        tuple(f"v_{name}" for name in ("shape", *LAYOUT)),
        stored,
    )
    return {"geometry_prepare": "geometry_prepare.onnx", "geometry_step": "geometry_step.onnx"}


def export_texture(network: CompactTexture, weights: Path) -> dict[str, str]:
    """Write texture_prepare.onnx and texture_step.onnx; returns graph name -> file name.

    weights: as for `export_geometry`.
    """
    folder, stored = weights.parent, stored_weights(weights)
    network = flat(network).eval()
    c = network.config
    grid = [c.coarse] * 3
    condition = (
        torch.zeros(2, 1, *grid),
        torch.zeros(2, c.condition, *grid),
        torch.zeros(2, 4, *grid),
        torch.zeros(2, c.condition_globals),
        torch.zeros(2, c.picture.channels, c.picture.pixels, c.picture.pixels),
    )
    prepare = TexturePrepareGraph(network)
    with torch.no_grad():
        context = prepare(*condition)
    names = ("volume", "fine", "nearest", "embedded", "kv")
    given = ("coarse", "grid", "seen", "numbers", "picture")
    write_graph(prepare, condition, folder / "texture_prepare.onnx", given, names, stored)
    latents = (torch.zeros(2, 1, *[c.fine] * 3), torch.zeros(2, 3, *grid), torch.zeros(2), torch.zeros(2))
    write_graph(
        TextureStepGraph(network),
        (*latents, *context),
        folder / "texture_step.onnx",
        ("distance", "colour", "t", "d", *names),
        ("v_distance", "v_colour"),
        stored,
    )
    return {"texture_prepare": "texture_prepare.onnx", "texture_step": "texture_step.onnx"}


def write_graph(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: Sequence[str],
    outputs: Sequence[str],
    weights: StoredWeights,
) -> None:
    """One graph whose first axis is free in every input. The exporter's notices are kept quiet.

    weights: of the module's `network`, in the folder of `path`.
    """
    import onnx_ir as ir
    from onnxscript.optimizer import optimize_ir

    large = {f"network.{name}": name for name, place in weights.places.items() if prod(place.shape) >= LARGE}

    def folds(node: Any) -> bool | None:
        """What is made of a large weight would lie in the graph as a second copy of it."""
        return False if any(v is not None and v.name in large for v in node.inputs) else None

    batch = torch.export.Dim("batch", min=1, max=64)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            verbose=False,
            optimize=False,  # it folds all constants
        )
        assert program is not None
        optimize_ir(program.model, should_fold=folds)
    forget_origin(program.model)
    refer(program.model, weights, large)
    ir.save(program.model, path)


def forget_origin(model: Any) -> None:
    """Take the exporter's notes out of an onnx_ir model: stack traces with the paths of the machine that exported it,
    which are half of a small file."""
    for graph in (model.graph, *model.functions.values()):
        graph.metadata_props.clear()
        for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
            value.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
