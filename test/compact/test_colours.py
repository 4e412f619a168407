"""Seen colours on the grid, against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from sam3d_ros.compact.colours import REACH, seen_colours
from sam3d_ros.mesh.surface import Grid

GRID = Grid(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), (6, 5, 4))


def test_every_cell_takes_the_nearest_seen_colour() -> None:
    rng = np.random.default_rng(0)
    cells = np.array([[0, 0, 0], [5, 4, 3], [2, 1, 3]])
    points = GRID.origin + GRID.spacing * (cells + rng.uniform(-0.4, 0.4, cells.shape))
    colors = rng.integers(0, 256, (3, 3)).astype(np.uint8)
    found = seen_colours(points, colors, GRID)
    assert found.shape == (4, *GRID.shape)
    assert found.dtype == np.float32
    for index in np.ndindex(*GRID.shape):
        distances = np.linalg.norm(cells - np.array(index), axis=1)
        assert found[3][index] == pytest.approx(1 - 2 * min(distances.min() / REACH, 1), abs=1e-6)
        equally_near = np.flatnonzero(np.isclose(distances, distances.min()))
        shown = found[:3][(slice(None), *index)]
        assert any(np.allclose(shown, colors[i] / 127.5 - 1, atol=1e-6) for i in equally_near)


def test_points_of_one_cell_are_averaged_and_others_ignored() -> None:
    here = GRID.origin + GRID.spacing * np.array([1, 1, 1])
    points = np.stack([here, here + 1e-3, here + 50.0])
    colors = np.array([[0, 0, 0], [255, 255, 255], [7, 7, 7]], np.uint8)
    np.testing.assert_allclose(seen_colours(points, colors, GRID)[:3], 0, atol=1e-6)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((4, 3), 99.0)])
def test_grey_where_nothing_was_seen(points: np.ndarray) -> None:
    found = seen_colours(points, np.zeros((len(points), 3), np.uint8), GRID)
    assert (found[:3] == 0).all()
    assert (found[3] == -1).all()
    assert found.dtype == np.float32
