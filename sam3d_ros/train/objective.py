"""From a stage to its loss: flow matching, preferences or distillation, for any network with a condition.

The network says how conditions become tokens and how tokens become a prediction (`Conditioned`); everything else is
the stage's. Geometry and texture, published and compact, train with the functions of this file.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sam3d_ros.train.losses import (
    Predict,
    draw_noise,
    draw_shortcut,
    draw_times,
    flow_matching,
    guided,
    preference,
    self_consistency,
    velocity_of_clean,
)
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.terms import Terms

Keep = Mapping[str, Tensor]
"""Group of conditions -> (B,) 1 to keep it, 0 to drop it. A group without an entry is not used at all."""
Loss = Callable[[Any, Any, torch.Generator], dict[str, Tensor]]


class Batch(NamedTuple):
    """What a step reads; tensors move to the device together.

    latents: the data x_1 by name. labels: (B,) bool by name, for latents that not every sample has. inputs: what
    `Conditioned.tokens` reads. loser: latents that were judged worse (dpo). elements, rows, owner: see `Terms`.
    beside: what else `Conditioned.predict` needs, such as index tables of voxels.
    """

    latents: dict[str, Tensor]
    labels: dict[str, Tensor]
    inputs: Any
    loser: dict[str, Tensor] | None = None
    elements: dict[str, Tensor] | None = None
    rows: tuple[str, ...] = ()
    owner: Tensor | None = None
    beside: Any = None

    @property
    def size(self) -> int:
        """Samples."""
        if self.owner is not None:
            return int(self.owner[-1]) + 1
        return len(next(iter(self.latents.values())))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.latents.values())).device

    def terms(self, weights: Mapping[str, float]) -> Terms:
        """The loss's terms: every latent takes part, with weight 0 where the stage gives none.

        A part of the network without any gradient would keep several processes from agreeing on the step.
        """
        all_weights = {name: weights.get(name, 0.0) for name in self.latents}
        return Terms(all_weights, self.labels, self.elements or {}, self.rows, self.owner)


class Conditioned(Protocol):
    """A network that the stages can train."""

    def tokens(self, inputs: Any, keep: Keep, count: int) -> Any:
        """Condition of `count` samples. Dropped groups count as unseen."""

    def predict(self, tokens: Any, beside: Any) -> Predict:
        """The prediction given the condition; None is no condition at all."""


def objective(stage: Stage, reference: nn.Module | None = None) -> Loss:
    """The stage's loss(network, batch, generator) -> terms. reference: the frozen network of a dpo stage.

    The reference moves to the device of the batches.
    """
    if stage.kind == "dpo":
        assert reference is not None, "dpo compares with a reference"
        return _preference_loss(stage, reference.requires_grad_(False).eval())
    if stage.kind == "distil":
        return _distillation_loss(stage)
    return lambda network, batch, generator: flow_loss(stage, network, batch, generator)


def flow_loss(
    stage: Stage, network: Conditioned, batch: Batch, generator: torch.Generator
) -> dict[str, Tensor]:
    """Flow matching, with conditions dropped as the stage says."""
    keep = draw_keep(stage, batch, generator)
    predict = network.predict(network.tokens(batch.inputs, keep, batch.size), batch.beside)
    t = draw_times(stage.times, batch.size, generator, batch.device)
    x0 = draw_noise(batch.latents, generator)
    return flow_matching(predict, batch.latents, x0, t, batch.terms(stage.weights), cap(stage))


def _distillation_loss(stage: Stage) -> Loss:
    shortcut = stage.shortcut
    assert shortcut is not None, "the stage checks it"

    def loss(network: Conditioned, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        # One coin for the whole micro-batch, as in the released code: then all of it has the same kind of target.
        coin = torch.rand((), generator=generator, device=batch.device)
        if float(coin) >= shortcut.share:
            return flow_loss(stage, network, batch, generator)
        keep = {name: torch.ones(batch.size, device=batch.device) for name in stage.conditions}
        predict = network.predict(network.tokens(batch.inputs, keep, batch.size), batch.beside)
        terms = batch.terms(stage.weights)
        conditional, unconditional = predict, network.predict(None, batch.beside)
        if stage.clean:
            conditional, unconditional = (
                velocity_of_clean(predict, terms),
                velocity_of_clean(unconditional, terms),
            )
        teacher = guided(conditional, unconditional, shortcut.guidance)
        steps = draw_shortcut(shortcut, batch.size, generator, batch.device)
        x0 = draw_noise(batch.latents, generator)
        return self_consistency(
            predict, teacher, batch.latents, x0, steps, shortcut.finest, terms, cap(stage)
        )

    return loss


def _preference_loss(stage: Stage, reference: nn.Module) -> Loss:
    def loss(network: Conditioned, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.loser is not None, "a batch of pairs"
        assert stage.beta is not None, "the stage checks it"
        keep = draw_keep(stage, batch, generator)
        other: Any = reference.to(batch.device)
        with torch.no_grad():
            frozen = other.predict(other.tokens(batch.inputs, keep, batch.size), batch.beside)
        predict = network.predict(network.tokens(batch.inputs, keep, batch.size), batch.beside)
        t = torch.rand(batch.size, generator=generator, device=batch.device)
        x0 = draw_noise(batch.latents, generator)
        terms = batch.terms(stage.weights)
        return preference(predict, frozen, batch.latents, batch.loser, x0, t, stage.beta, terms, cap(stage))

    return loss


def cap(stage: Stage) -> float | None:
    """The cap of the weight of clean predictions; None for velocities."""
    return stage.weight_cap if stage.clean else None


def draw_keep(stage: Stage, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Which condition groups each sample keeps, (B,) 0 or 1 for every group that the stage uses.

    A sample without any condition (p_uncond) is what guidance needs; one without pointmap, what a picture from
    a camera without depth needs.
    """
    count, device = batch.size, batch.device
    conditioned = (torch.rand(count, generator=generator, device=device) >= stage.p_uncond).float()
    measured = (torch.rand(count, generator=generator, device=device) >= stage.p_no_pointmap).float()
    return {name: conditioned * measured if name == "pointmap" else conditioned for name in stage.conditions}
