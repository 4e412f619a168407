"""Ids stay with their objects, and are given up where they must be."""

from __future__ import annotations

import numpy as np

from sam3d_ros.track.identity import Sighting, Tracker, TrackSettings

SECOND = 10**9


def at(x: float, y: float = 0.0, half: float = 0.04, label: str = "") -> Sighting:
    return Sighting(np.array([x, y, 0.0]), np.full(3, half), label)


def test_ids_follow_objects_through_any_order_and_small_motion() -> None:
    tracker = Tracker()
    first = tracker.update(0, [at(0), at(0.3), at(0.6)])
    assert first == ["object_1", "object_2", "object_3"]
    assert tracker.update(SECOND // 30, [at(0.61), at(0.01), at(0.29)]) == [
        "object_3",
        "object_1",
        "object_2",
    ]


def test_neighbours_are_told_apart_by_the_best_pairing() -> None:
    tracker = Tracker()
    tracker.update(0, [at(0), at(0.09)])
    assert tracker.update(1, [at(0.05), at(0.14)]) == ["object_1", "object_2"]


def test_far_larger_or_otherwise_named_things_are_new() -> None:
    for other in (at(0.5), at(0, half=0.15), at(0, label="mug")):
        tracker = Tracker()
        tracker.update(0, [at(0, label="bowl")])
        assert tracker.update(1, [other]) == ["object_2"]


def test_memory_and_never_an_id_twice() -> None:
    tracker = Tracker(TrackSettings(memory_s=1.0))
    tracker.update(0, [at(0)])
    assert tracker.update(SECOND // 2, []) == []
    assert tracker.update(SECOND * 9 // 10, [at(0)]) == ["object_1"]
    assert tracker.update(3 * SECOND, [at(0)]) == ["object_2"]


def test_a_clock_that_jumps_back_starts_again_and_forward_forgets() -> None:
    tracker = Tracker()
    tracker.update(100 * SECOND, [at(0), at(1)])
    assert tracker.update(5 * SECOND, [at(1)]) == ["object_1"]
    assert tracker.update(10**6 * SECOND, [at(1)]) == ["object_2"]


def test_two_objects_in_one_place_get_two_ids_and_nan_none_of_the_old() -> None:
    tracker = Tracker()
    tracker.update(0, [at(0)])
    assert sorted(tracker.update(1, [at(0), at(0.005)])) == ["object_1", "object_2"]
    assert tracker.update(2, [at(np.nan)]) == ["object_3"]


def test_memory_stays_bounded() -> None:
    tracker = Tracker()
    for i in range(500):
        tracker.update(i * SECOND, [at(float(i))])
    assert len(tracker._known) < 10
