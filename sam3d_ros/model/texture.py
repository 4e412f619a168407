"""The texture & refinement model: a flow over features of active voxels (paper section 3).

Sparse residual blocks bring N voxels at 64^3 to M tokens at 32^3, a transformer works on these, and mirrored
blocks with skip connections go back. All index tables come from outside (`texture_tables`), once per object.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from . import tables
from .attention import key_bias
from .block import FlowBlock
from .config import TextureConfig
from .layers import LayerNorm, Modules, ScalarEmbedding, grid_sinusoid, layer_norm
from .sparse import SubmanifoldConv, append_zero, pool_mean, unpool


class TextureTables(NamedTuple):
    """Index tables of one voxel list; the last four are None where the list holds a single object.

    neighbours (N, 27), parent (N,), children (M, 8), coarse_neighbours (M, 27), coarse_xyz (M, 3).
    slots (B, L) and rows (M,): the coarse tokens padded per object.
    batch (N,) and coarse_batch (M,): object numbers.
    """

    neighbours: Tensor
    parent: Tensor
    children: Tensor
    coarse_neighbours: Tensor
    coarse_xyz: Tensor
    slots: Tensor | None = None
    rows: Tensor | None = None
    batch: Tensor | None = None
    coarse_batch: Tensor | None = None


def texture_tables(
    coords: NDArray[np.integer], device: torch.device | str = "cpu", dtype: torch.dtype = torch.int64
) -> TextureTables:
    """Tables of a voxel list, (N, 4) rows [batch, x, y, z]; objects are numbered 0 .. B-1 without gaps."""

    def put(a: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(a)).to(device, dtype)

    pool = tables.pooling_table(coords)
    single = (
        put(tables.neighbour_table(coords)),
        put(pool.parent),
        put(pool.children),
        put(tables.neighbour_table(pool.coords)),
        put(pool.coords[:, 1:]),
    )
    if len(coords) == 0 or coords[:, 0].max() == 0:
        return TextureTables(*single)
    objects = tables.batch_table(pool.coords)
    if len(objects.slots) != coords[:, 0].max() + 1:
        raise ValueError("every object of the batch needs at least one voxel")
    return TextureTables(
        *single, put(objects.slots), put(objects.rows), put(coords[:, 0]), put(pool.coords[:, 0])
    )


class SparseResBlock(nn.Module):
    """Residual block on voxels with a time-modulated norm; changes the resolution before anything else."""

    def __init__(self, channels_in: int, channels_out: int, embed_width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(channels_in, eps=1e-6)
        self.conv1 = SubmanifoldConv(channels_in, channels_out)
        self.conv2 = SubmanifoldConv(channels_out, channels_out)
        self.modulation = nn.Linear(embed_width, 2 * channels_out)
        self.skip = nn.Linear(channels_in, channels_out) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, e: Tensor, neighbours: Tensor, batch: Tensor | None) -> Tensor:
        """x (N, C_in) already at the output's resolution, e (B, C_e) -> (N, C_out)."""
        m = self.modulation(F.silu(e))
        scale, shift = (m if batch is None else m[batch]).chunk(2, dim=-1)
        h = self.conv1(F.silu(self.norm(x)), neighbours)
        h = layer_norm(h, eps=1e-6) * (1 + scale) + shift
        return self.conv2(F.silu(h), neighbours) + self.skip(x)


class TextureFlow(nn.Module):
    """Velocity field of the texture & refinement model."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        c, io = config.width, config.io_channels
        same = config.blocks_per_level - 1
        self.config = config
        self.time_embed = ScalarEmbedding(c)
        self.in_layer = nn.Linear(config.channels, io)
        self.down_blocks: Modules[SparseResBlock] = Modules(
            [*(SparseResBlock(io, io, c) for _ in range(same)), SparseResBlock(io, c, c)]
        )
        self.blocks: Modules[FlowBlock] = Modules(
            FlowBlock(c, config.heads, config.mlp_ratio, config.condition_width) for _ in range(config.depth)
        )
        self.up_blocks: Modules[SparseResBlock] = Modules(
            [SparseResBlock(2 * c, io, c), *(SparseResBlock(2 * io, io, c) for _ in range(same))]
        )
        self.out_layer = nn.Linear(io, config.channels)

    def forward(self, x: Tensor, t: Tensor, tables: TextureTables, context: Tensor | None) -> Tensor:
        """Velocity (N, channels) fp32.

        x (N, channels), t (B,) in thousandths, context from `prepare` or None for the unconditional branch.
        """
        e = self.time_embed(t)
        h = self.in_layer(x.to(self.in_layer.weight.dtype))
        skips = []
        *same, down = self.down_blocks
        for block in same:
            h = block(h, e, tables.neighbours, tables.batch)
            skips.append(h)
        h = down(pool_mean(h, tables.children), e, tables.coarse_neighbours, tables.coarse_batch)
        skips.append(h)

        h = h + grid_sinusoid(tables.coarse_xyz, self.config.width).to(h.dtype)
        h = self.transform(h, e, tables, context)

        up, *same = self.up_blocks
        h = unpool(torch.cat([h, skips.pop()], dim=1), tables.parent)
        h = up(h, e, tables.neighbours, tables.batch)
        for block in same:
            h = block(torch.cat([h, skips.pop()], dim=1), e, tables.neighbours, tables.batch)
        return self.out_layer(layer_norm(h, eps=1e-5)).float()

    def transform(self, h: Tensor, e: Tensor, tables: TextureTables, context: Tensor | None) -> Tensor:
        """The transformer on the coarse tokens, (M, C) -> (M, C); objects are padded to a common length."""
        if tables.slots is None or tables.rows is None:
            tokens, bias = h[None], None
        else:
            tokens = append_zero(h)[tables.slots]
            bias = key_bias(tables.slots < h.shape[0], h.dtype)
        for i, block in enumerate(self.blocks):
            kv = None if context is None else (context[i, 0], context[i, 1])
            tokens = block(tokens, e, kv, bias)
        return tokens[0] if tables.rows is None else tokens.flatten(0, 1)[tables.rows]

    def prepare(self, condition: Tensor) -> Tensor:
        """Condition tokens (B, T, C_cond) -> keys and values of all blocks, (depth, 2, B, H, T, D)."""
        condition = condition.to(self.in_layer.weight.dtype)
        return torch.stack([torch.stack(b.stream.cross.keys_values(condition)) for b in self.blocks])
