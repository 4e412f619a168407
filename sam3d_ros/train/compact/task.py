"""What the stages of the compact model have in common: one loss for flow matching and one for distillation, whatever
the latents are."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sam3d_ros.model import flow
from sam3d_ros.model.compact.geometry import LEAST_REST
from sam3d_ros.train.losses import (
    Predict,
    clean_weight,
    consistency_target,
    draw_noise,
    draw_shortcut,
    draw_times,
    guided,
    interpolate,
    velocity_of_clean,
)
from sam3d_ros.train.sampling import with_numbers
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.terms import Latents, Terms

LATEST = 1 - LEAST_REST
"""Latest time of a sample, that of the latest step."""
Error = Callable[[Latents, Latents, Tensor], dict[str, Tensor]]
"""error(answer, truth, weight of each sample (B,)): weighted terms () by name."""


@dataclass(frozen=True)
class Task:
    """A network with the condition of one batch.

    latents: the data. predict: the clean latents that the network expects. blind: the same without the picture.
    """

    latents: dict[str, Tensor]
    predict: Predict
    blind: Predict
    error: Error

    @property
    def size(self) -> int:
        """Samples."""
        return len(next(iter(self.latents.values())))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.latents.values())).device

    @property
    def terms(self) -> Terms:
        """The latents' names for the functions of `losses`."""
        return Terms(dict.fromkeys(self.latents, 1.0))

    def velocity(self, strength: Mapping[str, float] | None = None) -> Predict:
        """Velocities as at run time, guided against the answer without a picture where a strength is given."""
        terms = self.terms
        blind = velocity_of_clean(self.blind, terms, LEAST_REST)
        return guided(velocity_of_clean(self.predict, terms, LEAST_REST), blind, strength or {})


def flow_loss(stage: Stage, task: Task, generator: torch.Generator) -> dict[str, Tensor]:
    """Flow matching with clean predictions. The error of a sample counts min(cap, 1 / (1 - t)^2) times."""
    t = draw_times(stage.times, task.size, generator, task.device).clamp_max(LATEST)
    x0 = draw_noise(task.latents, generator)
    xt = interpolate(x0, task.latents, t, task.terms)
    answer = task.predict(xt, 1000 * t, torch.zeros_like(t))
    return task.error(answer, task.latents, clean_weight(t, stage.weight_cap))


def shortcut_loss(stage: Stage, task: Task, generator: torch.Generator) -> dict[str, Tensor]:
    """Self-consistency: one step of size 2 d against two of size d of the same network, both within the flow.

    A clean prediction answers for a velocity by where that velocity would lead: x_t + (1 - t) v.
    """
    assert stage.shortcut is not None, "the stage checks it"
    t, d = draw_shortcut(stage.shortcut, task.size, generator, task.device)
    x0, terms = draw_noise(task.latents, generator), task.terms
    xt = interpolate(x0, task.latents, t, terms)
    teacher = task.velocity(stage.shortcut.guidance)
    v = consistency_target(teacher, xt, t, d, stage.shortcut.finest, terms)
    target = {name: xt[name] + terms.spread(name, 1 - t, v[name]) * v[name] for name in v}
    answer = task.predict(xt, 1000 * t, 2000 * d)
    return task.error(answer, target, clean_weight(t, stage.weight_cap))


def stage_loss(stage: Stage, task: Task, generator: torch.Generator) -> dict[str, Tensor]:
    """Flow matching; of a stage that distils, one batch in some learns self-consistency instead."""
    if stage.shortcut is not None:
        coin = torch.rand((), generator=generator, device=task.device)
        if float(coin) < stage.shortcut.share:
            return shortcut_loss(stage, task, generator)
    return flow_loss(stage, task, generator)


@torch.no_grad()
def sampled(task: Task, steps: int, step: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Latents after `steps` even steps from noise. step: size that the network is told, 0 without distillation."""
    velocity = with_numbers(task.velocity(), task.size, task.device)
    return flow.sample(velocity, draw_noise(task.latents, generator), flow.time_steps(steps), step)
