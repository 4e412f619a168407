"""Autoencoder of the coarse shape: 16^3 x 8 latent <-> 64^3 occupancy (paper section 3)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import OccupancyConfig
from .layers import LayerNorm


class ChannelNorm(LayerNorm):
    """LayerNorm over the channels of a grid."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, D, H, W) -> same."""
        return super().forward(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class ResBlock3d(nn.Module):
    """Norm, SiLU, convolution, twice, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels, eps=1e-5)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = ChannelNorm(channels, eps=1e-5)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, D, H, W) -> same."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Up3d(nn.Module):
    """Convolution to 8 C channels and 3-D pixel shuffle: twice the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, 8 * channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C_in, D, D, D) -> (B, C_out, 2D, 2D, 2D).

        Channel 8 c + 4 sx + 2 sy + sz goes to offset (sx, sy, sz).
        """
        h = self.conv(x).unflatten(1, (-1, 2, 2, 2))
        return h.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)


class Down3d(nn.Module):
    """Strided convolution: half the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C_in, 2D, 2D, 2D) -> (B, C_out, D, D, D)."""
        return self.conv(x)


class OccupancyDecoder(nn.Module):
    """Shape latent to occupancy logits; a voxel is occupied where its logit is above 0."""

    def __init__(self, config: OccupancyConfig) -> None:
        super().__init__()
        first, *_, last = config.channels
        self.in_layer = nn.Conv3d(config.latent_channels, first, 3, padding=1)
        self.middle_block = nn.Sequential(*(ResBlock3d(first) for _ in range(config.middle_blocks)))
        blocks: list[nn.Module] = []
        for level, c in enumerate(config.channels):
            if level:
                blocks.append(Up3d(config.channels[level - 1], c))
            blocks += [ResBlock3d(c) for _ in range(config.blocks_per_level)]
        self.blocks = nn.Sequential(*blocks)
        self.out_norm = ChannelNorm(last, eps=1e-5)
        self.out_conv = nn.Conv3d(last, 1, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """latent (B, 8, 16, 16, 16) -> logits (B, 1, 64, 64, 64) fp32."""
        x = self.in_layer(latent.to(self.in_layer.weight.dtype))
        x = self.blocks(self.middle_block(x))
        return self.out_conv(F.silu(self.out_norm(x))).float()

    def from_tokens(self, tokens: Tensor) -> Tensor:
        """The flow's shape tokens (B, 4096, 8), x slowest -> logits."""
        side = round(tokens.shape[1] ** (1 / 3))
        return self(tokens.transpose(1, 2).unflatten(2, (side, side, side)))


class OccupancyEncoder(nn.Module):
    """Occupancy grid to mean and log variance of the shape latent; the decoder's mirror, for training."""

    def __init__(self, config: OccupancyConfig) -> None:
        super().__init__()
        channels = config.channels[::-1]
        first, *_, last = channels
        self.in_layer = nn.Conv3d(1, first, 3, padding=1)
        blocks: list[nn.Module] = []
        for level, c in enumerate(channels):
            if level:
                blocks.append(Down3d(channels[level - 1], c))
            blocks += [ResBlock3d(c) for _ in range(config.blocks_per_level)]
        self.blocks = nn.Sequential(*blocks)
        self.middle_block = nn.Sequential(*(ResBlock3d(last) for _ in range(config.middle_blocks)))
        self.out_norm = ChannelNorm(last, eps=1e-5)
        self.out_conv = nn.Conv3d(last, 2 * config.latent_channels, 3, padding=1)

    def forward(self, occupancy: Tensor) -> tuple[Tensor, Tensor]:
        """occupancy (B, 1, 64, 64, 64) in {0, 1} -> mean and log variance, each (B, 8, 16, 16, 16)."""
        x = self.middle_block(self.blocks(self.in_layer(occupancy.to(self.in_layer.weight.dtype))))
        mean, logvar = self.out_conv(F.silu(self.out_norm(x))).chunk(2, dim=1)
        return mean, logvar


def occupied(logits: Tensor) -> Tensor:
    """Coordinates of the occupied voxels, (N, 4) int32 rows [batch, x, y, z] in lexicographic order.

    logits (B, 1, R, R, R); the threshold is 0.
    """
    return torch.argwhere(logits > 0)[:, [0, 2, 3, 4]].int()
