"""Mesh decoder: structured latent on 64^3 voxels to surface parameters and colours on cubes of 256^3.

`flexicubes` turns the result into triangles (paper section 3, mesh decoder).
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import MeshDecoderConfig
from .layers import Modules
from .slat_trunk import SlatTrunk, WindowPair
from .sparse import GroupNorm, SubmanifoldConv, child_neighbours, parity_conv, subdivide


class Upsample(nn.Module):
    """Residual block that subdivides every voxel into its eight children."""

    def __init__(self, channels_in: int, channels_out: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(norm_groups, channels_in)
        self.conv1 = SubmanifoldConv(channels_in, channels_out)
        self.norm2 = GroupNorm(norm_groups, channels_out)
        self.conv2 = SubmanifoldConv(channels_out, channels_out)
        self.skip = SubmanifoldConv(channels_in, channels_out, kernel=1)

    def forward(self, x: Tensor, neighbours: Tensor, batch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N, C_in), neighbours (N, 27) -> (8 N, C_out) and the children's neighbours (8 N, 27).

        Norm and activation act on each voxel alone or on sums over all voxels, so they commute with the
        subdivision: the first convolution runs on the parents by parity, the skip on the parents too.
        """
        finer = child_neighbours(neighbours)
        h = parity_conv(F.silu(self.norm1(x, batch)), neighbours, self.conv1.weight, self.conv1.bias)
        h = self.norm2(h, None if batch is None else batch.repeat_interleave(8))
        h = self.conv2(F.silu(h), finer)
        return h + subdivide(self.skip(x)), finer


class MeshDecoder(nn.Module):
    """Trunk, two subdivisions, and 101 channels per cube (see `flexicubes.CubeValues`)."""

    def __init__(self, config: MeshDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = SlatTrunk(config.trunk)
        widths = (config.trunk.width, *config.channels)
        self.upsample: Modules[Upsample] = Modules(
            Upsample(a, b, config.norm_groups) for a, b in pairwise(widths)
        )
        self.out_layer = nn.Linear(widths[-1], config.out_channels)

    def forward(
        self, x: Tensor, xyz: Tensor, windows: WindowPair, neighbours: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        """x (N, 8), xyz (N, 3), neighbours (N, 27) -> (64 N, 101) fp32.

        Rows are those of subdividing twice: the cube of row 64 p + 8 a + b is child b of child a of voxel p.
        """
        return self.heads(self.trunk(x, xyz, windows), neighbours, batch)

    def heads(self, h: Tensor, neighbours: Tensor, batch: Tensor | None = None) -> Tensor:
        """Trunk features (N, C) -> (64 N, 101) fp32."""
        for block in self.upsample:
            h, neighbours = block(h, neighbours, batch)
            batch = None if batch is None else batch.repeat_interleave(8)
        return self.out_layer(h.to(self.out_layer.weight.dtype)).float()


def cube_coords(xyz: Tensor, levels: int = 2) -> Tensor:
    """Coordinates of the decoder's cubes, (N, 3) at 64^3 -> (64 N, 3) at 256^3, in the order of its rows."""
    place = torch.stack(torch.meshgrid(*[torch.arange(2, device=xyz.device)] * 3, indexing="ij"), -1)
    for _ in range(levels):
        xyz = (2 * xyz[:, None] + place.reshape(1, 8, 3)).flatten(0, 1)
    return xyz
