"""Hollows that nobody saw into, of things of known shape before a camera."""

from __future__ import annotations

import numpy as np
import pytest
from looks import ASIDE, frame_of, views_of
from scenes import box_scene

from sam3d_ros.baselines.evidence import Evidence, evidence
from sam3d_ros.compact.box import ObjectBox, box_of
from sam3d_ros.compact.hollow import AGREED, FILLED, doubtful, fill
from sam3d_ros.mesh.surface import Grid

SIDE = 32


@pytest.fixture(scope="module")
def seen() -> Evidence:
    """Of a box that stands on a table, seen from above and in front."""
    scene = box_scene(boxes=ASIDE)
    frame = frame_of(scene)
    return evidence(views_of(frame, scene)[0], frame)


@pytest.fixture(scope="module")
def box(seen: Evidence) -> ObjectBox:
    return box_of(seen.points)


@pytest.fixture(scope="module")
def grid(box: ObjectBox) -> Grid:
    return box.grid(SIDE)


def clearance(grid: Grid, seen: Evidence) -> np.ndarray:
    return seen.clearance(grid.points()).reshape(grid.shape)


def solid(grid: Grid, seen: Evidence) -> np.ndarray:
    """True in the bounds of what was seen, down to the table."""
    low, high = seen.points.min(axis=0), seen.points.max(axis=0)
    low[2] = 0.0
    points = grid.points()
    return ((points >= low) & (points <= high)).all(axis=1).reshape(grid.shape)


def shell(
    grid: Grid, seen: Evidence, mouth: str = "below", wall: int = 3, narrower: float = 0.0
) -> np.ndarray:
    """The same with walls and nothing inside, open below (upside down), above or behind (on its side). narrower: by
    what share of its width the top is narrower than the base."""
    cells = np.argwhere(solid(grid, seen))
    low, high = cells.min(axis=0), cells.max(axis=0) + 1
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    inset = narrower / 2 * (high - low) * (index[..., 2:] - low[2]) / (high[2] - low[2]) * [1, 1, 0]

    def within(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return ((index >= first + inset.round()) & (index < last - inset.round())).all(axis=-1)

    bottom, top = low + wall, high - wall
    if mouth == "below":
        bottom[2] = low[2]
    elif mouth == "above":
        top[2] = high[2]
    else:
        top[0] = high[0]
    return within(low, high) & ~within(bottom, top)


def answers(inside: np.ndarray, apart: float = 0.0) -> np.ndarray:
    """Two candidates that differ by `apart` everywhere."""
    one = np.where(inside, 0.5, -0.5).astype(np.float32)
    return np.stack([one, one - np.float32(apart)])


def test_a_hollow_without_a_witness_needs_agreement(grid: Grid, seen: Evidence) -> None:
    cup, whole = shell(grid, seen, "behind"), solid(grid, seen)
    for apart, believed in ((0.5 * AGREED, True), (2 * AGREED, False)):
        cells = doubtful(answers(cup, apart), 0.0, clearance(grid, seen))
        assert cells.any() != believed
    filled = fill(answers(cup, 2 * AGREED).mean(axis=0), cells) > 0
    assert (filled & whole).sum() > 0.97 * whole.sum()
    assert not (filled & ~whole).any()
    # A single answer has nobody to agree with.
    assert doubtful(answers(cup)[:1], 0.0, clearance(grid, seen)).any()


def test_upside_down_stands_what_is_wider_at_its_mouth(grid: Grid, seen: Evidence) -> None:
    """With straight walls it is a can, however sure the answers are."""
    for narrower, believed in ((0.3, True), (0.0, False)):
        cup = shell(grid, seen, narrower=narrower)
        assert doubtful(answers(cup), 0.0, clearance(grid, seen)).any() != believed
        assert doubtful(answers(cup, 2 * AGREED), 0.0, clearance(grid, seen)).any()


def test_what_was_seen_into_stays_hollow(grid: Grid, seen: Evidence) -> None:
    """The same camera, had it looked through the roof: the depth of the floor instead."""
    depth = np.where(seen.mask, seen.depth + np.float32(0.5), seen.depth)
    through = Evidence(seen.view, seen.frame, seen.points, depth, seen.mask, seen.gap, seen.x0, seen.y0)
    cup = shell(grid, seen, "above")
    assert not doubtful(answers(cup, 2 * AGREED), 0.0, clearance(grid, through)).any()


def test_a_glimpse_is_enough(grid: Grid, seen: Evidence) -> None:
    """A mug half hidden behind a carton shows little of its inside: a fiftieth of it here."""
    cup, known = shell(grid, seen, "above"), clearance(grid, seen)
    assert doubtful(answers(cup, 2 * AGREED), 0.0, known).any()
    glimpsed = np.argwhere(solid(grid, seen) & ~cup)[::50]
    known[tuple(glimpsed.T)] = -0.01
    assert not doubtful(answers(cup, 2 * AGREED), 0.0, known).any()


def test_solids_and_nothing_have_no_hollows(grid: Grid, seen: Evidence) -> None:
    whole = solid(grid, seen)
    flat = np.zeros_like(whole)
    flat[10:20, 10:20, 5] = True
    for inside in (whole, np.zeros_like(whole), flat):
        assert not doubtful(answers(inside, 1.0), 0.0, clearance(grid, seen)).any()


def test_a_finer_grid_is_filled_at_the_same_places() -> None:
    cells = np.zeros((4, 4, 4), bool)
    cells[1, 2, 3] = True
    for side in (4, 6, 8):
        filled = fill(np.full((side, side, side), -1.0, np.float32), cells)
        where = (np.argwhere(filled > 0) + 0.5) / side
        assert len(where) > 0
        assert (np.floor(4 * where) == [1, 2, 3]).all()
        assert filled.max() == np.float32(FILLED)
