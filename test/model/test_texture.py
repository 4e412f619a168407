"""The texture flow: golden passes and samplings, properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam3d_ros.model import config as cfg
from sam3d_ros.model import flow
from sam3d_ros.model.texture import texture_tables


def number(*values: float) -> torch.Tensor:
    return torch.tensor(values)


@pytest.fixture(scope="module")
def case(golden):
    g = golden("slat_generator")
    c = g.config
    x = g.inputs["x"][0]
    config = cfg.TextureConfig(
        x.shape[1],
        int(c["io"]),
        int(c["C"]),
        int(c["blocks"]),
        int(c["heads"]),
        condition_width=int(c["cond"]),
    )
    net = g.load("texture", config)
    with torch.no_grad():
        return g, net, x, texture_tables(g.inputs["coords"].numpy()), net.prepare(g.inputs["cond"])


def test_single_passes(case, close):
    g, net, x, tables, context = case
    with torch.no_grad():
        close(net(x, number(300.0), tables, context)[None], g.out["t300"])
        close(net(x, number(800.0), tables, context)[None], g.out["t800"])
        close(net(x, number(300.0), tables, None)[None], g.out["t300_uncond"])
        close(net.time_embed(number(300.0)), g.mid["t_embed_300"])


def test_coarse_tokens(case):
    g, _, _, tables, _ = case
    assert torch.equal(tables.coarse_xyz, g.mid["input_block1.coords"][:, 1:].long())


def velocity(net, tables, context):
    def conditional(x, t, d):
        return {"slat": net(x["slat"], number(t), tables, context)}

    def unconditional(x, t, d):
        return {"slat": net(x["slat"], number(t), tables, None)}

    return flow.guided(conditional, unconditional, flow.Guidance(1.0))


def test_guided_passes_and_sampling(case, close):
    g, net, x, tables, context = case
    v = velocity(net, tables, context)
    with torch.no_grad():
        for t in (400.0, 600.0):
            close(v({"slat": x}, t, 0.0)["slat"][None], g.out[f"cfg_t{t:.0f}"])
        out = flow.sample(v, {"slat": x}, flow.time_steps(25, dtype=np.float32))
    close(out["slat"][None], g.out["sample25"], 1e-4)


def test_batch_of_two_objects(case, close):
    g, net, *_ = case
    with torch.no_grad():
        context = net.prepare(g.inputs["b2.cond"])
        got = net(
            g.inputs["b2.feats"], number(100.0, 700.0), texture_tables(g.inputs["b2.coords"].numpy()), context
        )
    close(got, g.out["b2"])


def test_batch_equals_single(tiny, shell, close):
    net = tiny("texture")
    coords = shell(batch=3)
    x, condition = torch.randn(len(coords), 8), torch.randn(3, 10, 48)
    t = number(50.0, 400.0, 900.0)
    with torch.no_grad():
        both = net(x, t, texture_tables(coords), net.prepare(condition))
        for b in range(3):
            own = coords[:, 0] == b
            alone = coords[own] * [0, 1, 1, 1]
            context = net.prepare(condition[b : b + 1])
            close(both[own], net(x[own], t[b : b + 1], texture_tables(alone), context))


def test_voxel_order_does_not_matter(tiny, shell, close):
    net = tiny("texture")
    coords = shell(batch=2)
    order = np.random.default_rng(0).permutation(len(coords))
    x, condition = torch.randn(len(coords), 8), torch.randn(2, 10, 48)
    with torch.no_grad():
        context = net.prepare(condition)
        straight = net(x, number(300.0, 300.0), texture_tables(coords), context)
        shuffled = net(x[order], number(300.0, 300.0), texture_tables(coords[order]), context)
    close(shuffled, straight[order])


def test_unconditional_is_attention_to_zero_tokens(tiny, shell, close):
    net = tiny("texture")
    coords = shell()
    x, tables = torch.randn(len(coords), 8), texture_tables(coords)
    with torch.no_grad():
        zeros = net(x, number(300.0), tables, net.prepare(torch.zeros(1, 10, 48)))
        close(net(x, number(300.0), tables, None), zeros)


def test_every_parameter_gets_a_gradient(tiny, shell):
    net = tiny("texture").train()
    coords = shell()
    out = net(
        torch.randn(len(coords), 8), number(300.0), texture_tables(coords), net.prepare(torch.randn(1, 9, 48))
    )
    out.square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


def test_an_object_without_voxels_is_refused(shell):
    coords = shell(batch=2)
    with pytest.raises(ValueError, match="at least one voxel"):
        texture_tables(coords[coords[:, 0] == 1])
