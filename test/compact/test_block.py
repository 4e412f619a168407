"""Blocks: what is nearly one becomes one, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from sam3d_ros.compact.block import Block, block
from sam3d_ros.compact.measured import beside
from sam3d_ros.compact.regular import regular
from sam3d_ros.compact.samples import Samples
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
    found = regular(answer, beside(surface_points(BOOK), GRID), GRID)
    assert found is not answer
    assert found.dtype == np.float32
    assert 1 - iou(found, true) < 0.7 * (1 - iou(answer, true))


@pytest.mark.parametrize("yaw", np.linspace(-np.pi, np.pi, 9))
def test_every_way_round_is_found(yaw: float) -> None:
    true = field(Block(yaw, BOOK.low, BOOK.high))
    found = regular(true, beside(surface_points(BOOK), GRID), GRID)
    assert found is not true
    assert iou(found, true) > 0.95


def test_what_is_no_block_stays() -> None:
    x, y, z = (GRID.points()[:, i].reshape(GRID.shape) for i in range(3))
    ball = np.clip((0.03 - np.sqrt(x * x + y * y + z * z)) / (3 * 0.0025), -1, 1).astype(np.float32)
    measured = np.zeros(GRID.shape, np.float32)
    samples = Samples.of(ball, measured, GRID)
    assert samples is not None
    assert block(ball, samples) is None
    # A tray: the book less a smaller one, open above.
    inner = Block(BOOK.yaw, BOOK.low + 0.006, BOOK.high + np.array([-0.006, -0.006, 0.05]))
    tray = np.minimum(field(BOOK), -field(inner))
    assert regular(tray, beside(surface_points(BOOK), GRID), GRID) is tray
