"""The synchroniser: what it must never do (property tests), and the situations robots produce (examples)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.node.sync import ApproximateSync

MS = 1_000_000
NAMES = ("rgb", "depth", "mask")


def feed(sync: ApproximateSync[int], events: list[tuple[str, int]]) -> list[dict[str, int]]:
    """Deliver (input, stamp ms) events one ms apart; the message is its stamp."""
    sets = []
    for now, (name, stamp) in enumerate(events):
        found = sync.add(name, stamp * MS, stamp, now * MS)
        if found:
            sets.append(found)
    return sets


def test_equal_stamps_come_out_at_once() -> None:
    sync: ApproximateSync[int] = ApproximateSync(NAMES, slop_ns=20 * MS)
    assert feed(sync, [("rgb", 100), ("depth", 100), ("mask", 100)]) == [
        {"rgb": 100, "depth": 100, "mask": 100}
    ]
    assert sync.stats.sets == 1
    assert sync.stats.max_skew_ns == 0


def test_a_better_partner_under_way_is_waited_for() -> None:
    """rgb 133 could pair with depth 100 (33 ms), but depth 133 is about to come."""
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=50 * MS)
    assert feed(sync, [("depth", 100), ("rgb", 133)]) == []
    assert feed(sync, [("depth", 133)]) == [{"rgb": 133, "depth": 133}]
    assert sync.stats.inputs["depth"].dropped == 1


def test_unequal_stamps_within_slop_match_when_newer_ones_prove_them_best() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=20 * MS)
    sets = feed(sync, [("rgb", 100), ("depth", 108), ("rgb", 133), ("depth", 141), ("rgb", 166)])
    assert sets == [{"rgb": 100, "depth": 108}, {"rgb": 133, "depth": 141}]
    assert sync.stats.max_skew_ns == 8 * MS


def test_a_single_unequal_set_comes_out_by_poll() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=20 * MS, patience_ns=100 * MS)
    assert feed(sync, [("depth", 95), ("rgb", 100)]) == []
    assert sync.poll(50 * MS) is None
    assert sync.poll(200 * MS) == {"rgb": 100, "depth": 95}


def test_stamps_too_far_apart_never_match_and_the_miss_is_named() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=5 * MS)
    assert feed(sync, [e for t in range(0, 300, 33) for e in (("rgb", t), ("depth", t + 16))]) == []
    assert sync.poll(10_000 * MS) is None
    assert sync.stats.gap_ns() == ("depth", "rgb", 16 * MS)


def test_a_clock_set_back_starts_anew() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=0)
    feed(sync, [("rgb", 90_000), ("depth", 90_000), ("rgb", 90_033)])
    assert feed(sync, [("rgb", 10), ("depth", 10)]) == [{"rgb": 10, "depth": 10}]
    assert sync.stats.clock_jumps == 1


def test_a_small_step_back_is_reordering_not_a_jump() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=0)
    sets = feed(sync, [("rgb", 133), ("rgb", 100), ("depth", 100), ("depth", 133)])
    assert [s["rgb"] for s in sets] == [100, 133]
    assert sync.stats.clock_jumps == 0


def test_memory_is_bounded_when_one_input_is_silent() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("rgb", "depth"), slop_ns=0, queue_size=4)
    feed(sync, [("rgb", t) for t in range(0, 1000, 10)])
    assert sync.stats.inputs["rgb"].dropped == 96
    assert sync.stats.gap_ns() is None


@pytest.mark.parametrize("bad", [{"names": ()}, {"slop_ns": -1}, {"queue_size": 0}])
def test_nonsense_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="synchroniser needs"):
        ApproximateSync(**({"names": ("a",), "slop_ns": 1, "queue_size": 1} | bad))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 300)), max_size=60), st.integers(0, 50))
@settings(max_examples=300, deadline=None)
def test_what_comes_out_is_within_slop_in_order_and_used_once(
    events: list[tuple[str, int]], slop: int
) -> None:
    sync: ApproximateSync[tuple[int, int]] = ApproximateSync(NAMES, slop_ns=slop * MS, queue_size=5)
    serial = itertools.count()
    sets = [
        found
        for now, (name, stamp) in enumerate(events)
        if (found := sync.add(name, stamp * MS, (stamp, next(serial)), now * MS))
    ]
    used = [message for found in sets for message in found.values()]
    assert len(used) == len(set(used))
    for found in sets:
        stamps = [stamp for stamp, _ in found.values()]
        assert max(stamps) - min(stamps) <= slop
    for stats in sync.stats.inputs.values():
        assert stats.received >= stats.used + stats.dropped


@given(st.permutations(range(3)), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_no_frame_of_an_exact_camera_is_lost(order: list[int], count: int) -> None:
    """Three topics with the same stamps, in any fixed order of arrival: every frame comes out, in order."""
    sync: ApproximateSync[int] = ApproximateSync(NAMES, slop_ns=15 * MS)
    sets = feed(sync, [(NAMES[i], 33 * frame) for frame in range(count) for i in order])
    assert [found["rgb"] for found in sets] == [33 * frame for frame in range(count)]
    assert all(len(set(found.values())) == 1 for found in sets)
