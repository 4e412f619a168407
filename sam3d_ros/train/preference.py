"""Preference pairs from candidates and a judge: the best against those that are clearly worse (paper, section on DPO).

for pair in pairs_of(conditions, candidates, score, margin=0.05):
    winner, loser = pair.winner, pair.loser
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sam3d_ros.types import InputError

Condition = TypeVar("Condition")
Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Places:
    """Winner and loser by their place among the candidates; gap: by how much their scores differ."""

    winner: int
    loser: int
    gap: float


@dataclass(frozen=True)
class Pair(Generic[Condition, Candidate]):
    """Two answers to one condition, and by how much the judge likes the winner more."""

    condition: Condition
    winner: Candidate
    loser: Candidate
    gap: float


def best_and_worse(scores: Sequence[float], margin: float, most: int | None = None) -> list[Places]:
    """The best candidate against every one that is at least `margin` worse, worst first, at most `most` of them.

    scores: higher is better; NaN and -inf stand for a candidate that came to nothing, which loses to any that has
    a finite score. No pair where no candidate has one. Raises InputError for a negative margin.
    """
    if margin < 0:
        raise InputError(f"the margin must not be negative, not {margin}")
    known = np.where(np.isnan(scores), -np.inf, np.asarray(scores, np.float64))
    if not len(known) or not np.isfinite(known.max()):
        return []
    best = int(known.argmax())
    gaps = known[best] - known
    places = [i for i in np.argsort(-gaps, kind="stable") if i != best and gaps[i] >= margin and gaps[i] > 0]
    return [Places(best, int(i), float(gaps[i])) for i in places[:most]]


def pairs_of(
    conditions: Iterable[Condition],
    candidates: Callable[[Condition], Sequence[Candidate]],
    score: Callable[[Condition, Candidate], float],
    margin: float,
    most: int | None = 1,
) -> Iterator[Pair[Condition, Candidate]]:
    """Pairs for every condition whose candidates differ enough. most: pairs per condition, None for all."""
    for condition in conditions:
        made = candidates(condition)
        for p in best_and_worse([score(condition, c) for c in made], margin, most):
            yield Pair(condition, made[p.winner], made[p.loser], p.gap)
