"""The TF tree: chains, time, and what it refuses."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sam3d_ros.node.tf_buffer import TransformBuffer, TransformUnavailable
from sam3d_ros.perception import frames
from sam3d_ros.types import Float

S = 1_000_000_000


def pose(x: float, yaw: float = 0.0) -> Float:
    return frames.transform(Rotation.from_euler("z", yaw).as_matrix(), np.array([x, 0.0, 0.0]))


def test_between_two_samples_position_and_rotation_are_interpolated() -> None:
    buffer = TransformBuffer()
    buffer.set("map", "camera", 1 * S, pose(0.0, 0.0))
    buffer.set("map", "camera", 2 * S, pose(1.0, np.pi / 2))
    np.testing.assert_allclose(buffer.lookup("map", "camera", S + S // 4), pose(0.25, np.pi / 8), atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("map", "camera", 0), pose(1.0, np.pi / 2), atol=1e-12)


def test_siblings_meet_at_their_common_parent() -> None:
    buffer = TransformBuffer()
    buffer.set("map", "base", 5 * S, pose(1.0, 0.3))
    buffer.set("base", "camera", 0, pose(0.2, -0.1), static=True)
    buffer.set("base", "arm", 5 * S, pose(-0.5, 1.0))
    expected = frames.inverse(pose(-0.5, 1.0)) @ pose(0.2, -0.1)
    np.testing.assert_allclose(buffer.lookup("arm", "camera", 5 * S), expected, atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("camera", "camera", 5 * S), np.eye(4))


def test_what_is_not_known_is_refused_with_the_reason() -> None:
    buffer = TransformBuffer()
    buffer.set("map", "base", 5 * S, pose(0))
    buffer.set("map", "base", 6 * S, pose(0))
    buffer.set("odom", "wheel", 5 * S, pose(0))
    with pytest.raises(TransformUnavailable, match="'tool' does not exist"):
        buffer.lookup("map", "tool", 5 * S)
    with pytest.raises(TransformUnavailable, match="not connected"):
        buffer.lookup("map", "wheel", 5 * S)
    with pytest.raises(TransformUnavailable, match="500 ms before the asked time"):
        buffer.lookup("map", "base", 6 * S + S // 2)
    with pytest.raises(TransformUnavailable, match="1000 ms after the asked time"):
        buffer.lookup("map", "base", 4 * S)


def test_a_loop_is_refused_and_bad_transforms_are_ignored() -> None:
    buffer = TransformBuffer()
    buffer.set("a", "a", 1 * S, pose(0))
    buffer.set("a", "b", 1 * S, np.full((4, 4), np.nan))
    with pytest.raises(TransformUnavailable, match="does not exist"):
        buffer.lookup("a", "b", 1 * S)
    buffer.set("a", "b", 1 * S, pose(1))
    buffer.set("b", "a", 1 * S, pose(1))
    with pytest.raises(TransformUnavailable, match="loop"):
        buffer.lookup("a", "b", 1 * S)


def test_waiting_ends_when_the_transform_comes() -> None:
    buffer = TransformBuffer()
    buffer.set("map", "base", 1 * S, pose(0))
    threading.Timer(0.05, lambda: buffer.set("map", "base", 3 * S, pose(2))).start()
    begin = time.monotonic()
    np.testing.assert_allclose(buffer.lookup("map", "base", 2 * S, timeout=5.0)[0, 3], 1.0)
    assert time.monotonic() - begin < 2


def test_old_samples_go_and_a_clock_set_back_clears() -> None:
    buffer = TransformBuffer(keep_ns=2 * S)
    for second in range(100, 200):
        buffer.set("map", "base", second * S, pose(second))
    with pytest.raises(TransformUnavailable):
        buffer.lookup("map", "base", 150 * S)
    buffer.set("map", "base", 1 * S, pose(7))
    np.testing.assert_allclose(buffer.lookup("map", "base", 1 * S)[0, 3], 7)


@given(st.permutations(range(6)), st.floats(0, 5))
@settings(max_examples=50, deadline=None)
def test_the_order_of_arrival_does_not_matter(order: list[int], at: float) -> None:
    buffer = TransformBuffer()
    for i in order:
        buffer.set("map", "base", (10 + i) * S, pose(float(i)))
    stamp = 10 * S + int(at * S)
    np.testing.assert_allclose(buffer.lookup("map", "base", stamp)[0, 3], (stamp - 10 * S) / S, atol=1e-9)
