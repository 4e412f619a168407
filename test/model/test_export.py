"""torch.export of every network: one graph for all sizes, equal to eager at sizes it was not traced with."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim, export

from sam3d_ros.model import tables
from sam3d_ros.model.geometry import GeometryContext
from sam3d_ros.model.slat_trunk import window_pair
from sam3d_ros.model.texture import TextureTables, texture_tables

AUTO = Dim.AUTO


def agree(got, want, close):
    """Tensor, tuple or dict of tensors."""
    if isinstance(want, torch.Tensor):
        close(got, want)
    elif isinstance(want, dict):
        for name in want:
            close(got[name], want[name])
    else:
        for a, b in zip(got, want, strict=True):
            close(a, b)


def exported(module, first, second, dynamic, close):
    """Export with one set of inputs, run with another."""
    program = export(module, first, dynamic_shapes=dynamic, strict=False)
    with torch.no_grad():
        for inputs in (first, second):
            agree(program.module()(*inputs), module(*inputs), close)
    return program


@pytest.mark.parametrize("name", ["geometry_condition", "texture_condition"])
def test_condition(tiny, close, name):
    net = tiny(name)

    def views(b, seed):
        g = torch.Generator().manual_seed(seed)
        return {v: torch.rand(b, 1 if "mask" in v else 3, 56, 56, generator=g) for v in net.views}

    spec = {v: {0: AUTO} for v in net.views}
    exported(net, (views(2, 0),), (views(3, 1),), (spec,), close)


def geometry_inputs(net, b, tokens, seed, conditional=True):
    g = torch.Generator().manual_seed(seed)
    c = net.config
    x = {n: torch.randn(b, c.tokens[n], k, generator=g) for n, k in c.channels.items()}
    t, d = torch.rand(b, generator=g) * 1000, torch.full((b,), 250.0)
    condition = torch.randn(b, tokens, c.condition_width, generator=g)
    with torch.no_grad():
        return x, t, d, net.prepare(condition) if conditional else None


@pytest.mark.parametrize("conditional", [True, False])
def test_geometry_step(tiny, close, conditional):
    net = tiny("geometry")
    context = GeometryContext({2: AUTO, 4: AUTO}, {0: AUTO, 1: AUTO}) if conditional else None
    spec = ({n: {0: AUTO} for n in net.config.channels}, {0: AUTO}, {0: AUTO}, context)
    first, second = (geometry_inputs(net, *s, conditional) for s in ((2, 11, 0), (3, 29, 1)))
    exported(net, first, second, spec, close)


class Prepare(torch.nn.Module):
    """The condition's projection as a graph of its own."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, condition):
        return self.net.prepare(condition)


@pytest.mark.parametrize("name", ["geometry", "texture"])
def test_prepare(tiny, close, name):
    inputs = [(torch.randn(b, t, 48),) for b, t in ((2, 7), (3, 31))]
    exported(Prepare(tiny(name)), *inputs, ({0: AUTO, 1: AUTO},), close)


@pytest.mark.parametrize("name", ["occupancy_decoder", "occupancy_encoder"])
def test_occupancy(tiny, close, name):
    shape = (8, 4, 4, 4) if name == "occupancy_decoder" else (1, 16, 16, 16)
    inputs = [(torch.randn(b, *shape),) for b in (2, 3)]
    exported(tiny(name), *inputs, ({0: AUTO},), close)


@pytest.mark.parametrize("batch", [1, 2])
def test_texture_step(tiny, shell, close, batch):
    net = tiny("texture")

    def inputs(side, tokens):
        coords = shell(side=side, batch=batch)
        with torch.no_grad():
            context = net.prepare(torch.randn(batch, tokens, 48))
        return torch.randn(len(coords), 8), torch.rand(batch) * 1000, texture_tables(coords), context

    table = TextureTables(
        *[{0: AUTO}] * 5,
        slots={1: AUTO} if batch > 1 else None,
        rows={0: AUTO} if batch > 1 else None,
        batch={0: AUTO} if batch > 1 else None,
        coarse_batch={0: AUTO} if batch > 1 else None,
    )
    spec = ({0: AUTO}, None, table, {4: AUTO})
    exported(net, inputs(12, 7), inputs(17, 31), spec, close)


def decoder_inputs(shell, side, channels, with_neighbours):
    coords = shell(side=side)
    xyz = torch.from_numpy(coords[:, 1:]).long()
    extra = (torch.from_numpy(tables.neighbour_table(coords)),) if with_neighbours else ()
    return torch.randn(len(coords), channels), xyz, window_pair(coords), *extra


@pytest.mark.parametrize("name", ["gaussian_decoder", "slat_encoder", "mesh_decoder"])
def test_decoders(tiny, shell, close, name):
    net = tiny(name)
    channels = 24 if name == "slat_encoder" else 8
    with_neighbours = name == "mesh_decoder"
    first, second = (decoder_inputs(shell, side, channels, with_neighbours) for side in (16, 12))
    from sam3d_ros.model.slat_trunk import WindowPair

    windows = WindowPair({0: AUTO, 1: AUTO}, {0: AUTO}, {0: AUTO, 1: AUTO}, {0: AUTO})
    spec = ({0: AUTO}, {0: AUTO}, windows, *([{0: AUTO}] if with_neighbours else []))
    program = exported(net, first, second, spec, close)
    kinds = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("nonzero" in k or "unique" in k or "scatter" in k for k in kinds)
