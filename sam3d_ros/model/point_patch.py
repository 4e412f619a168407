"""Pointmap encoder: every 8x8 window of normalised points becomes one token (paper section 3, pointmap
condition).
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import PointPatchConfig
from .dino import VitBlock
from .preprocess import nearest_sources


class PointPatch(nn.Module):
    """Window encoder of a pointmap; pixels without a finite point are replaced by a learned token."""

    def __init__(self, config: PointPatchConfig) -> None:
        super().__init__()
        c = config.width
        self.config = config
        self.point_proj = nn.Linear(3, c)
        self.invalid_token = nn.Parameter(torch.zeros(c))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c))
        self.pixel_positions = nn.Parameter(torch.zeros(1, 1 + config.patch_size**2, c))
        self.window_positions = nn.Parameter(torch.zeros(1, c, config.grid, config.grid))
        self.block = VitBlock(c, config.heads, config.mlp_ratio, layer_scale=False)

    def forward(self, pointmap: Tensor) -> Tensor:
        """pointmap (B, 3, H, W), NaN or inf where nothing was measured -> (B, grid^2, C), row-major."""
        cfg = self.config
        b = pointmap.shape[0]
        # Chosen pixels rather than a resize operator: runtimes round differently where a source falls on an edge.
        rows, cols = (
            torch.as_tensor(nearest_sources(n, cfg.image_size), device=pointmap.device)
            for n in pointmap.shape[2:]
        )
        points = pointmap[:, :, rows][..., cols].permute(0, 2, 3, 1)
        valid = torch.isfinite(points).all(dim=-1, keepdim=True)
        points = torch.where(valid, points, torch.zeros_like(points)).to(self.point_proj.weight.dtype)
        x = torch.where(valid, self.point_proj(points), self.invalid_token)
        g, p = cfg.grid, cfg.patch_size
        x = x.reshape(b, g, p, g, p, -1).transpose(2, 3).reshape(b * g * g, p * p, -1)
        x = torch.cat([self.cls_token.expand(b * g * g, -1, -1), x], dim=1) + self.pixel_positions
        tokens = self.block(x)[:, 0].reshape(b, g * g, -1)
        return tokens + self.window_positions.flatten(2).transpose(1, 2)
