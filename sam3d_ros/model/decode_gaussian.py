"""Gaussian decoder: every voxel of the structured latent becomes 32 or 4 Gaussians (paper section 3)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import GaussianDecoderConfig
from .gaussians import Gaussians
from .layers import layer_norm
from .slat_trunk import SlatTrunk, WindowPair


class GaussianDecoder(nn.Module):
    """Trunk and one linear head; offsets start from a low-discrepancy pattern around the voxel's centre."""

    def __init__(self, config: GaussianDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = SlatTrunk(config.trunk)
        self.out_layer = nn.Linear(config.trunk.width, 14 * config.per_voxel)
        self.register_buffer("offsets", start_offsets(config.per_voxel, config.spread))

    def forward(self, x: Tensor, xyz: Tensor, windows: WindowPair) -> Tensor:
        """x (N, 8), xyz (N, 3) -> raw head output (N, 14 n) fp32; `gaussians` reads it."""
        h = layer_norm(self.trunk(x, xyz, windows).float(), eps=1e-5)
        return self.out_layer(h.to(self.out_layer.weight.dtype)).float()

    def gaussians(self, raw: Tensor, xyz: Tensor) -> Gaussians:
        """Head output (N, 14 n) of one object -> its Gaussians, voxel-major.

        Channels: xyz 3n | colour 3n | scale 3n | rotation 4n | opacity n.
        """
        cfg = self.config
        n = cfg.per_voxel
        offset, colour, scale, rotation, opacity = raw.split([3 * n, 3 * n, 3 * n, 4 * n, n], dim=1)
        centre = (xyz.float() + 0.5) / cfg.trunk.grid - 0.5
        reach = 0.5 * cfg.spread / cfg.trunk.grid
        offset = torch.tanh(offset.unflatten(1, (n, 3)) + self.offsets) * reach
        unturned = rotation.new_tensor([1.0, 0.0, 0.0, 0.0])
        return Gaussians(
            position=(centre[:, None] + offset).reshape(-1, 3),
            colour=colour.reshape(-1, 3),
            scale=activate_scale(scale.reshape(-1, 3), cfg.scale_bias, cfg.min_kernel),
            rotation=rotation.reshape(-1, 4) * cfg.rotation_gain + unturned,
            opacity=torch.sigmoid(
                opacity.reshape(-1, 1) + math.log(cfg.opacity_bias / (1 - cfg.opacity_bias))
            ),
            min_kernel=cfg.min_kernel,
        )


def activate_scale(raw: Tensor, scale_bias: float, min_kernel: float) -> Tensor:
    """Standard deviations: softplus, `scale_bias` at raw 0, the smallest kernel added as a variance."""
    smooth = F.softplus(raw + inverse_softplus(scale_bias))
    return torch.sqrt(smooth**2 + min_kernel**2)


def start_offsets(n: int, spread: float) -> Tensor:
    """Raw offsets (n, 3) whose tanh is a Hammersley pattern on [-1, 1]^3 / spread.

    Point i of the pattern is [i/n, radical inverse in base 2, radical inverse in base 3].
    """
    points = [[i / n, radical_inverse(i, 2), radical_inverse(i, 3)] for i in range(n)]
    return torch.atanh((2 * torch.tensor(points) - 1) / spread)


def radical_inverse(i: int, base: int) -> float:
    """The digits of i mirrored at the point: i = 6 in base 2 is 110, its inverse 0.011 = 3/8."""
    value, place = 0.0, 1.0 / base
    while i:
        i, digit = divmod(i, base)
        value += digit * place
        place /= base
    return value


def inverse_softplus(y: float) -> float:
    """x with log(1 + exp(x)) = y."""
    return y + math.log(-math.expm1(-y))
