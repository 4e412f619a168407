"""Preferences of the compact geometry model: who wins, and where the gradient goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_compact import GEOMETRY, batch, examples, shaken

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.train.compact.conditions import shown
from sam3d_ros.train.compact.geometry_loss import geometry_task
from sam3d_ros.train.compact.preference_loss import (
    CANDIDATES,
    STEPS,
    draw_pairs,
    overlap,
    preference_loss,
)
from sam3d_ros.train.compact.stages import STAGES
from sam3d_ros.train.compact.task import sampled

DPO = STAGES["geometry-dpo"]
MARGIN = 1e-4
"""An untrained network's answers differ little."""


def network(seed: int = 0) -> CompactGeometry:
    torch.manual_seed(seed)
    built = shaken(CompactGeometry(GEOMETRY), seed)
    with torch.no_grad():  # what noise changes is not drowned by the completion
        built.column_gain.fill_(0.1)
    return built


def test_overlap_by_hand() -> None:
    a = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]]).reshape(2, 4, 1, 1)
    b = torch.tensor([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]]).reshape(2, 4, 1, 1)
    assert overlap(a, b).tolist() == pytest.approx([1 / 3, 0])


def test_the_best_of_the_candidates_wins() -> None:
    one, reference = batch(examples(6)), network()
    task = geometry_task(DPO.weights, reference, one)
    pairs = draw_pairs(task, one["shape"], torch.Generator().manual_seed(3), MARGIN)
    generator = torch.Generator().manual_seed(3)
    drawn = [sampled(task, STEPS, 0.0, generator)["shape"][:, 0] for _ in range(CANDIDATES)]
    scores = torch.stack([overlap(answer, one["shape"]) for answer in drawn])
    won, lost = (overlap(p["shape"][:, 0], one["shape"]) for p in (pairs.winner, pairs.loser))
    decided = scores.max(0).values - scores.min(0).values >= MARGIN
    assert torch.equal(pairs.decided, decided)
    assert decided.any()
    assert torch.allclose(won[decided], scores.max(0).values[decided])
    assert torch.allclose(lost[decided], scores.min(0).values[decided])


def test_the_gradient_moves_towards_the_winner_and_away_from_the_loser() -> None:
    """At the reference itself the loss is log 2 per decided pair; one step against its gradient lowers it, and brings
    the error at the winners down by more than that at the losers. Layouts do not take part."""
    one, own, reference = batch(examples(6)), network(), network()
    stage = replace(DPO, weights={"shape": 1.0}, beta=1e5)

    def loss(seed: int = 0) -> torch.Tensor:
        terms = preference_loss(stage, own, reference, one, torch.Generator().manual_seed(seed), MARGIN)
        assert terms.keys() == {"shape"}
        return terms["shape"]

    generator = torch.Generator().manual_seed(0)
    task = geometry_task(stage.weights, reference, shown(stage, one, generator))
    pairs = draw_pairs(task, one["shape"], generator, MARGIN)
    decided = pairs.decided.float()
    before = loss()
    assert before.item() == pytest.approx(
        decided.mean().item() * torch.log(torch.tensor(2.0)).item(), rel=1e-5
    )
    before.backward()
    gradients = {name: p.grad for name, p in own.named_parameters()}
    assert all(g is not None for g in gradients.values())
    assert all(
        float(g.abs().max()) == 0 for n, g in gradients.items() if g is not None and n.startswith("layouts.")
    )
    assert all(p.grad is None for p in reference.parameters())

    def preferred() -> float:
        """How much nearer the network's answer from noise is to the winners than to the losers."""
        x = {"shape": torch.zeros_like(pairs.winner["shape"])}
        x.update({n: torch.zeros_like(pairs.winner[n]) for n in LAYOUT})
        zero = torch.zeros(len(decided))
        with torch.no_grad():
            answer = geometry_task(stage.weights, own, one).predict
            made = answer(x, zero + 300, zero)["shape"]
        won, lost = ((made - p["shape"]).square().flatten(1).mean(1) for p in (pairs.winner, pairs.loser))
        return float(((lost - won) * decided).sum())

    start = preferred()
    torch.nn.utils.clip_grad_norm_(own.parameters(), 0.03)
    torch.optim.SGD(own.parameters(), lr=1.0).step()
    assert loss().item() < before.item()
    assert preferred() > start
