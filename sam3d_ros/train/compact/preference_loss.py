"""Preferences for the compact geometry model: of several answers to one picture the best against the worst, judged by
their overlap with the true solid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.train.compact.conditions import shown
from sam3d_ros.train.compact.geometry_loss import geometry_task
from sam3d_ros.train.compact.task import Task, sampled
from sam3d_ros.train.losses import draw_noise, preference
from sam3d_ros.train.preference import best_and_worse
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.terms import Terms

CANDIDATES, STEPS = 4, 4
"""Answers to choose from, and the steps of each."""
MARGIN = 0.02
"""Least difference of overlap (grid IoU) of winner and loser."""


@dataclass(frozen=True)
class Pairs:
    """Latents of winner and loser (B, ...) by name. decided (B,) bool: the candidates differ enough; where they do not,
    both are the same."""

    winner: dict[str, Tensor]
    loser: dict[str, Tensor]
    decided: Tensor


def preference_loss(
    stage: Stage,
    network: CompactGeometry,
    reference: CompactGeometry,
    batch: Mapping[str, Tensor],
    generator: torch.Generator,
    margin: float = MARGIN,
) -> dict[str, Tensor]:
    """The term of the shape, weighted; reference is frozen and draws the candidates.

    They are drawn anew for every batch: that costs 16 passes without gradient, and needs no second data set.
    """
    assert stage.beta is not None, "the stage checks it"
    seen = shown(stage, batch, generator)
    frozen = geometry_task(stage.weights, reference, seen)
    own = geometry_task(stage.weights, network, seen)
    pairs = draw_pairs(frozen, batch["shape"], generator, margin)
    weights = {name: stage.weights.get(name, 0.0) for name in ("shape", *LAYOUT)}
    terms = Terms(weights, dict.fromkeys(weights, pairs.decided))
    t = torch.rand(own.size, generator=generator, device=own.device)
    x0 = draw_noise(own.latents, generator)
    return preference(
        own.predict, frozen.predict, pairs.winner, pairs.loser, x0, t, stage.beta, terms, stage.weight_cap
    )


@torch.no_grad()
def draw_pairs(task: Task, truth: Tensor, generator: torch.Generator, margin: float = MARGIN) -> Pairs:
    """Best and worst of CANDIDATES by overlap with the true distances (B, G, G, G)."""
    drawn = [sampled(task, STEPS, 0.0, generator) for _ in range(CANDIDATES)]
    scores = torch.stack([overlap(answer["shape"][:, 0], truth) for answer in drawn])
    winner, loser = torch.zeros(2, task.size, dtype=torch.long, device=task.device)
    decided = torch.zeros(task.size, dtype=torch.bool, device=task.device)
    for i, column in enumerate(scores.T.tolist()):
        for places in best_and_worse(column, margin, most=1):
            winner[i], loser[i], decided[i] = places.winner, places.loser, True
    every = torch.arange(task.size, device=task.device)

    def chosen(place: Tensor) -> dict[str, Tensor]:
        return {name: torch.stack([answer[name] for answer in drawn])[place, every] for name in task.latents}

    return Pairs(chosen(winner), chosen(loser), decided)


def overlap(answer: Tensor, truth: Tensor) -> Tensor:
    """(B,) intersection over union of the cells (B, X, Y, Z) whose distance is positive; 0 where both are empty."""
    a, b = answer > 0, truth > 0
    common, either = ((x.flatten(1).sum(1)) for x in (a & b, a | b))
    return common / either.clamp_min(1)
