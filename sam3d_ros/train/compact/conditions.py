"""What the compact networks are shown of an example: all of it, or without colours, picture or points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from sam3d_ros.compact.lift import BLANK
from sam3d_ros.compact.picture import CHANNELS
from sam3d_ros.train.stages import Stage

NO_COLOUR = 0.1
"""Share of the samples whose colours are hidden from the model; the stage says how many get no picture or no points."""
_MEASURED = CHANNELS.index("measured")
_COLOURS, _POINTS = slice(0, CHANNELS.index("mask")), slice(CHANNELS.index("x"), _MEASURED)

Batch: TypeAlias = Mapping[str, Tensor]
Without: TypeAlias = Callable[[Batch], dict[str, Tensor]]


def without_colours(batch: Batch) -> dict[str, Tensor]:
    """The picture (B, 8, P, P) in grey."""
    picture = batch["picture"].clone()
    # Not by assignment, which would send the number to the device: a recorded step cannot have that.
    picture[:, _COLOURS].zero_()
    return {**batch, "picture": picture}


def without_picture(batch: Batch) -> dict[str, Tensor]:
    """Nothing of the picture, not even the mask; the grid knows its silhouette."""
    return {**batch, "picture": torch.zeros_like(batch["picture"])}


def without_points(batch: Batch) -> dict[str, Tensor]:
    """Nothing was measured: of the grid (B, 6, G, G, G) silhouette and height are left, of the picture colours and
    mask. The box, and so the object's place and rough size, is still that of the points."""
    grid, picture = batch["grid"].clone(), batch["picture"].clone()
    for channel, value in enumerate(BLANK):
        if value is not None:
            grid[:, channel].fill_(value)
    picture[:, _POINTS].zero_()
    picture[:, _MEASURED].fill_(-1)
    return {**batch, "grid": grid, "picture": picture}


def shown(stage: Stage, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """The batch as a stage shows it: NO_COLOUR of the samples without colours, `p_uncond` without picture,
    `p_no_pointmap` without points."""
    number = _draw(batch, generator)
    seen = _mixed(batch, number <= NO_COLOUR + stage.p_uncond, without_colours)
    seen = _mixed(seen, number <= stage.p_uncond, without_picture)
    if stage.p_no_pointmap:
        seen = _mixed(seen, _draw(batch, generator) <= stage.p_no_pointmap, without_points)
    return seen


def _draw(batch: Batch, generator: torch.Generator) -> Tensor:
    """(B,) in 0 .. 1."""
    picture = batch["picture"]
    return torch.rand(len(picture), generator=generator, device=picture.device)


def _mixed(batch: Batch, chosen: Tensor, without: Without) -> dict[str, Tensor]:
    """The chosen (B,) samples without something."""
    less = without(batch)
    return {
        name: value
        if less[name] is value
        else torch.where(chosen.reshape(-1, *[1] * (value.ndim - 1)), less[name], value)
        for name, value in batch.items()
    }
