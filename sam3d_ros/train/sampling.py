"""Samples of a network that is being trained: for sheets, validation numbers and preference candidates."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from sam3d_ros.model import flow
from sam3d_ros.train.losses import Predict, draw_noise, velocity_of_clean
from sam3d_ros.train.objective import Batch
from sam3d_ros.train.stages import Stage


@torch.no_grad()
def sample(
    network: Any,
    batch: Batch,
    stage: Stage,
    seed: int,
    steps: int = 25,
    guidance: flow.Guidance = flow.Guidance(0.0),  # noqa: B008 (frozen)
) -> dict[str, Tensor]:
    """Latents (B, ...) for the batch's conditions, all groups that the stage uses kept.

    network: satisfies `Conditioned`. A distilled stage is sampled with the step size 1 / steps and needs no guidance,
    every other with step size 0.
    """
    device = next(network.parameters()).device
    batch = send_to_device(batch, device)
    keep = {name: torch.ones(batch.size, device=device) for name in stage.conditions}
    terms = batch.terms(stage.weights)
    branches = []
    for tokens in (network.tokens(batch.inputs, keep, batch.size), None):
        predict = network.predict(tokens, batch.beside)
        predict = velocity_of_clean(predict, terms) if stage.clean else predict
        branches.append(with_numbers(predict, batch.size, device))
    generator = torch.Generator(device).manual_seed(seed)
    velocity = flow.guided(branches[0], branches[1], guidance)
    step = 1 / steps if stage.kind == "distil" else 0.0
    return flow.sample(velocity, draw_noise(batch.latents, generator), flow.time_steps(steps), step)


def with_numbers(predict: Predict, count: int, device: torch.device) -> flow.Velocity:
    """The sampler's times are numbers, the networks' are (B,)."""

    def velocity(x: dict[str, Any], t: float, d: float) -> dict[str, Any]:
        return predict(x, torch.full((count,), t, device=device), torch.full((count,), d, device=device))

    return velocity
