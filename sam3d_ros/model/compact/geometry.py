"""The compact geometry model: the two-stream flow transformer inside a convolutional path down and up.

Shape is a grid of signed distances in the object's box, layout three tokens. The network predicts the clean latents
(not their velocity: that asks for the noise of every sample, which a narrow path cannot carry) and turns them into a
velocity, so that `flow.sample` takes it like the published model.

The evidence of the depth image enters on the grid of the answer; its classical completion is added to the answer, so
training starts from what the baseline knows.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..block import Modulation, TwoStreamBlock
from ..geometry import Latent
from ..layers import Modules, NamedModules, ScalarEmbedding, dense_grid, grid_sinusoid
from .config import LAYOUT, CompactGeometryConfig
from .picture import PictureEncoder

T = TypeVar("T")
COLUMN = 3
"""Channel of the evidence that holds the classical completion (sam3d_ros/compact/lift.py)."""
LEAST_REST = 0.05
"""Least 1 - t by which a difference is divided: later than t = 0.95 no step begins."""


class CompactContext(NamedTuple):
    """The condition, prepared once per object for all steps.

    volume (B, W, G/2, G/2, G/2): evidence after its stem. column (B, 1, G, G, G): classical completion. numbers
    (B, C): embedded globals. kv (depth, 2, B, H, T, D): keys and values of the shape stream's cross-attention. tokens
    (B, T, C): raw picture tokens for the layout stream.
    """

    volume: Tensor
    column: Tensor
    numbers: Tensor
    kv: Tensor
    tokens: Tensor


class FilmBlock(nn.Module):
    """Norm, modulation, convolution, convolution, plus the input; the second convolution starts at zero."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, channels)
        self.film = nn.Linear(embedding, 2 * channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        zeroed(self.film)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (B, C, D, D, D), e (B, E) -> (B, C, D, D, D)."""
        gain, shift = self.film(e)[:, :, None, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm(x) * (1 + gain) + shift))
        return x + self.conv2(F.silu(h))


class CompactGeometry(nn.Module):
    """Velocity field over shape and layout."""

    def __init__(self, config: CompactGeometryConfig) -> None:
        super().__init__()
        w1, w2, c = config.widths
        self.config = config
        self.time_embed = ScalarEmbedding(c)
        self.step_embed = ScalarEmbedding(c)
        zeroed(self.step_embed.fc2)
        self.numbers = nn.Sequential(nn.Linear(config.condition_globals, c), nn.SiLU(), nn.Linear(c, c))
        self.picture = PictureEncoder(config.picture)
        self.evidence = nn.Sequential(
            nn.Conv3d(8 * config.condition, 2 * w1, 1), nn.SiLU(), nn.Conv3d(2 * w1, w1, 3, padding=1)
        )
        self.stem = nn.Conv3d(8, w1, 1)
        self.down1 = nn.ModuleList(FilmBlock(w1, c) for _ in range(config.blocks[0]))
        self.shrink1 = nn.Conv3d(w1, w2, 2, stride=2)
        self.down2 = nn.ModuleList(FilmBlock(w2, c) for _ in range(config.blocks[1]))
        self.shrink2 = nn.Conv3d(w2, c, 2, stride=2)
        self.register_buffer("position", grid_sinusoid(dense_grid(config.trunk), c), persistent=False)
        self.layouts: NamedModules[Latent] = NamedModules(
            {name: Latent(n, c, torch.zeros(1, c), learned=True) for name, n in LAYOUT.items()}
        )
        self.blocks: Modules[TwoStreamBlock] = Modules(
            TwoStreamBlock(c, config.heads, config.mlp_ratio, config.picture.width)
            for _ in range(config.depth)
        )
        for block in self.blocks:  # adaLN-zero: every block starts as the identity
            zeroed(block.modulation)
        self.grow2 = nn.ConvTranspose3d(c, w2, 2, stride=2)
        self.up2 = FilmBlock(w2, c)
        self.grow1 = nn.ConvTranspose3d(w2, w1, 2, stride=2)
        self.up1 = FilmBlock(w1, c)
        self.last = nn.Conv3d(w1, w1, 3, padding=1)
        self.head = nn.Conv3d(w1, 8, 1)
        self.column_gain = nn.Parameter(torch.ones(()))
        zeroed(self.head)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """torch.compile of the pass that a step of training spends its time in; it does not go by `forward`."""
        self.clean = while_learning(self.clean, torch.compile(self.clean, *args, **kwargs))  # type: ignore[method-assign]

    def prepare(self, grid: Tensor, picture: Tensor, numbers: Tensor) -> CompactContext:
        """grid (B, 6, G, G, G), picture (B, 8, P, P), numbers (B, 6) as sam3d_ros/compact makes them."""
        tokens = self.picture(picture)
        kv = torch.stack([torch.stack(block.shape.cross.keys_values(tokens)) for block in self.blocks])
        volume = self.evidence(split(grid))
        return CompactContext(volume, grid[:, COLUMN : COLUMN + 1], self.numbers(numbers), kv, tokens)

    def forward(
        self, x: Mapping[str, Tensor], t: Tensor, d: Tensor, context: CompactContext
    ) -> dict[str, Tensor]:
        """Velocity of every latent at t with step d, both (B,) in thousandths.

        x: shape (B, 1, G, G, G), layout latents (B, 1, channels), all as the flow sees them (`to_latents`).
        """
        clean = self.clean(x, t, d, context)
        rest = (1 - t / 1000).clamp_min(LEAST_REST)
        return {
            name: (clean[name] - x[name]) / rest.reshape(-1, *[1] * (clean[name].ndim - 1)) for name in clean
        }

    def clean(
        self, x: Mapping[str, Tensor], t: Tensor, d: Tensor, context: CompactContext
    ) -> dict[str, Tensor]:
        """The latents that the network expects at the end of the flow; arguments as those of `forward`."""
        e = self.time_embed(t) + self.step_embed(d) + context.numbers
        fine = self.stem(split(x["shape"])) + context.volume
        for block in self.down1:
            fine = block(fine, e)
        middle = self.shrink1(fine)
        for block in self.down2:
            middle = block(middle, e)
        coarse = self.shrink2(middle)
        shape = coarse.flatten(2).transpose(1, 2) + self.position
        layout = torch.cat([self.layouts[name].embed(x[name]) for name in LAYOUT], dim=1)
        for i, transformer in enumerate(self.blocks):
            m = Modulation.of(transformer.modulation, e)
            shape, shape_kv = transformer.shape_step(shape, m, (context.kv[i, 0], context.kv[i, 1]))
            layout = transformer.layout_step(layout, m, context.tokens, shape_kv)
        coarse = shape.transpose(1, 2).reshape(coarse.shape)
        middle = self.up2(middle + self.grow2(coarse), e)
        fine = self.up1(fine + self.grow1(middle), e)
        answer = join(self.head(F.silu(self.last(F.silu(fine)))))
        distance = answer + self.column_gain * context.column
        layouts = {n: self.layouts[n].readout(layout[:, i : i + 1]) for i, n in enumerate(LAYOUT)}
        return {"shape": self.config.shape_gain * distance, **layouts}


def while_learning(plain: Callable[..., T], compiled: Callable[..., T]) -> Callable[..., T]:
    """`compiled` where gradients are wanted, `plain` elsewhere: samples and measurements have batches of other sizes,
    each of which would be compiled anew."""

    def chosen(*args: Any) -> T:
        return compiled(*args) if torch.is_grad_enabled() else plain(*args)

    return chosen


def zeroed(layer: nn.Linear | nn.Conv3d) -> None:
    """Weight and bias to zero: what the layer gives begins as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def split(x: Tensor, factor: int = 2) -> Tensor:
    """(B, C, f D, f D, f D) -> (B, f^3 C, D, D, D): the cells of a block become channels."""
    b, c, n = x.shape[0], x.shape[1], x.shape[2] // factor
    blocks = x.reshape(b, c, n, factor, n, factor, n, factor)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, n, n, n)


def join(x: Tensor, factor: int = 2) -> Tensor:
    """The inverse of `split`."""
    b, c, n = x.shape[0], x.shape[1] // factor**3, x.shape[2]
    blocks = x.reshape(b, c, factor, factor, factor, n, n, n)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c, factor * n, factor * n, factor * n)
