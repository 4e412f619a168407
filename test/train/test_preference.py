"""Pairs from scored candidates."""

from __future__ import annotations

import pytest

from sam3d_ros.train.preference import Pair, Places, best_and_worse, pairs_of
from sam3d_ros.types import InputError


def test_the_best_against_what_is_clearly_worse_the_worst_first() -> None:
    assert best_and_worse([0.5, 0.9, 0.85, 0.1], margin=0.1) == [
        Places(1, 3, pytest.approx(0.8)),
        Places(1, 0, pytest.approx(0.4)),
    ]
    assert len(best_and_worse([0.5, 0.9, 0.85, 0.1], 0.1, most=1)) == 1


def test_no_pair_without_a_difference_or_without_any_result() -> None:
    nan = float("nan")
    assert best_and_worse([0.5, 0.5, 0.5], margin=0.0) == []
    assert best_and_worse([nan, nan], margin=0.0) == []
    assert best_and_worse([], margin=0.0) == []
    # A candidate that came to nothing loses to any other.
    assert best_and_worse([nan, 0.1], margin=0.5) == [Places(1, 0, float("inf"))]
    with pytest.raises(InputError, match="margin"):
        best_and_worse([1.0, 2.0], margin=-1.0)


def test_pairs_as_data() -> None:
    pairs = list(
        pairs_of(
            [10, 20],
            candidates=lambda c: [c + i for i in (0, 3, 1)] if c == 10 else [c, c],
            score=lambda c, x: -abs(x - c),
            margin=0.5,
            most=None,
        )
    )
    assert pairs == [Pair(10, 10, 13, 3.0), Pair(10, 10, 11, 1.0)]
