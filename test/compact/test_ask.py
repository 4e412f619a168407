"""Questions: what is asked, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from looks import ASIDE, frame_of, look, views_of, without_support
from scenes import box_scene

from sam3d_ros.compact.ask import ask, stacked
from sam3d_ros.types import InputError


def test_a_question_has_the_sizes_that_were_asked_for() -> None:
    scene = box_scene(boxes=ASIDE)
    frame = frame_of(scene)
    questions = [ask(view, frame, 16, 24) for view in views_of(frame, scene)]
    inputs = stacked(questions)
    assert {name: value.shape for name, value in inputs.items()} == {
        "grid": (2, 6, 16, 16, 16),
        "picture": (2, 8, 24, 24),
        "numbers": (2, 6),
    }
    assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in inputs.values())
    assert all(np.isfinite(value).all() for value in inputs.values())
    np.testing.assert_array_equal(inputs["grid"][1], questions[1].grid)


def test_without_a_support_a_thing_stands_on_its_lowest_points() -> None:
    """The view frame is there already, so on the same level the same is asked."""
    view, frame, _ = look()
    lowest = float(view.support.up_cam @ view.T_cam_view[:3, 3])
    there = replace(view, support=replace(view.support, offset=lowest))
    seen, guessed = (ask(v, frame, 16, 24) for v in (there, without_support(view)))
    np.testing.assert_array_equal(guessed.grid, seen.grid)
    np.testing.assert_array_equal(guessed.numbers, seen.numbers)
    np.testing.assert_array_equal(guessed.box.low, seen.box.low)
    assert guessed.seen.view.support.offset == pytest.approx(lowest)


def test_nothing_is_asked_without_points() -> None:
    view, frame, _ = look()
    with pytest.raises(InputError, match="points"):
        ask(replace(view, points_cam=view.points_cam[:3]), frame, 16, 24)


def test_the_same_look_is_the_same_question() -> None:
    view, frame, _ = look()
    one, other = (stacked([ask(view, frame, 16, 24)]) for _ in range(2))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
