"""The compact texture & refinement model: a flow over fine distances and colours, given the geometry model's answer.

Both latents live on dense grids in the object's box. A narrow band of sparse voxels, as the published model has it,
saves little here: the box fits the object so closely that a fifth to a third of its cells are near the surface.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..block import FlowBlock
from ..layers import Modules, ScalarEmbedding, dense_grid, grid_sinusoid
from .config import CompactTextureConfig
from .geometry import LEAST_REST, FilmBlock, join, split, while_learning, zeroed
from .picture import PictureEncoder

COLOURS = 3


class TextureContext(NamedTuple):
    """The condition, prepared once per object for all steps.

    volume (B, W, T, T, T): coarse answer, evidence and seen colours after the stem; T is the trunk's side. distance
    (B, 1, F, F, F): the coarse answer on the fine grid; colour (B, 3, G, G, G): nearest seen colours; numbers (B, C);
    kv (depth, 2, B, H, T, D).
    """

    volume: Tensor
    distance: Tensor
    colour: Tensor
    numbers: Tensor
    kv: Tensor


class CompactTexture(nn.Module):
    """Velocity field over fine distances and colours."""

    def __init__(self, config: CompactTextureConfig) -> None:
        super().__init__()
        w1, w2, c = config.widths
        self.config = config
        block, ratio = config.coarse // config.trunk, config.fine // config.trunk
        self.block, self.ratio = block, ratio
        self.time_embed = ScalarEmbedding(c)
        self.step_embed = ScalarEmbedding(c)
        zeroed(self.step_embed.fc2)
        self.picture = PictureEncoder(config.picture)
        self.numbers = nn.Sequential(nn.Linear(config.condition_globals, c), nn.SiLU(), nn.Linear(c, c))
        known = (1 + config.condition + COLOURS + 1) * block**3 + ratio**3
        self.evidence = nn.Sequential(
            nn.Conv3d(known, 2 * w1, 1), nn.SiLU(), nn.Conv3d(2 * w1, w1, 3, padding=1)
        )
        self.stem = nn.Conv3d(ratio**3 + COLOURS * block**3, w1, 1)
        self.down1 = FilmBlock(w1, c)
        self.shrink1 = nn.Conv3d(w1, w2, 2, stride=2)
        self.down2 = FilmBlock(w2, c)
        self.shrink2 = nn.Conv3d(w2, c, 2, stride=2)
        self.register_buffer("position", grid_sinusoid(dense_grid(config.trunk // 4), c), persistent=False)
        self.blocks: Modules[FlowBlock] = Modules(
            FlowBlock(c, config.heads, config.mlp_ratio, config.picture.width) for _ in range(config.depth)
        )
        for transformer in self.blocks:
            zeroed(transformer.modulation)
        self.grow2 = nn.ConvTranspose3d(c, w2, 2, stride=2)
        self.up2 = FilmBlock(w2, c)
        self.grow1 = nn.ConvTranspose3d(w2, w1, 2, stride=2)
        self.up1 = FilmBlock(w1, c)
        self.last = nn.Conv3d(w1, 2 * w1, 1)
        self.head = nn.Conv3d(2 * w1, ratio**3 + COLOURS * block**3, 1)
        zeroed(self.head)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """torch.compile of the pass that a step of training spends its time in; it does not go by `forward`."""
        self.clean = while_learning(self.clean, torch.compile(self.clean, *args, **kwargs))  # type: ignore[method-assign]

    def prepare(
        self, coarse: Tensor, grid: Tensor, seen: Tensor, numbers: Tensor, picture: Tensor
    ) -> TextureContext:
        """coarse (B, 1, G, G, G): distances of the geometry model, in coarse cells over the truncation. grid (B, 6, G,
        G, G), numbers (B, 6), picture (B, 8, P, P): as for the geometry model. seen (B, 4, G, G, G): `seen_colours`."""
        tokens = self.picture(picture)
        distance = self.fine(coarse)
        known = torch.cat(
            [split(torch.cat([coarse, grid, seen], dim=1), self.block), split(distance, self.ratio)], dim=1
        )
        kv = torch.stack([torch.stack(b.stream.cross.keys_values(tokens)) for b in self.blocks])
        return TextureContext(self.evidence(known), distance, seen[:, :COLOURS], self.numbers(numbers), kv)

    def fine(self, coarse: Tensor) -> Tensor:
        """Coarse distances (B, 1, G, G, G) on the fine grid, in fine cells over the truncation."""
        more = self.config.fine / self.config.coarse
        side = [self.config.fine] * 3
        return (more * F.interpolate(coarse, side, mode="trilinear", align_corners=False)).clamp(-1, 1)

    def forward(
        self, x: Mapping[str, Tensor], t: Tensor, d: Tensor, context: TextureContext
    ) -> dict[str, Tensor]:
        """Velocity of `distance` (B, 1, F, F, F) and `colour` (B, 3, G, G, G), both as the flow sees them."""
        clean = self.clean(x, t, d, context)
        rest = (1 - t / 1000).clamp_min(LEAST_REST)[:, None, None, None, None]
        return {name: (clean[name] - x[name]) / rest for name in clean}

    def clean(
        self, x: Mapping[str, Tensor], t: Tensor, d: Tensor, context: TextureContext
    ) -> dict[str, Tensor]:
        """The latents that the network expects at the end of the flow."""
        e = self.time_embed(t) + self.step_embed(d) + context.numbers
        noisy = torch.cat([split(x["distance"], self.ratio), split(x["colour"], self.block)], dim=1)
        fine = self.down1(self.stem(noisy) + context.volume, e)
        middle = self.down2(self.shrink1(fine), e)
        coarse = self.shrink2(middle)
        tokens = coarse.flatten(2).transpose(1, 2) + self.position
        for i, transformer in enumerate(self.blocks):
            tokens = transformer(tokens, e, (context.kv[i, 0], context.kv[i, 1]))
        middle = self.up2(middle + self.grow2(tokens.transpose(1, 2).reshape(coarse.shape)), e)
        fine = self.up1(fine + self.grow1(middle), e)
        answer = self.head(F.silu(self.last(F.silu(fine))))
        distance, colour = answer.split([self.ratio**3, COLOURS * self.block**3], dim=1)
        gain = self.config.gain
        return {
            "distance": gain * (join(distance, self.ratio) + context.distance),
            "colour": gain * (join(colour, self.block) + context.colour),
        }
