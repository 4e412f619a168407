"""The compact model's image encoder: a small vision transformer, trained from scratch."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import torch
from torch import Tensor, nn

from ..dino import VitBlock
from ..layers import LayerNorm, Modules
from .config import PictureConfig


class PictureEncoder(nn.Module):
    """Crop with colour, mask and points to tokens."""

    def __init__(self, config: PictureConfig) -> None:
        super().__init__()
        c = config.width
        self.patch_embed = nn.Conv2d(config.channels, c, config.patch, config.patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, config.tokens, c))
        self.blocks: Modules[VitBlock] = Modules(
            VitBlock(c, config.heads, 3.0, layer_scale=False) for _ in range(config.depth)
        )
        self.norm = LayerNorm(c, eps=1e-6)

    def forward(self, picture: Tensor) -> Tensor:
        """picture (B, channels, pixels, pixels) in -1 .. 1 -> (B, T, C)."""
        x = self.patch_embed(picture).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
