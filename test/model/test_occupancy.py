"""Occupancy autoencoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sam3d_ros.model import config as cfg
from sam3d_ros.model.occupancy import Up3d, occupied


def levels(g, kind):
    """Channels per level from the weights, coarse to fine."""
    ups = sorted(
        (int(n.split(".")[1]), t.shape[0]) for n, t in g.weights.items() if n.endswith(".conv.weight")
    )
    if kind == "decoder":
        return (g.size("input_layer.weight"), *(c // 8 for _, c in ups))
    return (*(c for _, c in reversed(ups)), g.size("input_layer.weight"))


def test_decoder_agrees_with_golden(golden, close):
    g = golden("ss_decoder")
    net = g.load(
        "occupancy_decoder", cfg.OccupancyConfig(g.size("input_layer.weight", 1), levels(g, "decoder"))
    )
    with torch.no_grad():
        close(net(g.inputs["x"]), g.out["y"])
        logits = net.from_tokens(g.inputs["flat"])
        close(logits, g.out["from_flat"])
    assert torch.equal(occupied(logits), g.out["coords"])


def test_encoder_agrees_with_golden(golden, close):
    g = golden("ss_encoder")
    config = cfg.OccupancyConfig(g.size("out_layer.2.weight") // 2, levels(g, "encoder"))
    net = g.load("occupancy_encoder", config)
    with torch.no_grad():
        mean, logvar = net(g.inputs["x"])
    close(mean, g.out["mean"])
    close(logvar, g.out["logvar"])


def test_up_is_a_pixel_shuffle(close):
    """Against a plain loop over channels and offsets."""
    up = Up3d(3, 2)
    x = torch.randn(1, 3, 2, 3, 4)
    with torch.no_grad():
        h = up.conv(x)
        plain = torch.zeros(1, 2, 4, 6, 8)
        for c in range(2):
            for s in range(8):
                sx, sy, sz = s >> 2, s >> 1 & 1, s & 1
                plain[:, c, sx::2, sy::2, sz::2] = h[:, 8 * c + s]
        assert torch.equal(up(x), plain)


def test_tokens_are_x_slowest(tiny):
    net = tiny("occupancy_decoder")
    tokens = torch.randn(1, 64, 8)
    grid = torch.zeros(1, 8, 4, 4, 4)
    for i in range(64):
        grid[0, :, i // 16, i // 4 % 4, i % 4] = tokens[0, i]
    with torch.no_grad():
        assert torch.equal(net.from_tokens(tokens), net(grid))


def test_occupied_is_strictly_above_zero_and_sorted():
    logits = torch.full((2, 1, 4, 4, 4), -1.0)
    logits[0, 0, 3, 0, 1] = logits[0, 0, 0, 2, 1] = logits[1, 0, 1, 1, 1] = 1.0
    logits[0, 0, 2, 2, 2] = 0.0
    assert occupied(logits).tolist() == [[0, 0, 2, 1], [0, 3, 0, 1], [1, 1, 1, 1]]
    assert occupied(torch.zeros(1, 1, 4, 4, 4)).shape == (0, 4)


def test_autoencoder_learns(tiny):
    """Gradients reach every parameter of both halves, and a few steps lower the loss."""
    torch.manual_seed(0)
    encoder, decoder = tiny("occupancy_encoder").train(), tiny("occupancy_decoder").train()
    target = (torch.rand(1, 1, 16, 16, 16) > 0.7).float()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, 3e-3)
    losses = []
    for _ in range(8):
        mean, logvar = encoder(target)
        loss = F.binary_cross_entropy_with_logits(decoder(mean), target) + 1e-4 * logvar.square().mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.95


@pytest.mark.parametrize("name", ["occupancy_encoder", "occupancy_decoder"])
def test_batch_equals_single(tiny, close, name):
    net = tiny(name)
    x = torch.randn(2, 1, 16, 16, 16) if name.endswith("encoder") else torch.randn(2, 8, 4, 4, 4)
    with torch.no_grad():
        both, alone = net(x), net(x[1:])
    for b, a in zip(both, alone, strict=False) if isinstance(both, tuple) else [(both, alone)]:
        close(b[1:] if b.shape[0] == 2 else b, a)
