"""Regular things: whatever the answer is, distances of its shape come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam3d_ros.compact.measured import beside
from sam3d_ros.compact.regular import regular
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float

GRID = Grid(np.full(3, -0.1), np.array([0.02, 0.03, 0.025]), (7, 9, 8))
NOTHING = np.zeros((0, 3), np.float32)


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(7, 9, 8), (40, 30, 20)])
def test_answers_that_are_all_alike_stay_that(value: float, shape: tuple[int, int, int]) -> None:
    grid = Grid(GRID.origin, GRID.spacing, shape)
    answer = np.full(shape, value, np.float32)
    found = regular(answer, beside(NOTHING, grid), grid)
    if value <= 0:
        assert found is answer
    else:  # a block that fills its grid
        assert (found > 0).mean() > 0.8


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, GRID.shape, elements=st.floats(-1, 1, width=32)),
    hnp.arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)),
)
def test_any_answer_gives_distances_of_its_shape(answer: Float, points: Float) -> None:
    found = regular(answer, beside(points, GRID), GRID)
    assert found.shape == answer.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.1
