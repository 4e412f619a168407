"""Blocks: what is nearly one becomes one, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam3d_ros.compact.block import Block, block
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float

SIDE = 48
SPACING = np.array([0.0025, 0.0032, 0.002])
GRID = Grid(-SPACING * (SIDE - 1) / 2, SPACING, (SIDE, SIDE, SIDE))
BOOK = Block(0.35, np.array([-0.015, -0.045, -0.035]), np.array([0.016, 0.04, 0.03]))


def field(one: Block, grid: Grid = GRID) -> Float:
    x, y, z = grid.axes()
    return one.distance(x[:, None, None], y[:, None], z, grid).astype(np.float32)


def iou(a: Float, b: Float) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def surface_points(one: Block) -> Float:
    """Of the side that looks towards -x, m, in the frame of the grid."""
    rng = np.random.default_rng(0)
    points = rng.uniform(one.low, one.high, (3000, 3))
    points[:, 0] = one.low[0]
    return (points @ one.R_block_grid).astype(np.float32)


def test_distances_are_those_of_a_block_in_cells() -> None:
    grid = Grid(np.array([-0.05, -0.05, -0.05]), np.full(3, 0.01), (11, 11, 11))
    one = Block(0.0, np.full(3, -0.025), np.full(3, 0.025))
    at = field(one, grid)
    assert at[5, 5, 5] == pytest.approx(2.5 / 3)
    assert at[7, 5, 5] == pytest.approx(0.5 / 3, abs=1e-5)
    assert at[8, 5, 5] == pytest.approx(-0.5 / 3, abs=1e-5)
    assert at[8, 8, 5] == pytest.approx(-np.sqrt(0.5) / 3, abs=1e-5)
    assert at[0, 0, 0] == -1


def test_a_wedge_with_lumps_becomes_a_block() -> None:
    true = field(BOOK)
    across, along, _ = (GRID.points() @ BOOK.R_block_grid.T).T.reshape(3, *GRID.shape)
    rng = np.random.default_rng(0)
    # Its hidden side leans, by more than half a cell on either end.
    leaning = np.where(across > 0, 0.2 * along / 0.045, 0)
    answer = np.clip(true + leaning + 0.03 * rng.normal(size=true.shape), -1, 1).astype(np.float32)
    found = block(answer, surface_points(BOOK), GRID)
    assert found is not answer
    assert found.dtype == np.float32
    assert 1 - iou(found, true) < 0.6 * (1 - iou(answer, true))


@pytest.mark.parametrize("yaw", np.linspace(-np.pi, np.pi, 9))
def test_every_way_round_is_found(yaw: float) -> None:
    true = field(Block(yaw, BOOK.low, BOOK.high))
    found = block(true, surface_points(BOOK), GRID)
    assert found is not true
    assert iou(found, true) > 0.95


def test_what_is_no_block_stays() -> None:
    x, y, z = (GRID.points()[:, i].reshape(GRID.shape) for i in range(3))
    ball = np.clip((0.03 - np.sqrt(x * x + y * y + z * z)) / (3 * 0.0025), -1, 1).astype(np.float32)
    assert block(ball, np.zeros((0, 3), np.float32), GRID) is ball
    tray = field(BOOK)
    tray = np.where(np.roll(tray, 6, axis=2) > 0.3, -np.abs(tray), tray)
    assert block(tray, surface_points(BOOK), GRID) is tray


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.3, 1.0])
def test_answers_that_are_all_alike_stay(value: float) -> None:
    answer = np.full(GRID.shape, value, np.float32)
    assert block(answer, np.zeros((0, 3), np.float32), GRID) is answer


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.float32, (7, 9, 8), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)),
)
def test_any_answer_gives_distances_of_its_shape(answer: Float, points: Float) -> None:
    grid = Grid(np.full(3, -0.1), np.array([0.02, 0.03, 0.025]), (7, 9, 8))
    found = block(answer, points, grid)
    assert found.shape == answer.shape
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1
