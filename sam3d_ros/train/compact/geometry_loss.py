"""What the compact geometry model is asked to predict, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from sam3d_ros.model.compact.config import LAYOUT, CompactGeometryConfig
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.train.compact.conditions import shown
from sam3d_ros.train.compact.task import Task, stage_loss
from sam3d_ros.train.losses import Predict
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.terms import Latents

BAND = 4.0
"""Weight of samples whose distance is not cut off, relative to the others."""
HUBER = 0.1
"""Below this error the loss is quadratic, above it linear: where the data leave two answers open, the mean of both is
none of them, and its zero level erodes what is thin; the median keeps what is more likely than not."""


def geometry_loss(
    stage: Stage, network: CompactGeometry, batch: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Weighted terms by name, their sum is minimised."""
    task = geometry_task(stage.weights, network, shown(stage, batch, generator))
    return stage_loss(stage, task, generator)


def geometry_task(
    weights: Mapping[str, float], network: CompactGeometry, batch: Mapping[str, Tensor]
) -> Task:
    """The network under the conditions of a batch, all of which it sees (`conditions.shown`).

    weights: of shape and layouts; a latent without an entry has none.
    """
    config = network.config

    def seeing(picture: Tensor) -> Predict:
        context = network.prepare(batch["grid"], picture, batch["globals"])
        return lambda x, t, d: network.clean(x, t, d, context)

    def error(answer: Latents, truth: Latents, weight: Tensor) -> dict[str, Tensor]:
        gain = config.shape_gain
        each = {"shape": shape_error(answer["shape"] / gain, truth["shape"] / gain)}
        each.update({name: ((answer[name] - truth[name]) ** 2).mean(dim=(1, 2)) for name in LAYOUT})
        each["rotation"] = each["rotation"] * batch["has_rotation"]
        return {name: weights.get(name, 0.0) * (weight * value).mean() for name, value in each.items()}

    # The answer without a picture costs an encoding that only guidance needs.
    return Task(
        to_latents(batch, config),
        seeing(batch["picture"]),
        lambda x, t, d: seeing(torch.zeros_like(batch["picture"]))(x, t, d),
        error,
    )


def to_latents(batch: Mapping[str, Tensor], config: CompactGeometryConfig) -> dict[str, Tensor]:
    """What the flow ends at: shape (B, 1, G, G, G) and the normalised layout latents (B, 1, channels)."""
    latents = {"shape": config.shape_gain * batch["shape"][:, None]}
    for name in LAYOUT:
        device = batch[name].device
        mean, std = (constant(s[name], device) for s in (config.layout_mean, config.layout_std))
        latents[name] = ((batch[name] - mean) / std)[:, None]
    return latents


@lru_cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32; stays on the device: sending it there for every batch would wait for the batch before."""
    return torch.tensor(values, device=device)


def shape_error(answer: Tensor, truth: Tensor) -> Tensor:
    """(B,) error of distance grids (B, 1, G, G, G) in units of the truncation."""
    band = torch.where(truth.abs() < 0.97, BAND, 1.0)
    error = F.smooth_l1_loss(answer, truth, beta=HUBER, reduction="none")
    return (band * error).sum(dim=(1, 2, 3, 4)) / band.sum(dim=(1, 2, 3, 4))
