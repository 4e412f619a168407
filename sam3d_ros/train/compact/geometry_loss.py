"""What the compact geometry model is asked to predict, and how wrong it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sam3d_ros.model.compact.config import LAYOUT, CompactGeometryConfig
from sam3d_ros.model.compact.geometry import CompactGeometry

BAND = 4.0
"""Weight of samples whose distance is not cut off, relative to the others."""
HUBER = 0.1
"""Below this error the loss is quadratic, above it linear: where the data leave two answers open, the mean of both is
none of them, and its zero level erodes what is thin; the median keeps what is more likely than not."""
MOST_WEIGHT = 4.0
AT_NOISE = 0.35
"""Share of the samples with t = 0: there everything is decided, and one step is the best guess of the mean."""
TIME_MEAN, TIME_STD = -0.8, 1.0
LATEST = 0.95
LAYOUT_WEIGHT = {"rotation": 0.01, "translation": 0.05, "scale": 0.05}
NO_COLOUR, NO_PICTURE = 0.1, 0.1
"""Shares of the samples whose colours, or whose whole picture, is hidden from the model."""


def to_latents(batch: Mapping[str, Tensor], config: CompactGeometryConfig) -> dict[str, Tensor]:
    """What the flow ends at: shape (B, 1, G, G, G) and the normalised layout latents (B, 1, channels)."""
    latents = {"shape": config.shape_gain * batch["shape"][:, None]}
    for name in LAYOUT:
        mean, std = torch.tensor(config.layout_mean[name]), torch.tensor(config.layout_std[name])
        latents[name] = ((batch[name] - mean) / std)[:, None]
    return latents


def geometry_loss(
    network: CompactGeometry, batch: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Weighted terms by name, their sum is minimised."""
    config = network.config
    clean = to_latents(batch, config)
    size = len(batch["shape"])
    t = torch.sigmoid(TIME_MEAN + TIME_STD * torch.randn(size, generator=generator)).clamp_max(LATEST)
    t = torch.where(torch.rand(size, generator=generator) < AT_NOISE, 0.0, t)
    noisy = {}
    for name, x1 in clean.items():
        x0 = torch.randn(x1.shape, generator=generator)
        at = t.reshape(-1, *[1] * (x1.ndim - 1))
        noisy[name] = (1 - at) * x0 + at * x1
    context = network.prepare(batch["grid"], hidden(batch["picture"], generator), batch["globals"])
    answer = network.clean(noisy, 1000 * t, torch.zeros(size), context)
    weight = ((1 - t) ** -2).clamp_max(MOST_WEIGHT)
    terms = {
        "shape": (weight * shape_error(answer["shape"] / config.shape_gain, batch["shape"][:, None])).mean()
    }
    for name, factor in LAYOUT_WEIGHT.items():
        error = ((answer[name] - clean[name]) ** 2).mean(dim=(1, 2))
        if name == "rotation":
            error = error * batch["has_rotation"]
        terms[name] = factor * (weight * error).mean()
    return terms


def shape_error(answer: Tensor, truth: Tensor) -> Tensor:
    """(B,) error of distance grids (B, 1, G, G, G) in units of the truncation."""
    band = torch.where(truth.abs() < 0.97, BAND, 1.0)
    error = F.smooth_l1_loss(answer, truth, beta=HUBER, reduction="none")
    return (band * error).sum(dim=(1, 2, 3, 4)) / band.sum(dim=(1, 2, 3, 4))


def hidden(picture: Tensor, generator: torch.Generator) -> Tensor:
    """picture (B, 8, P, P) without colours, or without anything, for some of the samples."""
    draw = torch.rand(len(picture), generator=generator)[:, None, None, None]
    visible = torch.ones_like(picture)
    visible[:, :3] = (draw > NO_COLOUR + NO_PICTURE).float()
    return picture * visible * (draw > NO_PICTURE)
