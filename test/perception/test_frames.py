"""Every arrow between two frames by hand: what is ahead, left or above must come out there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sam3d_ros.perception import frames

angles = st.floats(-7, 7)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.01).map(np.array)
AHEAD, LEFT, ABOVE = [1, 0, 0], [0, 1, 0], [0, 0, 1]  # of a robot, REP 103


def test_cam_from_body() -> None:
    assert frames.cam_from_body(np.array(AHEAD)).tolist() == [0, 0, 1]
    assert frames.cam_from_body(np.array(LEFT)).tolist() == [-1, 0, 0]
    assert frames.cam_from_body(np.array(ABOVE)).tolist() == [0, -1, 0]


def test_body_from_cam() -> None:
    """A point one metre ahead, 20 cm right and 10 cm below the axis of the camera."""
    assert frames.body_from_cam(np.array([0.2, 0.1, 1.0])).tolist() == [1.0, -0.2, -0.1]


def test_cam_from_p3d_and_back() -> None:
    """PyTorch3D: x left, y up, z forward."""
    left_up_ahead = np.array([0.2, 0.1, 1.0])
    assert frames.cam_from_p3d(left_up_ahead).tolist() == [-0.2, -0.1, 1.0]
    assert frames.p3d_from_cam(np.array([-0.2, -0.1, 1.0])).tolist() == left_up_ahead.tolist()


def test_obj_from_gltf_and_back() -> None:
    """The top of a GLB is +y, the side that faces the viewer +z; it becomes the side of -y."""
    assert frames.obj_from_gltf(np.array([0, 1, 0])).tolist() == ABOVE
    assert frames.obj_from_gltf(np.array([0, 0, 1])).tolist() == [0, -1, 0]
    assert frames.obj_from_gltf(np.array([1, 0, 0])).tolist() == [1, 0, 0]
    assert frames.gltf_from_obj(np.array([1, 2, 3])).tolist() == [1, 3, -2]


def test_up_cam_from_world() -> None:
    """A camera that looks along the horizon has up at -y; looking straight down it has up at -z."""
    level = frames.R_CAM_BODY
    np.testing.assert_array_equal(frames.up_cam_from_world(level), [0, -1, 0])
    pitched_down = Rotation.from_euler("y", 90, degrees=True).as_matrix()  # body's x to the floor
    np.testing.assert_allclose(frames.up_cam_from_world(level @ pitched_down.T), [0, 0, -1], atol=1e-12)


def test_up_cam_from_pitch() -> None:
    np.testing.assert_allclose(frames.up_cam_from_pitch(0.0), [0, -1, 0], atol=1e-12)
    down = Rotation.from_euler("y", 30, degrees=True).as_matrix()
    same = frames.up_cam_from_world(frames.R_CAM_BODY @ down.T)
    np.testing.assert_allclose(frames.up_cam_from_pitch(np.radians(30)), same, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(quaternions)
def test_rotation_p3d_canon_is_that_of_row_vectors(q_wxyz: np.ndarray) -> None:
    """The published model computes p_cam = p_obj @ R(q)."""
    R = Rotation.from_quat(q_wxyz[[1, 2, 3, 0]]).as_matrix()
    p = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(frames.rotation_p3d_canon(q_wxyz) @ p, p @ R, atol=1e-9)


@pytest.mark.parametrize(
    "R", [frames.R_CAM_BODY, frames.R_CAM_P3D, frames.R_OBJ_GLTF], ids=["cam_body", "cam_p3d", "obj_gltf"]
)
def test_constants_are_rotations_not_mirrors(R: np.ndarray) -> None:
    np.testing.assert_array_equal(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == 1


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (frames.cam_from_body, frames.body_from_cam),
        (frames.cam_from_p3d, frames.p3d_from_cam),
        (frames.obj_from_gltf, frames.gltf_from_obj),
    ],
)
def test_arrows_keep_shape_and_dtype_and_return(there, back) -> None:  # type: ignore[no-untyped-def]
    for shape in ((3,), (5, 3), (2, 4, 3), (0, 3)):
        points = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        moved = there(points)
        assert (moved.dtype, moved.shape) == (np.float32, shape)
        np.testing.assert_array_equal(back(moved), points)


@settings(max_examples=50, deadline=None)
@given(quaternions, st.tuples(*[st.floats(-5, 5)] * 3), st.tuples(*[st.floats(-5, 5)] * 3))
def test_transform_inverse_apply(q: np.ndarray, t: tuple[float, ...], p: tuple[float, ...]) -> None:
    R = Rotation.from_quat(q).as_matrix()
    T = frames.transform(R, np.array(t))
    np.testing.assert_allclose(T @ [*p, 1], [*(R @ p + t), 1], atol=1e-9)
    np.testing.assert_allclose(frames.apply(T, np.array([p, p])), [R @ p + t] * 2, atol=1e-9)
    np.testing.assert_allclose(frames.inverse(T) @ T, np.eye(4), atol=1e-9)
    assert frames.apply(T, np.array(p, np.float32)).dtype == np.float32


def test_apply_by_hand() -> None:
    """The gripper, half a metre ahead of the base and turned left by 90 degrees, sees its own ahead as base's
    left.
    """
    T_base_gripper = frames.transform(
        Rotation.from_euler("z", 90, degrees=True).as_matrix(), np.array([0.5, 0, 0.2])
    )
    np.testing.assert_allclose(
        frames.apply(T_base_gripper, np.array([0.1, 0, 0])), [0.5, 0.1, 0.2], atol=1e-12
    )


@settings(max_examples=200, deadline=None)
@given(quaternions)
def test_quaternions_against_scipy(q: np.ndarray) -> None:
    R = frames.matrix_from_quaternion(q)
    np.testing.assert_allclose(R, Rotation.from_quat(q).as_matrix(), atol=1e-12)
    back = frames.quaternion_from_matrix(R)
    assert back[3] >= 0
    np.testing.assert_allclose(frames.matrix_from_quaternion(back), R, atol=1e-9)


def test_quaternions_by_hand() -> None:
    """x y z w: a quarter turn to the left about z; half turns, where w vanishes."""
    left = np.array([0, 0, np.sqrt(0.5), np.sqrt(0.5)])
    np.testing.assert_allclose(frames.matrix_from_quaternion(left) @ AHEAD, LEFT, atol=1e-12)
    np.testing.assert_allclose(frames.quaternion_from_matrix(np.eye(3)), [0, 0, 0, 1])
    for axis in range(3):
        half = np.diag(np.where(np.arange(3) == axis, 1.0, -1.0))
        np.testing.assert_allclose(np.abs(frames.quaternion_from_matrix(half)), np.eye(4)[axis], atol=1e-12)


@pytest.mark.parametrize("q", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]])
def test_quaternion_without_direction(q: list[float]) -> None:
    with pytest.raises(ValueError, match="has no direction"):
        frames.matrix_from_quaternion(np.array(q))


def test_quaternion_orders() -> None:
    np.testing.assert_array_equal(frames.wxyz_from_xyzw(np.array([1, 2, 3, 4])), [4, 1, 2, 3])
    np.testing.assert_array_equal(frames.xyzw_from_wxyz(np.array([[4, 1, 2, 3]])), [[1, 2, 3, 4]])


def test_sixd_by_hand_takes_columns() -> None:
    left = Rotation.from_euler("z", 90, degrees=True).as_matrix()  # first column: where x goes
    np.testing.assert_allclose(frames.sixd_from_matrix(left), [0, 1, 0, -1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(frames.matrix_from_sixd(np.array([0, 2.0, 0, -1, 5, 0])), left, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(quaternions, min_size=1, max_size=4))
def test_sixd_round_trip_in_batches(qs: list[np.ndarray]) -> None:
    R = Rotation.from_quat(qs).as_matrix()
    np.testing.assert_allclose(frames.matrix_from_sixd(frames.sixd_from_matrix(R)), R, atol=1e-9)


@pytest.mark.parametrize("d", [[0, 0, 0, 1, 0, 0], [1, 0, 0, 2, 0, 0], [1, 0, 0, 0, 0, 0]])
def test_sixd_without_a_plane(d: list[float]) -> None:
    with pytest.raises(ValueError, match="zero or parallel"):
        frames.matrix_from_sixd(np.array(d, float))


def test_view_frame_by_hand() -> None:
    """A camera level with the horizon, the object two metres ahead: its x points away, its y to the left."""
    T = frames.view_frame(np.array([0, -2.0, 0]), np.array([0, 0.5, 2.0]))
    np.testing.assert_allclose(frames.apply(T, np.array([0.1, 0, 0])), [0, 0.5, 2.1], atol=1e-12)
    np.testing.assert_allclose(frames.apply(T, np.array([0, 0.1, 0])), [-0.1, 0.5, 2], atol=1e-12)
    np.testing.assert_allclose(frames.apply(T, np.array([0, 0, 0.1])), [0, 0.4, 2], atol=1e-12)


def test_view_frame_straight_from_above() -> None:
    """The image's top is away."""
    T = frames.view_frame(np.array([0, 0, -1.0]), np.array([0, 0, 0.7]))
    np.testing.assert_allclose(T[:3, 0], [0, -1, 0], atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda u: np.linalg.norm(u) > 0.01),
    st.tuples(*[st.floats(-2, 2)] * 3),
)
def test_view_frame_is_always_a_rotation(up: tuple[float, ...], origin: tuple[float, ...]) -> None:
    T = frames.view_frame(np.array(up), np.array(origin))
    np.testing.assert_allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(T[:3, 2], np.array(up) / np.linalg.norm(up), atol=1e-12)
    np.testing.assert_array_equal(T[:3, 3], origin)


@pytest.mark.parametrize("up", [[0, 0, 0], [np.nan, 0, 1]])
def test_view_frame_without_up(up: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        frames.view_frame(np.array(up), np.array([0, 0, 1.0]))
