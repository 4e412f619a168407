"""The geometry flow: golden passes and samplings, and its exact savings against the plain form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sam3d_ros.model import config as cfg
from sam3d_ros.model import flow

PUBLISHED = {"rotation": "6drotation_normalized"}


def number(value: float) -> torch.Tensor:
    return torch.tensor([value])


@pytest.fixture(scope="module")
def case(golden):
    """Golden file, network, input latents, context."""
    g = golden("ss_generator")
    c = g.config
    config = cfg.GeometryConfig(
        width=int(c["C"]),
        depth=int(c["blocks"]),
        heads=int(c["heads"]),
        condition_width=int(c["cond"]),
        grid=int(c["res"]),
        shape_channels=g.inputs["x.shape"].shape[-1],
    )
    net = g.load("geometry", config)
    x = {n: g.inputs["x." + PUBLISHED.get(n, n)] for n in config.channels}
    with torch.no_grad():
        return g, net, x, net.prepare(g.inputs["cond"])


def expect(g, tag):
    return {
        {v: k for k, v in PUBLISHED.items()}.get(n, n): t
        for n, t in ((n.removeprefix(tag + "."), t) for n, t in g.out.items() if n.startswith(tag + "."))
    }


def velocities(net, context):
    """Conditional and unconditional velocity as the sampler calls them."""

    @torch.no_grad()
    def conditional(x, t, d):
        return net(x, number(t), number(d), context)

    @torch.no_grad()
    def unconditional(x, t, d):
        return net(x, number(t), number(d), None)

    return conditional, unconditional


@pytest.mark.parametrize(
    ("tag", "t", "d", "conditional"),
    [
        ("t250_d0", 250, 0, True),
        ("t250_d0_uncond", 250, 0, False),
        ("t0_d250", 0, 250, True),
        ("t730_dNone", 730, None, True),
    ],
)
def test_single_pass(case, close, tag, t, d, conditional):
    g, net, x, context = case
    with torch.no_grad():
        got = net(x, number(t), None if d is None else number(d), context if conditional else None)
    for name, want in expect(g, tag).items():
        close(got[name], want)


@pytest.mark.parametrize("t", [400.0, 500.0, 501.0])
def test_guided_pass(case, close, t):
    """Relative to the operands: with strength 7 the result is a small difference of large terms."""
    g, net, x, context = case
    conditional, unconditional = velocities(net, context)
    got = flow.guided(conditional, unconditional, flow.Guidance(7.0))(x, t, 0.0)
    operands = conditional(x, t, 0.0)
    for name, want in expect(g, f"cfg_t{t:.0f}").items():
        close(got[name], want, scale=max(want.abs().max().item(), 8 * operands[name].abs().max().item()))


def test_embeddings(case, close):
    g, net, x, _ = case
    with torch.no_grad():
        close(net.time_embed(number(250.0)), g.mid["t_embed_250"])
        close(net.step_embed(number(250.0)), g.mid["d_embed_250"])
        close(net.latents["shape"].embed(x["shape"]), g.mid["project_input.shape"])
        close(net.embed_layout(x), g.mid["project_input.6drotation_normalized"])


def test_sampling_25_steps_with_guidance(case, close):
    g, net, x, context = case
    velocity = flow.guided(*velocities(net, context), flow.Guidance(7.0))
    got = flow.sample(velocity, x, flow.time_steps(25, rescale=3))
    for name, want in expect(g, "sample_cfg25").items():
        close(got[name], want, 1e-4)


def test_sampling_4_shortcut_steps(case, close):
    g, net, x, context = case
    got = flow.sample(velocities(net, context)[0], x, flow.time_steps(4, rescale=3), step=1 / 4)
    for name, want in expect(g, "sample_distilled4").items():
        close(got[name], want, 1e-4)


# Properties and exact savings, on a small random network.


@pytest.fixture(scope="module")
def small(tiny):
    net = tiny("geometry").double()
    generator = torch.Generator().manual_seed(1)
    x = {
        n: torch.randn(2, net.config.tokens[n], c, generator=generator).double()
        for n, c in net.config.channels.items()
    }
    return net, x, torch.randn(2, 20, net.config.condition_width, generator=generator).double()


def test_batch_equals_single(small, close):
    net, x, condition = small
    t, d = torch.tensor([100.0, 700.0]), torch.tensor([0.0, 250.0])
    with torch.no_grad():
        both = net(x, t, d, net.prepare(condition))
        for i in range(2):
            one = {n: v[i : i + 1] for n, v in x.items()}
            alone = net(one, t[i : i + 1], d[i : i + 1], net.prepare(condition[i : i + 1]))
            for name in both:
                close(both[name][i : i + 1], alone[name], 1e-6)


def test_shape_does_not_depend_on_layout(small):
    net, x, condition = small
    t, d = torch.full((2,), 300.0), torch.zeros(2)
    other = {n: v if n == "shape" else v + 1 for n, v in x.items()}
    with torch.no_grad():
        context = net.prepare(condition)
        a, b = net(x, t, d, context), net(other, t, d, context)
    assert torch.equal(a["shape"], b["shape"])
    assert not torch.allclose(a["rotation"], b["rotation"])


def test_layout_alone_from_stored_shape(small, close):
    """One shape pass, then layout passes alone: the same velocities, for several layouts of one shape at
    once.
    """
    net, x, condition = small
    t, d = torch.full((2,), 300.0), torch.full((2,), 250.0)
    with torch.no_grad():
        one_shape = x["shape"][:1].expand(2, -1, -1)
        plain = net({**x, "shape": one_shape}, t, d, net.prepare(condition[:1].expand(2, -1, -1)))
        shape, kept = net.shape_velocity(x["shape"][:1], t[:1], d[:1], net.prepare(condition[:1]))
        layout = net.layout_velocity(x, t, d, condition[:1], kept)
    close(shape, plain["shape"][:1], 1e-6)
    for name, v in layout.items():
        close(v, plain[name], 1e-6)


def test_sampling_another_layout_of_a_kept_shape(small, close):
    """Four steps of the shape alone, then four of the layout alone: what sampling both together gives."""
    net, x, condition = small
    shape, layout = {"shape": x["shape"]}, {n: v for n, v in x.items() if n != "shape"}
    times, kept = flow.time_steps(4, rescale=3), {}
    with torch.no_grad():
        context = net.prepare(condition)

        def both(x, t, d):
            return net(x, number(t), number(d), context)

        def shape_alone(x, t, d):
            v, kept[t] = net.shape_velocity(x["shape"], number(t), number(d), context)
            return {"shape": v}

        def layout_alone(x, t, d):
            return net.layout_velocity(x, number(t), number(d), condition, kept[t])

        together = flow.sample(both, x, times, step=1 / 4)
        apart = flow.sample(shape_alone, shape, times, step=1 / 4)
        apart |= flow.sample(layout_alone, layout, times, step=1 / 4)
    assert set(apart) == set(together)
    for name, want in together.items():
        close(apart[name], want, 1e-6)


def test_unconditional_is_attention_to_zero_tokens(small, close):
    net, x, condition = small
    t, d = torch.full((2,), 300.0), torch.zeros(2)
    with torch.no_grad():
        constant = net(x, t, d, None)
        zeros = net(x, t, d, net.prepare(torch.zeros_like(condition)))
    for name in constant:
        close(constant[name], zeros[name], 1e-6)


def test_weight_absorption_equals_plain_cross_attention(small, close):
    net, _, condition = small
    cross = net.blocks[0].layout.cross
    x = torch.randn(2, 4, net.config.width, dtype=torch.float64)
    with torch.no_grad():
        close(cross(x, condition), cross(x, cross.keys_values(condition)), 1e-12)
        # and both equal the textbook form
        q = cross.q(x).unflatten(-1, (cross.heads, -1)).transpose(1, 2)
        k, v = cross.kv(condition).unflatten(-1, (2, cross.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = F.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
        plain = cross.out((weights @ v).transpose(1, 2).flatten(2))
        close(cross(x, condition), plain, 1e-12)


def test_kept_keys_and_values_equal_recomputed(small, close):
    """Context prepared once and used at several steps equals preparing it anew each time."""
    net, x, condition = small
    with torch.no_grad():
        context = net.prepare(condition)
        for t in (0.0, 500.0):
            kept = net(x, torch.full((2,), t), torch.zeros(2), context)
            anew = net(x, torch.full((2,), t), torch.zeros(2), net.prepare(condition))
            assert all(torch.equal(kept[n], anew[n]) for n in kept)


def test_every_parameter_gets_a_gradient(tiny):
    net = tiny("geometry").train()
    c = net.config
    x = {n: torch.randn(1, c.tokens[n], k) for n, k in c.channels.items()}
    out = net(x, number(400.0), number(250.0), net.prepare(torch.randn(1, 9, c.condition_width)))
    sum(v.square().sum() for v in out.values()).backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().any()]
    # A key's bias shifts all logits of a query alike, so softmax cancels it: only its value half carries a
    # gradient.
    assert silent == []


def test_layout_loss_leaves_shape_alone_when_detached(tiny):
    """The layout stream reads shape keys and values that the caller may detach (training of the layout
    alone).
    """
    net = tiny("geometry").train()
    c = net.config
    x = {n: torch.randn(1, c.tokens[n], k) for n, k in c.channels.items()}
    condition = torch.randn(1, 9, c.condition_width)
    _, kept = net.shape_velocity(x["shape"], number(1.0), number(0.0), net.prepare(condition))
    out = net.layout_velocity(x, number(1.0), number(0.0), condition, kept.detach())
    sum(v.square().sum() for v in out.values()).backward()
    touched = [n for n, p in net.named_parameters() if ".shape." in n and p.grad is not None]
    assert touched == []
