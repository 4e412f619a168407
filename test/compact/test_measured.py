"""Surfaces drawn to what was seen of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.compact.lift import TRUNCATION
from sam3d_ros.compact.measured import FURTHEST, beside, drawn_to
from sam3d_ros.mesh.surface import Grid

SIDE, CELL = 32, 0.004
GRID = Grid(np.full(3, -CELL * (SIDE - 1) / 2), np.full(3, CELL), (SIDE, SIDE, SIDE))
RADIUS = 0.04


def ball(radius: float) -> np.ndarray:
    """Its distances as the model gives them."""
    metres = radius - np.linalg.norm(GRID.points(), axis=1).reshape(GRID.shape)
    return np.clip(metres / (TRUNCATION * CELL), -1, 1).astype(np.float32)


def near_half(radius: float, count: int = 4000) -> np.ndarray:
    """Points of the half of a sphere where x is negative."""
    points = np.random.default_rng(0).normal(size=(count, 3))
    points[:, 0] = -np.abs(points[:, 0])
    return (radius * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(field, ((points - GRID.origin) / CELL).T, order=1)


def drawn(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return drawn_to(points, distance, beside(points, GRID), GRID)


def test_the_seen_side_moves_to_the_points_and_the_hidden_side_stays() -> None:
    for error in (-0.5, 0.5):  # cells
        wrong, points = ball(RADIUS + error * CELL), near_half(RADIUS)
        moved = drawn(points, wrong)
        assert moved.dtype == np.float32
        before, after = (np.abs(at(field, points)).mean() for field in (wrong, moved))
        assert before > 0.9 * 0.5 / TRUNCATION
        assert after < 0.4 * before
        hidden = GRID.axes()[0] > 0.5 * RADIUS
        np.testing.assert_allclose(moved[hidden], wrong[hidden], atol=1e-3)


def test_what_fits_already_stays() -> None:
    right = ball(RADIUS)
    np.testing.assert_allclose(drawn(near_half(RADIUS), right), right, atol=0.02)


def test_many_points_in_a_cell_count_as_one() -> None:
    points, wrong = near_half(RADIUS), ball(RADIUS + 0.5 * CELL)
    crowd = np.concatenate([points, np.repeat(points[:1], 10_000, axis=0)])
    assert np.abs(drawn(crowd, wrong) - drawn(points, wrong)).max() < 0.1


def test_points_of_something_else_do_little() -> None:
    """Far from the surface they count as one cell, beyond the grid for nothing."""
    right = ball(RADIUS)
    foreign = np.array([[-0.058, 0.0, 0.0]], np.float32)
    assert np.abs(drawn(foreign, right) - right).max() < FURTHEST
    beyond = np.array([[1.0, 0.0, 0.0], [0.0, -9.0, 0.0]], np.float32)
    np.testing.assert_array_equal(drawn(beyond, right), right)
    np.testing.assert_array_equal(drawn(np.zeros((0, 3), np.float32), right), right)
