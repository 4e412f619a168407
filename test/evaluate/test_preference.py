import random

import numpy as np
import pytest

from sam3d_ros.evaluate.preference import PRIOR_TIES, Judgement, elo, win_rate, wins
from sam3d_ros.types import InputError


def games(a, b, won, lost, ties=0):
    return (
        [Judgement(a, b, "left")] * won + [Judgement(b, a, "left")] * lost + [Judgement(a, b, "tie")] * ties
    )


def test_win_rate_counts_either_side_and_half_ties():
    judged = games("new", "old", 6, 2, ties=2)
    assert win_rate(judged, "new", "old") == pytest.approx(0.7)
    assert win_rate(judged, "old", "new") == pytest.approx(0.3)
    names, table = wins(judged)
    assert names == ["new", "old"]
    assert table.tolist() == [[0, 7], [3, 0]]


def test_ten_to_one_is_400_points():
    ratings = elo(games("a", "b", 10_000, 1_000))
    assert ratings["a"] - ratings["b"] == pytest.approx(400, abs=0.1)
    assert sum(ratings.values()) / 2 == pytest.approx(1000)


def test_ratings_of_three_are_those_they_were_made_from():
    truth = {"a": 1200.0, "b": 1000.0, "c": 800.0}
    judged = []
    for x, y in (("a", "b"), ("b", "c"), ("a", "c")):
        chance = 1 / (1 + 10 ** ((truth[y] - truth[x]) / 400))
        judged += games(x, y, round(20_000 * chance), round(20_000 * (1 - chance)))
    for name, rating in elo(judged).items():
        assert rating == pytest.approx(truth[name], abs=1)


def test_against_plain_gradient_ascent():
    rng = np.random.default_rng(0)
    judged = []
    for x, y in (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")):
        judged += games(x, y, *rng.integers(1, 9, 2))
    names, table = wins(judged)
    table = table + PRIOR_TIES / 2 * ((table + table.T) > 0)
    strength = np.zeros(4)
    for _ in range(20_000):
        chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))
        strength += 0.02 * (table - (table + table.T) * chance).sum(axis=1)
    expected = 1000 + 400 / np.log(10) * (strength - strength.mean())
    assert [elo(judged)[n] for n in names] == pytest.approx(expected, abs=1e-3)


def test_order_and_sides_do_not_matter_and_a_circle_is_even():
    judged = games("a", "b", 5, 3) + games("b", "c", 4, 1) + games("c", "a", 2, 2)
    shuffled = judged[:]
    random.Random(0).shuffle(shuffled)
    assert elo(judged) == pytest.approx(elo(shuffled))
    circle = elo(games("a", "b", 3, 0) + games("b", "c", 3, 0) + games("c", "a", 3, 0))
    assert list(circle.values()) == pytest.approx([1000] * 3)


def test_who_never_lost_has_a_finite_rating():
    ratings = elo(games("a", "b", 20, 0))
    assert 1000 < ratings["a"] < 3000
    assert elo(games("a", "b", 40, 0))["a"] > ratings["a"]


def test_bad_input_is_named():
    assert elo([]) == {}
    with pytest.raises(InputError, match="judged against itself"):
        elo([Judgement("a", "a", "left")])
    with pytest.raises(InputError, match="must be left, right or tie"):
        elo([Judgement("a", "b", "both")])
    with pytest.raises(InputError, match="c, d and a were never compared"):
        elo(games("a", "b", 1, 1) + games("c", "d", 1, 1))
    with pytest.raises(InputError, match="never judged together"):
        win_rate(games("a", "b", 1, 1), "a", "c")
