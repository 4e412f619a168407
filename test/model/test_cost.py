"""What the networks cost at the published size, on the meta device: operations, and the largest tensor made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sam3d_ros.model import tables
from sam3d_ros.model.published import NETWORKS
from sam3d_ros.model.slat_trunk import WindowPair, window_pair
from sam3d_ros.model.voxels import prune_interior


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.elements = max([self.elements, *made])
        return result


@pytest.fixture(scope="module")
def ball():
    """19 928 voxels: the shell of a ball in the 64^3 grid, cut by its faces."""
    inside = np.argwhere(np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0) < 33.5)
    coords = prune_interior(np.column_stack([np.zeros(len(inside), int), inside]).astype(np.int32))
    assert len(coords) == 19_928
    return coords


def decoder(name, coords):
    """The decoder and its inputs."""
    windows = WindowPair(*(x.to("meta") for x in window_pair(coords)))
    n = len(coords)
    with torch.device("meta"), torch.no_grad():
        inputs = torch.empty(n, 8), torch.empty(n, 3, dtype=torch.int64), windows
        if name == "mesh_decoder":
            inputs += (torch.from_numpy(tables.neighbour_table(coords)).to("meta"),)
        return NETWORKS[name].build(), inputs


def operations(run):
    """What a call costs, and its result."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = run()
    return counter.get_total_flops(), result


def test_geometry():
    """Keys and values once and four equal steps; guidance's step without a condition; the layout alone."""
    with torch.device("meta"):
        net = NETWORKS["geometry"].build().requires_grad_(False)
        c = net.config
        x = {n: torch.empty(1, c.tokens[n], channels) for n, channels in c.channels.items()}
        t, condition = torch.empty(1), torch.empty(1, 7528, 1024)
        kept = torch.empty(c.depth, 2, 1, c.heads, 4096, c.width // c.heads)
        once, context = operations(lambda: net.prepare(condition))
        step, _ = operations(lambda: net(x, t, t, context))
        unconditional, _ = operations(lambda: net(x, t, t, None))
        layout, _ = operations(lambda: net.layout_velocity(x, t, t, condition, kept))
    assert once + 4 * step < 32e12
    assert unconditional < 4.2e12
    assert layout < 0.06e12


@pytest.mark.parametrize(
    ("name", "limit"),
    [("mesh_decoder", 5.5e12), ("gaussian_decoder", 3.6e12), ("gaussian_decoder_4", 3.6e12)],
)
def test_decoders_stay_far_from_all_pairs_of_voxels(ball, name, limit):
    """Few operations, and no tensor with an element for every pair."""
    net, inputs = decoder(name, ball)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, Largest() as largest:
        net(*inputs)
    assert counter.get_total_flops() < limit
    assert largest.elements >= len(ball) * 4 * net.config.trunk.width  # the mode saw the hidden layer
    assert largest.elements < len(ball) ** 2 / 2
