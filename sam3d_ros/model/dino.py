"""DINOv2 image encoder with registers, the picture's way into both stages.

Oquab et al. 2023 (DINOv2); Darcet et al. 2024 (registers).
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .config import DinoConfig
from .layers import LayerNorm, Mlp, Modules, layer_norm

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SelfAttention(nn.Module):
    """Plain multi-head self-attention with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) -> (B, L, C)."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v).transpose(1, 2).reshape(b, n, c))


class VitBlock(nn.Module):
    """Pre-norm transformer block; LayerScale gains where `layer_scale` is set."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, layer_scale: bool) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, eps=1e-6)
        self.attn = SelfAttention(width, heads)
        self.norm2 = LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * mlp_ratio), approximate="none")
        self.gain1 = nn.Parameter(torch.ones(width)) if layer_scale else None
        self.gain2 = nn.Parameter(torch.ones(width)) if layer_scale else None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, C) -> (B, L, C)."""
        h = self.attn(self.norm1(x))
        x = x + (h if self.gain1 is None else h * self.gain1)
        h = self.mlp(self.norm2(x))
        return x + (h if self.gain2 is None else h * self.gain2)


class Dino(nn.Module):
    """ViT with registers. Takes pictures in [0, 1], resizes and normalises them itself."""

    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        c = config.width
        self.config = config
        self.patch_embed = nn.Conv2d(3, c, config.patch_size, config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, c))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid**2, c))
        # Used by DINO's pre-training only; kept so that a checkpoint survives the way there and back.
        self.mask_token = nn.Parameter(torch.zeros(1, c))
        self.blocks: Modules[VitBlock] = Modules(
            VitBlock(c, config.heads, config.mlp_ratio, layer_scale=True) for _ in range(config.depth)
        )
        self.norm = LayerNorm(c, eps=1e-6)

    def forward(self, image: Tensor, prenorm: bool = False) -> Tensor:
        """image (B, 1 or 3, H, W) in [0, 1] -> tokens.

        prenorm False: (B, 1 + P, C), the normed class and patch tokens.
        prenorm True: (B, 1 + R + P, C), all tokens before the trained norm, normalised without gain.
        """
        size = (self.config.image_size, self.config.image_size)
        x = self.tokens(normalise(F.interpolate(image, size, mode="bilinear", align_corners=False)))
        if prenorm:
            return layer_norm(x, eps=1e-5)
        x = self.norm(x)
        return torch.cat([x[:, :1], x[:, 1 + self.config.registers :]], dim=1)

    def tokens(self, image: Tensor) -> Tensor:
        """Normalised image (B, 3, H, W) -> all tokens (B, 1 + R + P, C) before the final norm."""
        image = image.to(self.patch_embed.weight.dtype)
        rows, cols = image.shape[2] // self.config.patch_size, image.shape[3] // self.config.patch_size
        patches = self.patch_embed(image).flatten(2).transpose(1, 2)
        b = image.shape[0]
        x = torch.cat([self.cls_token.expand(b, -1, -1), patches], dim=1)
        x = x + self.positions(rows, cols).to(x.dtype)
        # The registers carry no position: they enter after the embedding was added.
        x = torch.cat([x[:, :1], self.register_tokens.expand(b, -1, -1), x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return x

    def positions(self, rows: int, cols: int) -> Tensor:
        """Positions of a grid of patches, (1, 1 + rows * cols, C); bicubic where not the trained grid."""
        grid = self.config.grid
        if (rows, cols) == (grid, grid):
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, (rows, cols), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1].float(), table.flatten(2).transpose(1, 2)], dim=1)


def normalise(image: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) in [0, 1] -> (B, 3, H, W) with ImageNet's mean and deviation; masks too."""
    mean = torch.tensor(IMAGENET_MEAN, device=image.device, dtype=image.dtype)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=image.device, dtype=image.dtype)[:, None, None]
    return (image.expand(-1, 3, -1, -1) - mean) / std
