"""What the compact texture & refinement model is asked to predict, given what the trained geometry model says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.fine import NEAR
from sam3d_ros.train.compact.geometry_loss import LATEST, MOST_WEIGHT, hidden, shape_error

AT_NOISE = 0.35
TIME_MEAN, TIME_STD = -0.5, 1.0
COLOUR_WEIGHT = 0.3


def texture_loss(
    network: CompactTexture,
    geometry: CompactGeometry,
    batch: Mapping[str, Tensor],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Weighted terms by name, their sum is minimised. `geometry` is frozen: its one-step answer is the coarse shape.

    batch: as for the geometry model, with fine (B, F, F, F), seen (B, 4, G, G, G) and colour (B, 3, G, G, G).
    """
    config = network.config
    size = len(batch["shape"])
    picture = hidden(batch["picture"], generator)
    with torch.no_grad():
        coarse = first_answer(geometry, batch["grid"], picture, batch["globals"], generator)
    clean = {"distance": config.gain * batch["fine"][:, None], "colour": config.gain * batch["colour"]}
    t = torch.sigmoid(TIME_MEAN + TIME_STD * torch.randn(size, generator=generator)).clamp_max(LATEST)
    t = torch.where(torch.rand(size, generator=generator) < AT_NOISE, 0.0, t)
    at = t[:, None, None, None, None]
    noisy = {
        name: (1 - at) * torch.randn(x1.shape, generator=generator) + at * x1 for name, x1 in clean.items()
    }
    context = network.prepare(coarse, batch["grid"], batch["seen"], batch["globals"], picture)
    answer = network.clean(noisy, 1000 * t, torch.zeros(size), context)
    weight = ((1 - t) ** -2).clamp_max(MOST_WEIGHT)
    near = (batch["shape"].abs() < NEAR).float()[:, None]
    off = (answer["colour"] / config.gain - batch["colour"]).abs() * near
    return {
        "distance": (weight * shape_error(answer["distance"] / config.gain, batch["fine"][:, None])).mean(),
        "colour": COLOUR_WEIGHT
        * (weight * off.sum(dim=(1, 2, 3, 4)) / (3 * near.sum(dim=(1, 2, 3, 4)) + 1)).mean(),
    }


def first_answer(
    geometry: CompactGeometry, grid: Tensor, picture: Tensor, numbers: Tensor, generator: torch.Generator
) -> Tensor:
    """Coarse distances (B, 1, G, G, G) of one step from noise, cut off at -1 and 1."""
    size, side = len(grid), geometry.config.grid
    context = geometry.prepare(grid, picture, numbers)
    noise = {"shape": torch.randn(size, 1, side, side, side, generator=generator)}
    noise.update({name: torch.randn(size, 1, n, generator=generator) for name, n in LAYOUT.items()})
    zero = torch.zeros(size)
    answer = geometry.clean(noise, zero, zero, context)["shape"] / geometry.config.shape_gain
    return answer.clamp(-1, 1)
