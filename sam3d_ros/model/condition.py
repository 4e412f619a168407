"""Condition embedders: picture, mask and pointmap in two views as one list of tokens (paper section 3).

The views are a crop around the object and the full frame.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import ConditionConfig
from .dino import Dino
from .layers import LayerNorm, SwiGlu
from .point_patch import PointPatch


class View(NamedTuple):
    """One condition input: which encoder reads it, and which row of the position table marks it."""

    encoder: str
    position: int  # 0 crop, 1 full frame


VIEWS = {
    "image": View("image", 0),
    "rgb_image": View("image", 1),
    "mask": View("mask", 0),
    "rgb_image_mask": View("mask", 1),
    "pointmap": View("point", 0),
    "rgb_pointmap": View("point", 1),
}
"""Inputs in the order of their tokens. The texture stage has no pointmaps."""


class ConditionEmbedder(nn.Module):
    """Encoders, one projection per encoder, and a position that says crop or full frame."""

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        self.config = config
        widths = {"image": config.dino.width, "mask": config.dino.width}
        self.encoders = nn.ModuleDict({"image": Dino(config.dino), "mask": Dino(config.dino)})
        if config.point is not None:
            self.encoders["point"] = PointPatch(config.point)
            widths["point"] = config.point.width
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(LayerNorm(width, eps=1e-5), SwiGlu(width, config.hidden, config.width))
                for name, width in widths.items()
            }
        )
        self.positions = nn.Parameter(torch.zeros(config.positions, config.width))

    @property
    def views(self) -> list[str]:
        """Names of the inputs this stage needs, in token order."""
        return [name for name, view in VIEWS.items() if view.encoder in self.encoders]

    def forward(self, inputs: Mapping[str, Tensor], drop: Collection[str] = ()) -> Tensor:
        """All views as tokens, (B, T, width).

        inputs by view name: images (B, 3, S, S), masks (B, 1, S, S), pointmaps (B, 3, S, S).
        Views in `drop` keep their places with all-zero tokens (modality dropout of the training).
        """
        tokens = {name: self.embed(name, inputs[name]) for name in self.views}
        return self.join({n: torch.zeros_like(t) if n in drop else t for n, t in tokens.items()})

    def embed(self, name: str, x: Tensor) -> Tensor:
        """Tokens of one view, (B, T_view, width). Objects of one frame can share those of `rgb_image`."""
        encoder, position = VIEWS[name]
        return self.encode(encoder, x) + self.positions[position]

    def encode(self, encoder: str, x: Tensor) -> Tensor:
        """Tokens of one kind of view ("image", "mask" or "point") without its position, (B, T_view, width)."""
        if encoder == "point":
            features = self.encoders["point"](x)
        else:
            features = self.encoders[encoder](x, prenorm=self.config.prenorm)
        return self.projections[encoder](features)

    def join(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Tokens of all views, each (B, T_view, width), in their order -> (B, T, width)."""
        return torch.cat([tokens[name] for name in self.views], dim=1)
