"""Pairwise judgements: win rates, and Elo ratings on the paper's scale, where 400 points are 10:1.

The ratings are the Bradley-Terry maximum-likelihood fit, not the running update of chess: the order in which
judgements came has no influence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sam3d_ros.types import Float, InputError

MEAN_RATING = 1000.0
PRIOR_TIES = 0.1
"""Each pair that met is given this many ties, so that whoever never lost gets a finite rating."""


@dataclass(frozen=True)
class Judgement:
    """Two results of one case side by side, and which was preferred."""

    left: str
    right: str
    winner: Literal["left", "right", "tie"]


def wins(judgements: Sequence[Judgement]) -> tuple[list[str], Float]:
    """Names in order of appearance, and (N, N) how often row beat column, a tie as half a win for each.

    Raises InputError where something is judged against itself, or the winner is neither side nor a tie.
    """
    for j in judgements:
        if j.left == j.right:
            raise InputError(f"{j.left!r} is judged against itself")
        if j.winner not in ("left", "right", "tie"):
            raise InputError(f"the winner is {j.winner!r}, must be left, right or tie")
    names = list(dict.fromkeys(name for j in judgements for name in (j.left, j.right)))
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names), len(names)))
    for j in judgements:
        left, right = place[j.left], place[j.right]
        share = {"left": 1.0, "tie": 0.5, "right": 0.0}[j.winner]
        table[left, right] += share
        table[right, left] += 1 - share
    return names, table


def win_rate(judgements: Sequence[Judgement], name: str, against: str) -> float:
    """Share of the meetings that `name` won, 0..1, ties as half. Raises InputError where they never met."""
    names, table = wins(judgements)
    if name not in names or against not in names:
        raise InputError(f"{name!r} and {against!r} were never judged together")
    a, b = names.index(name), names.index(against)
    met = table[a, b] + table[b, a]
    if not met:
        raise InputError(f"{name!r} and {against!r} were never judged together")
    return float(table[a, b] / met)


def elo(judgements: Sequence[Judgement]) -> Mapping[str, float]:
    """Rating per name, mean 1000; a difference of 400 is a chance of 10:1.

    Raises InputError where some were never compared with the others, even through third ones.
    """
    names, table = wins(judgements)
    if not names:
        return {}
    met = table + table.T
    reach = np.linalg.matrix_power(np.eye(len(names)) + (met > 0), len(names)) > 0
    if not reach.all():
        apart = [n for n, there in zip(names, reach[0], strict=True) if not there]
        raise InputError(f"{', '.join(apart)} and {names[0]} were never compared, not even through others")
    table = table + PRIOR_TIES / 2 * (met > 0)
    met = table + table.T
    strength = np.ones(len(names))
    won = table.sum(axis=1)
    for _ in range(100_000):  # Hunter 2004: each step raises the likelihood
        new = won / (met / (strength[:, None] + strength)).sum(axis=1)
        new /= np.exp(np.log(new).mean())
        done = np.abs(np.log(new / strength)).max() < 1e-10
        strength = new
        if done:
            break
    ratings = MEAN_RATING + 400 * np.log10(strength)
    return {name: float(r) for name, r in zip(names, ratings, strict=True)}
