"""Transformer over active voxels with shifted windows: trunk of the decoders, and the latent encoder."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import tables
from .attention import attend_windows
from .config import SlatEncoderConfig, SlatTrunkConfig
from .layers import Mlp, Modules, grid_sinusoid, layer_norm


class WindowPair(NamedTuple):
    """Windows of the even and of the odd blocks: slots (W, L) and rows (N,) each (see `tables.Windows`)."""

    slots: Tensor
    rows: Tensor
    shifted_slots: Tensor
    shifted_rows: Tensor


def window_pair(
    coords: NDArray[np.integer], window: int = 8, device: torch.device | str = "cpu"
) -> WindowPair:
    """Both window tables of a voxel list, (N, 4) rows [batch, x, y, z]; odd blocks shift by half a window."""
    pair = [tables.window_table(coords, window, shift) for shift in (0, window // 2)]
    return WindowPair(*(torch.from_numpy(a).to(device) for w in pair for a in (w.slots, w.rows)))


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, without query and key norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
        """x (N, C) -> (N, C)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(1)
        return self.proj(attend_windows(q, k, v, slots, rows).flatten(1))


class WindowBlock(nn.Module):
    """Pre-norm block without trained norm gains."""

    def __init__(self, config: SlatTrunkConfig) -> None:
        super().__init__()
        self.attn = WindowAttention(config.width, config.heads)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio), approximate="tanh")

    def forward(self, x: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
        """x (N, C) -> (N, C)."""
        x = x + self.attn(layer_norm(x, eps=1e-6), slots, rows)
        return x + self.mlp(layer_norm(x, eps=1e-6))


class SlatTrunk(nn.Module):
    """Linear in, positions, blocks with windows that shift every other block."""

    def __init__(self, config: SlatTrunkConfig) -> None:
        super().__init__()
        self.config = config
        self.in_layer = nn.Linear(config.in_channels, config.width)
        self.blocks: Modules[WindowBlock] = Modules(WindowBlock(config) for _ in range(config.depth))

    def forward(self, x: Tensor, xyz: Tensor, windows: WindowPair) -> Tensor:
        """x (N, C_in), xyz (N, 3) int grid coordinates -> (N, C)."""
        h = self.in_layer(x.to(self.in_layer.weight.dtype))
        h = h + grid_sinusoid(xyz, self.config.width).to(h.dtype)
        for i, block in enumerate(self.blocks):
            h = block(h, *(windows[2:] if i % 2 else windows[:2]))
        return h


class SlatEncoder(nn.Module):
    """Voxel features to the mean and log variance of the structured latent (training only)."""

    def __init__(self, config: SlatEncoderConfig) -> None:
        super().__init__()
        self.trunk = SlatTrunk(config.trunk)
        self.out_layer = nn.Linear(config.trunk.width, 2 * config.latent_channels)

    def forward(self, x: Tensor, xyz: Tensor, windows: WindowPair) -> tuple[Tensor, Tensor]:
        """x (N, C_in), xyz (N, 3) -> mean and log variance, each (N, latent_channels) fp32."""
        h = layer_norm(self.trunk(x, xyz, windows).float(), eps=1e-5)
        mean, logvar = self.out_layer(h.to(self.out_layer.weight.dtype)).float().chunk(2, dim=-1)
        return mean, logvar
