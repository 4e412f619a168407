"""The box around what was seen: by hand, and what holds for any points."""

from __future__ import annotations

import numpy as np
import pytest

from sam3d_ros.compact.box import (
    BELOW,
    LEAST_M,
    THINNEST,
    ObjectBox,
    box_again,
    box_of,
    leaves,
)


def corners(low: list[float], high: list[float]) -> np.ndarray:
    """Half of the points in one corner, half in the other: percentiles are these two."""
    return np.repeat(np.array([low, high], np.float32), 50, axis=0)


def test_by_hand() -> None:
    """0.10 x 0.20 x 0.12 m, seen from 2 cm above the support on: it reaches down to it, and a little deeper."""
    box = box_of(corners([-0.05, -0.1, 0.02], [0.05, 0.1, 0.12]))
    # Depth: 0.9 of the smaller of 0.20 and 0.12; margins: 12 % of each side and 6 % of 0.20.
    margin = np.array([0.12 * 0.108, 0.12 * 0.2, 0.12 * 0.12]) + 0.06 * 0.2
    np.testing.assert_allclose(box.low[:2], np.array([-0.05, -0.1]) - margin[:2], atol=1e-6)
    np.testing.assert_allclose(box.low + box.size, np.array([0.058, 0.1, 0.12]) + margin, atol=1e-6)
    assert box.low[2] == pytest.approx(-0.04 * 0.12 - 0.002, abs=1e-6)


def test_a_sheet_gets_a_thickness() -> None:
    upright = box_of(corners([0.0, -0.1, 0.0], [0.0, 0.1, 0.2]))
    assert upright.size[0] > 0.9 * 0.2
    lying = box_of(corners([-0.1, -0.1, 0.001], [0.1, 0.1, 0.001]))
    assert lying.size[2] > THINNEST * 0.2
    dot = box_of(corners([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]))
    assert (dot.size >= LEAST_M).all()


def test_what_was_seen_lies_inside_but_for_outliers() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = (rng.normal(size=(2000, 3)) * rng.uniform(0.01, 0.2, 3) + [0, 0, 0.3]).astype(np.float32)
        points[:, 2] = np.abs(points[:, 2])
        far = np.concatenate([points, [[9.0, 9.0, 9.0]]]).astype(np.float32)
        box = box_of(points)
        assert (np.abs(box.unit(points)) <= 1).all(axis=1).mean() > 0.97
        assert (box_of(far).size < 1.5 * box.size).all()
        assert -BELOW * 1.2 * points[:, 2].max() - 0.01 < box.low[2] <= 0


def test_mirrored_points_give_the_mirrored_box() -> None:
    points = np.random.default_rng(1).uniform([0, -0.05, 0], [0.1, 0.2, 0.1], (500, 3))
    box, other = box_of(points), box_of(points * [1, -1, 1])
    np.testing.assert_allclose(other.size, box.size)
    np.testing.assert_allclose(other.low[[0, 2]], box.low[[0, 2]])
    np.testing.assert_allclose(other.low[1], -(box.low + box.size)[1])


def test_grid_and_unit_coordinates() -> None:
    box = ObjectBox(np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.8, 1.6]))
    np.testing.assert_allclose(box.unit(np.array([[1.0, 2.8, 3.8]])), [[-1, 1, 0]], atol=1e-9)
    grid = box.grid(4)
    np.testing.assert_allclose(grid.points()[0], [1.05, 2.1, 3.2], rtol=1e-6)
    np.testing.assert_allclose(grid.points()[-1], [1.35, 2.7, 4.4], rtol=1e-6)


def test_a_second_box_is_around_what_the_answer_says_and_what_was_seen() -> None:
    """By hand: the true bounds, as layout tokens would give them, reach beyond the first box to the left."""
    points = corners([0.0, -0.05, 0.01], [0.1, 0.05, 0.08])
    first = box_of(points)
    low, high = np.array([0.02, -0.05, 0.0]), np.array([0.12, 0.25, 0.1])
    translation = ((low + high) / 2 - first.low - first.size / 2) / first.size
    box = box_again(first, translation, np.log((high - low) / first.size), points)
    margin = 0.12 * np.array([0.12, 0.3, 0.1]) + 0.06 * 0.3
    np.testing.assert_allclose(box.low[:2], np.array([0.0, -0.05]) - margin[:2], atol=1e-6)
    np.testing.assert_allclose(box.low + box.size, high + margin, atol=1e-6)
    assert box.low[2] == pytest.approx(-BELOW * 0.1 - 0.002)
    assert (np.abs(box.unit(points)) < 1).all()


def test_an_absurd_answer_gives_a_box_with_what_was_seen() -> None:
    points = np.random.default_rng(2).uniform([0, -0.05, 0], [0.1, 0.2, 0.1], (500, 3)).astype(np.float32)
    first = box_of(points)
    for translation, scale in (([5.0, 0, -3], [-9.0, 0, 0]), ([0.0, 0, 0], [-9.0, -9, -9])):
        box = box_again(first, np.array(translation), np.array(scale), points)
        assert (box.size > 0).all()
        assert (np.abs(box.unit(points)) < 1).all(axis=1).mean() > 0.97


def test_bounds_that_leave_the_box() -> None:
    """At a side or the top; what they say about the support does not count."""
    inside = np.log(np.array([0.8, 0.8, 0.8]))
    assert not leaves(np.array([0.09, -0.09, 0.09]), inside)
    assert not leaves(np.array([0.0, 0.0, -0.3]), inside)
    for axis, to in ((0, 0.2), (0, -0.2), (1, 0.2), (1, -0.2), (2, 0.2)):
        assert leaves(to * np.eye(3)[axis], inside)
    assert leaves(np.zeros(3), np.log(np.array([0.8, 1.1, 0.8])))
