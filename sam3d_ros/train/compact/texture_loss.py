"""What the compact texture & refinement model is asked to predict, given what the trained geometry model says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.conditions import shown
from sam3d_ros.train.compact.fine import NEAR
from sam3d_ros.train.compact.geometry_loss import shape_error
from sam3d_ros.train.compact.task import Task, stage_loss
from sam3d_ros.train.losses import Predict
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.terms import Latents


def texture_loss(
    stage: Stage,
    network: CompactTexture,
    geometry: CompactGeometry,
    batch: Mapping[str, Tensor],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Weighted terms by name, their sum is minimised. `geometry` is frozen: its one-step answer is the coarse shape.

    batch: as for the geometry model, with fine (B, F, F, F), seen (B, 4, G, G, G) and colour (B, 3, G, G, G).
    """
    seen = shown(stage, batch, generator)
    coarse = first_answer(geometry, seen, generator)
    return stage_loss(stage, texture_task(stage.weights, network, seen, coarse), generator)


def texture_task(
    weights: Mapping[str, float],
    network: CompactTexture,
    batch: Mapping[str, Tensor],
    coarse: Tensor,
) -> Task:
    """The network under the conditions of a batch, given the coarse shape (B, 1, G, G, G)."""
    gain = network.config.gain

    def seeing(picture: Tensor) -> Predict:
        context = network.prepare(coarse, batch["grid"], batch["seen"], batch["globals"], picture)
        return lambda x, t, d: network.clean(x, t, d, context)

    def error(answer: Latents, truth: Latents, weight: Tensor) -> dict[str, Tensor]:
        each = {
            "distance": shape_error(answer["distance"] / gain, truth["distance"] / gain),
            "colour": colour_error(answer["colour"] / gain, truth["colour"] / gain, batch["shape"]),
        }
        return {name: weights.get(name, 0.0) * (weight * value).mean() for name, value in each.items()}

    return Task(
        {"distance": gain * batch["fine"][:, None], "colour": gain * batch["colour"]},
        seeing(batch["picture"]),
        lambda x, t, d: seeing(torch.zeros_like(batch["picture"]))(x, t, d),
        error,
    )


def colour_error(colour: Tensor, truth: Tensor, shape: Tensor) -> Tensor:
    """(B,) mean error of colours (B, 3, G, G, G) of -1 .. 1 where the true coarse distance (B, G, G, G) is near."""
    near = (shape.abs() < NEAR).float()[:, None]
    off = (colour - truth).abs() * near
    return off.sum(dim=(1, 2, 3, 4)) / (3 * near.sum(dim=(1, 2, 3, 4)) + 1)


@torch.no_grad()
def first_answer(
    geometry: CompactGeometry, batch: Mapping[str, Tensor], generator: torch.Generator
) -> Tensor:
    """Coarse distances (B, 1, G, G, G) of one step from noise, cut off at -1 and 1."""
    size, side, device = len(batch["grid"]), geometry.config.grid, batch["grid"].device
    context = geometry.prepare(batch["grid"], batch["picture"], batch["globals"])
    noise = {"shape": torch.randn(size, 1, side, side, side, generator=generator, device=device)}
    for name, channels in LAYOUT.items():
        noise[name] = torch.randn(size, 1, channels, generator=generator, device=device)
    zero = torch.zeros(size, device=device)
    answer = geometry.clean(noise, zero, zero, context)["shape"] / geometry.config.shape_gain
    return answer.clamp(-1, 1)
