"""Things turned on an axis: what was seen of one side tells the rest, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.compact.axis import passes_by, upright_axis
from sam3d_ros.compact.lift import TRUNCATION
from sam3d_ros.compact.measured import beside
from sam3d_ros.compact.regular import regular
from sam3d_ros.compact.samples import Samples
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Bool, Float

SIDE, CELL = 48, 0.0025
GRID = Grid(np.full(3, -CELL * (SIDE - 1) / 2), np.full(3, CELL), (SIDE, SIDE, SIDE))
Distance = Callable[[Float], Float]


def field(metres: Distance, grid: Grid = GRID) -> Float:
    """Distances, positive inside, as the model gives them."""
    cell = float(np.cbrt(np.prod(grid.spacing)))
    values = metres(grid.points().astype(np.float64)).reshape(grid.shape)
    return np.clip(values / (TRUNCATION * cell), -1, 1).astype(np.float32)


def bowl(points: Float) -> Float:
    """Half a hollow ball about an upright axis that lies between the cells; walls of 6 mm."""
    x, y, z = points.T
    r = np.sqrt((x - 0.0031) ** 2 + (y + 0.0042) ** 2 + (z - 0.02) ** 2)
    return np.minimum(0.003 - np.abs(r - 0.043), 0.02 - z)


def handle(points: Float) -> Float:
    """A bar that sticks out of the bowl."""
    x, y, z = points.T
    return np.minimum.reduce([0.005 - np.abs(y + 0.0042), 0.005 - np.abs(z), x - 0.04, 0.058 - x])


def can(points: Float) -> Float:
    """Lying askew."""
    along = np.array([0.8, 0.57, 0.19]) / np.linalg.norm([0.8, 0.57, 0.19])
    s = points @ along
    r = np.linalg.norm(points - s[:, None] * along, axis=1)
    return np.minimum(0.022 - r, 0.04 - np.abs(s))


def step(points: Float) -> Float:
    """A block with a smaller one on one end."""
    lower = (np.array([0.045, 0.03, 0.02]) - np.abs(points)).min(axis=1)
    upper = (np.array([0.02, 0.03, 0.02]) - np.abs(points - [0.025, 0, 0.02])).min(axis=1)
    return np.maximum(lower, upper)


def in_front(distance: Float) -> Bool:
    """Cells at the surface where x is small: what a camera there would see."""
    x = GRID.points()[:, 0].reshape(GRID.shape)
    return (np.abs(distance) < 0.15) & (x < -0.01)


def answered(true: Float, error: float = 0.2, seed: int = 0) -> tuple[Float, Float]:
    """An answer as `true` where it was seen and off by smooth errors elsewhere, and the points that were seen."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=true.shape), 3)
    hidden = (GRID.points()[:, 0].reshape(GRID.shape) > -0.01) & (np.abs(true) < 1)
    answer = np.clip(true + hidden * noise * error / noise.std(), -1, 1).astype(np.float32)
    return answer, GRID.points()[in_front(true).ravel()]


def iou(a: Float, b: Float) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


@pytest.mark.parametrize("metres", [bowl, can])
def test_the_hidden_side_is_as_the_seen_one(metres: Distance) -> None:
    true = field(metres)
    answer, points = answered(true)
    found = regular(answer, beside(points, GRID), GRID)
    assert found.dtype == np.float32
    assert iou(answer, true) < 0.92
    assert 1 - iou(found, true) < 0.5 * (1 - iou(answer, true))


def test_a_handle_stays_and_leaves_no_trace() -> None:
    true = field(lambda p: np.maximum(bowl(p), handle(p)))
    answer, points = answered(true, error=0.1)
    grip = field(handle) > 0
    assert grip.sum() > 50
    found = regular(answer, beside(points, GRID), GRID)
    assert found is not answer
    assert ((found > 0) & grip).sum() >= ((answer > 0) & grip).sum()
    assert iou(found, true) > iou(answer, true)


def test_a_bottom_that_is_half_there_is_not_lost() -> None:
    def deep(points: Float) -> Float:
        x, y, z = points.T
        r = np.hypot(x - 0.0031, y + 0.0042)
        wall = np.minimum(0.004 - np.abs(r - 0.04), 0.04 - np.abs(z))
        return np.maximum(wall, np.minimum(0.002 - np.abs(z + 0.04), 0.042 - r))

    true = field(deep)
    x, _, z = (GRID.points()[:, i].reshape(GRID.shape) for i in range(3))
    answer = np.where((z < -0.037) & (x > -0.01) & (true > 0), np.float32(-0.12), true)
    found = regular(
        answer, beside(GRID.points()[in_front(true).ravel() & (GRID.points()[:, 2] > -0.035)], GRID), GRID
    )
    assert found is not answer
    lowest = np.flatnonzero((found > 0).any(axis=(0, 1)))[0]
    assert lowest <= np.flatnonzero((answer > 0).any(axis=(0, 1)))[0] + 2


@pytest.mark.parametrize("shape", [(0.6, 1.0, 1.7), (1.5, 1.2, 0.5)])
def test_stretched_cells_change_nothing_about_it(shape: tuple[float, float, float]) -> None:
    spacing = CELL * np.array(shape)
    grid = Grid(-spacing * (SIDE - 1) / 2, spacing, GRID.shape)

    def cone(points: Float) -> Float:
        x, y, z = points.T
        return np.minimum(0.02 - 0.2 * z - np.hypot(x - 0.002, y), 0.02 - np.abs(z))

    true = field(cone, grid)
    rng = np.random.default_rng(1)
    answer = np.clip(true + 0.07 * rng.normal(size=true.shape), -1, 1).astype(np.float32)
    near = np.abs(true).ravel() < 0.1
    found = regular(answer, beside(grid.points()[near], grid), grid)
    assert (
        np.abs(found - true)[np.abs(true) < 0.3].mean()
        < 0.5 * np.abs(answer - true)[np.abs(true) < 0.3].mean()
    )


@pytest.mark.parametrize("yaw", [0.0, 0.4])
def test_what_is_not_turned_stays_as_it_is(yaw: float) -> None:
    c, s = np.cos(yaw), np.sin(yaw)
    true = field(lambda p: step(p @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])))
    assert regular(true, beside(GRID.points()[in_front(true).ravel()], GRID), GRID) is true


@pytest.mark.parametrize("yaw", [0.0, 0.4, 1.2])
def test_a_bar_is_not_turned_about_an_axis_far_off(yaw: float) -> None:
    c, s = np.cos(yaw), np.sin(yaw)

    def bar(points: Float) -> Float:
        """Rounded, and a little bent."""
        x, y, z = (points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])).T
        x = x - 2 * y * y
        return np.minimum(0.05 - np.abs(y), 0.009 - np.hypot(x, 1.5 * z))

    true = field(bar)
    found = regular(true, beside(GRID.points()[in_front(true).ravel()], GRID), GRID)
    assert iou(found, true) > 0.8


def test_an_axis_far_off_is_known() -> None:
    """Circles around it would fill the memory."""
    answer = field(bowl)
    samples = Samples.of(answer, np.zeros_like(answer), GRID)
    assert samples is not None
    axis = upright_axis(samples, samples.normals(answer))
    assert not passes_by(axis, samples)
    assert passes_by(replace(axis, point=np.array([1e6, 0.0, 0.0])), samples)
    assert passes_by(replace(axis, point=np.full(3, np.nan)), samples)


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-4])
def test_sheets_whose_normals_are_parallel_stay(tilt: float) -> None:
    rng = np.random.default_rng(0)
    x, y, _ = GRID.points().T
    sheet = np.clip((0.004 - np.abs(x + tilt * y)) / (TRUNCATION * CELL), -1, 1).reshape(GRID.shape)
    answer = (sheet + 1e-6 * rng.normal(size=sheet.shape)).clip(-1, 1).astype(np.float32)
    assert iou(regular(answer, beside(np.zeros((0, 3), np.float32), GRID), GRID), answer) > 0.9
