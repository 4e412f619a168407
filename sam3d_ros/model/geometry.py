"""The geometry model: a mixture-of-transformers flow over shape and layout (paper section 3, figure 2).

It moves noise to data in the joint space of a shape latent (16^3 voxels x 8 channels) and four layout latents
(rotation, translation, scale, translation_scale), given condition tokens. `flow` holds the sampler.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .block import Modulation, TwoStreamBlock
from .config import LAYOUT_LATENTS, GeometryConfig
from .layers import Modules, NamedModules, ScalarEmbedding, dense_grid, grid_sinusoid, layer_norm


class GeometryContext(NamedTuple):
    """The condition, prepared once per object for all steps.

    shape_kv (depth, 2, B, H, T, D): keys and values of the shape stream's cross-attention.
    layout (B, T, C_cond): the raw tokens; the four layout tokens read them by weight absorption.
    """

    shape_kv: Tensor
    layout: Tensor


class Latent(nn.Module):
    """In and out of the transformer for one latent: linear embedding with position, and linear readout."""

    def __init__(self, channels: int, width: int, position: Tensor, learned: bool) -> None:
        super().__init__()
        self.embed_layer = nn.Linear(channels, width)
        self.readout_layer = nn.Linear(width, channels)
        if learned:
            self.position = nn.Parameter(position)
        else:
            self.register_buffer("position", position)

    def embed(self, x: Tensor) -> Tensor:
        """x (B, N, channels) -> (B, N, C)."""
        weight = self.embed_layer.weight
        return self.embed_layer(x.to(weight.dtype)) + self.position.to(weight.dtype)

    def readout(self, h: Tensor) -> Tensor:
        """h (B, N, C) -> (B, N, channels) fp32."""
        return self.readout_layer(layer_norm(h, eps=1e-5)).float()


class GeometryFlow(nn.Module):
    """Velocity field of the geometry model."""

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        c = config.width
        self.config = config
        self.time_embed = ScalarEmbedding(c)
        self.step_embed = ScalarEmbedding(c)
        positions = grid_sinusoid(dense_grid(config.grid), c)
        self.latents: NamedModules[Latent] = NamedModules(
            {
                name: Latent(n, c, positions if name == "shape" else torch.zeros(1, c), name != "shape")
                for name, n in config.channels.items()
            }
        )
        self.blocks: Modules[TwoStreamBlock] = Modules(
            TwoStreamBlock(c, config.heads, config.mlp_ratio, config.condition_width)
            for _ in range(config.depth)
        )

    def forward(
        self, x: Mapping[str, Tensor], t: Tensor, d: Tensor | None, context: GeometryContext | None
    ) -> dict[str, Tensor]:
        """Velocity of every latent.

        x: latents by name, shape (B, grid^3, 8), layout latents (B, 1, channels).
        t (B,): flow time in thousandths, 0 noise, 1000 data.
        d (B,): step size in thousandths, 0 for plain flow matching; None only for networks that were trained
        without a step embedding.
        context: from `prepare`; None for the guidance's unconditional branch.
        """
        e = self.embed_time(t, d)
        shape, layout = self.latents["shape"].embed(x["shape"]), self.embed_layout(x)
        for i, block in enumerate(self.blocks):
            m = Modulation.of(block.modulation, e)
            shape, shape_kv = block.shape_step(shape, m, _shape_context(context, i))
            layout = block.layout_step(layout, m, context and context.layout, shape_kv)
        return {"shape": self.latents["shape"].readout(shape), **self.read_layout(layout)}

    def shape_velocity(
        self, shape: Tensor, t: Tensor, d: Tensor | None, context: GeometryContext | None
    ) -> tuple[Tensor, Tensor]:
        """Shape stream alone: its velocity (B, grid^3, 8), and its keys and values for `layout_velocity`.

        The latter are (depth, 2, B, H, grid^3, D).
        """
        e = self.embed_time(t, d)
        h = self.latents["shape"].embed(shape)
        kept = []
        for i, block in enumerate(self.blocks):
            m = Modulation.of(block.modulation, e)
            h, shape_kv = block.shape_step(h, m, _shape_context(context, i))
            kept.append(torch.stack(shape_kv))
        return self.latents["shape"].readout(h), torch.stack(kept)

    def layout_velocity(
        self,
        x: Mapping[str, Tensor],
        t: Tensor,
        d: Tensor | None,
        condition: Tensor | None,
        shape_kv: Tensor,
    ) -> dict[str, Tensor]:
        """Layout stream alone, from the keys and values that `shape_velocity` gave at the same t and d.

        Four tokens instead of 4100: other layout seeds for the same shape at about 2 % of a full pass.
        condition: the raw tokens (B, T, C_cond) or None. Where condition and shape_kv have a batch of 1, x
        may have any.
        """
        e = self.embed_time(t, d)
        h = self.embed_layout(x)
        b = h.shape[0]
        condition = None if condition is None else condition.expand(b, -1, -1)
        for block, kv in zip(self.blocks, shape_kv, strict=True):
            k, v = kv.expand(-1, b, -1, -1, -1)
            h = block.layout_step(h, Modulation.of(block.modulation, e), condition, (k, v))
        return self.read_layout(h)

    def prepare(self, condition: Tensor) -> GeometryContext:
        """Condition tokens (B, T, C_cond) -> the context of all steps."""
        condition = condition.to(self.time_embed.fc1.weight.dtype)
        kv = [torch.stack(block.shape.cross.keys_values(condition)) for block in self.blocks]
        return GeometryContext(torch.stack(kv), condition)

    def embed_time(self, t: Tensor, d: Tensor | None) -> Tensor:
        """t and d (B,) in thousandths -> (B, C)."""
        e = self.time_embed(t)
        return e if d is None else e + self.step_embed(d)

    def embed_layout(self, x: Mapping[str, Tensor]) -> Tensor:
        """Layout latents by name -> the layout stream's tokens (B, 4, C)."""
        return torch.cat([self.latents[name].embed(x[name]) for name in LAYOUT_LATENTS], dim=1)

    def read_layout(self, h: Tensor) -> dict[str, Tensor]:
        """Layout tokens (B, 4, C) -> velocities by name."""
        return {n: self.latents[n].readout(h[:, i : i + 1]) for i, n in enumerate(LAYOUT_LATENTS)}


def _shape_context(context: GeometryContext | None, block: int) -> tuple[Tensor, Tensor] | None:
    """Keys and values of one block's shape stream."""
    return None if context is None else (context.shape_kv[block, 0], context.shape_kv[block, 1])
