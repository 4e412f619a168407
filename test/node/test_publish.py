"""Messages of reconstructions: against plain references, and the outputs whose packages are not installed."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from sam3d_ros.msg import ObjectMesh, ReconstructedObject
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from sam3d_ros.node import publish
from sam3d_ros.node.outputs import Outputs
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.perception import frames
from sam3d_ros.types import Fit, Mask, Mesh, Reconstruction, Roi, UpSource


def box_mesh(colors: bool = True) -> Mesh:
    box = trimesh.creation.box((0.1, 0.2, 0.3))
    return Mesh(
        box.vertices.astype(np.float32),
        box.faces.astype(np.int32),
        np.arange(24, dtype=np.uint8).reshape(8, 3) if colors else None,
    )


def reconstruction(T_cam_obj: np.ndarray) -> Reconstruction:
    return Reconstruction(
        mask=Mask(4, np.ones((2, 2), np.bool_), "mug"), mesh=box_mesh(), T_cam_obj=T_cam_obj,
        size_m=np.array([0.1, 0.2, 0.3]), confidence=0.7, fit=Fit(0.002, 0.9, 0.8), method="hull", metric=True,
        up_source=UpSource.GRAVITY, roi=Roi(5, 6, 7, 8), watertight=True,
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_pose_in_another_frame_moves_points_as_two_transforms_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T_cam_obj, T_map_cam = (
        frames.transform(
            Rotation.random(random_state=int(rng.integers(2**31))).as_matrix(), rng.normal(size=3)
        )
        for _ in range(2)
    )
    o = publish.object_message(reconstruction(T_cam_obj), Header(frame_id="map"), T_map_cam, "object_1", "")
    q, p = o.pose.pose.orientation, o.pose.pose.position
    point = np.array([0.05, -0.1, 0.15])
    by_message = Rotation.from_quat([q.x, q.y, q.z, q.w]).apply(point) + np.array([p.x, p.y, p.z])
    by_hand = frames.apply(T_map_cam, frames.apply(T_cam_obj, point))
    np.testing.assert_allclose(by_message, by_hand, atol=1e-9)


def test_every_field_of_an_object_is_filled() -> None:
    o = publish.object_message(
        reconstruction(np.eye(4)), Header(frame_id="cam"), np.eye(4), "object_1", "file:///x.glb"
    )
    assert (o.id, o.child_frame_id, o.label, o.mask, o.method) == ("object_1", "object_1", "mug", 4, "hull")
    assert (o.size.x, o.size.y, o.size.z) == (0.1, 0.2, 0.3)
    assert (o.up_source, o.scale_source, o.metric) == (o.UP_GRAVITY, o.SCALE_DEPTH, True)
    assert (o.roi.x_offset, o.roi.y_offset, o.roi.width, o.roi.height) == (5, 6, 7, 8)
    np.testing.assert_allclose(
        [o.confidence, o.depth_rmse, o.inlier_ratio, o.mask_iou], [0.7, 0.002, 0.9, 0.8], rtol=1e-6
    )
    assert o.mesh_uri == "file:///x.glb"


@pytest.mark.parametrize("colors", [True, False])
def test_a_mesh_there_and_back(colors: bool) -> None:
    mesh = box_mesh(colors)
    back = publish.mesh_arrays(publish.mesh_message(mesh, Header(), "a", True, ""))
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    if colors:
        np.testing.assert_array_equal(back.colors, mesh.colors)
    else:
        assert back.colors is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": ObjectMesh.FORMAT_GLB}, "file"),
        ({"triangles": [0, 1, 99]}, "not there"),
        ({"colors": [1, 2, 3, 4]}, "colours"),
        ({"vertices": [1.0, 2.0]}, "reshape"),
    ],
)
def test_a_broken_mesh_message_is_refused(change: dict[str, Any], words: str) -> None:
    msg = publish.mesh_message(box_mesh(), Header(), "a", True, "")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(ValueError, match=words):
        publish.mesh_arrays(msg)


def some_object() -> ReconstructedObject:
    T = frames.transform(Rotation.from_euler("xyz", [0.3, 0.2, 0.1]).as_matrix(), np.array([0.1, 0.2, 0.7]))
    return publish.object_message(
        reconstruction(T), Header(frame_id="cam"), np.eye(4), "object_1", "file:///a.glb"
    )


def test_markers_hold_the_posed_coloured_triangles() -> None:
    o, mesh = some_object(), box_mesh()
    markers = publish.marker_array([o], {"object_1": mesh}, "both", 100, "objects").markers
    assert markers[0].action == markers[0].DELETEALL
    triangles = next(m for m in markers if m.type == m.TRIANGLE_LIST)
    points = np.array([(p.x, p.y, p.z) for p in triangles.points])
    np.testing.assert_allclose(points, mesh.vertices[mesh.faces].reshape(-1, 3))
    assert mesh.colors is not None
    colors = np.array([(c.r, c.g, c.b) for c in triangles.colors])
    np.testing.assert_allclose(colors * 255, mesh.colors[mesh.faces].reshape(-1, 3), atol=1e-4)
    assert triangles.pose == o.pose.pose
    file = next(m for m in markers if m.type == m.MESH_RESOURCE)
    assert file.mesh_resource == "file:///a.glb"
    assert file.mesh_use_embedded_materials
    assert len({(m.ns, m.id) for m in markers}) == len(markers)


def test_markers_of_large_meshes_are_decimated_and_keep_their_colour() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.1)
    red = np.zeros((len(ball.vertices), 3), np.uint8)
    red[:, 0] = 250
    mesh = Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32), red)
    markers = publish.marker_array(
        [some_object()], {"object_1": mesh}, "triangle_list", 300, "objects"
    ).markers
    triangles = next(m for m in markers if m.type == m.TRIANGLE_LIST)
    assert 100 < len(triangles.points) // 3 <= 310
    assert len(triangles.colors) == len(triangles.points)
    assert all(abs(c.r * 255 - 250) < 1 and c.g == 0 for c in triangles.colors)


class Anything:
    """Stands for a message class of a package that is not installed here: takes any field."""

    ADD = b"\x00"

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = [] if name == "detections" else Anything()
        setattr(self, name, made)
        return made


def module(monkeypatch: pytest.MonkeyPatch, package: str, *names: str) -> None:
    """`package.msg` with these classes, for as long as the test lasts."""
    fake = types.ModuleType(f"{package}.msg")
    for name in names:
        setattr(fake, name, Anything)
    monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    monkeypatch.setitem(sys.modules, f"{package}.msg", fake)


def test_detections_carry_box_pose_and_score(monkeypatch: pytest.MonkeyPatch) -> None:
    if "vision_msgs" not in sys.modules:
        module(monkeypatch, "vision_msgs", "Detection3D", "Detection3DArray", "ObjectHypothesisWithPose")
    o = some_object()
    detection = publish.detections(Header(frame_id="cam"), [o]).detections[0]
    assert detection.id == "object_1"
    assert detection.bbox.center == o.pose.pose
    assert detection.bbox.size == o.size
    assert detection.results[0].hypothesis.class_id == "mug"
    assert detection.results[0].hypothesis.score == pytest.approx(0.7)


def test_collision_objects_carry_a_decimated_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "moveit_msgs", "CollisionObject")
    o = some_object()
    collision = publish.collision_object(o, box_mesh(), 100)
    assert (collision.id, collision.pose, collision.operation) == ("object_1", o.pose.pose, Anything.ADD)
    assert len(collision.meshes[0].triangles) == 12
    assert len(collision.meshes[0].vertices) == 8
    assert len(collision.mesh_poses) == 1


def test_timing_sums_its_stages() -> None:
    message = publish.timing_message(Header(), {"convert": 0.001, "shape": 0.02}, 30.0, 2, 1, "hull")
    assert [(s.name, round(s.milliseconds, 3)) for s in message.stages] == [("convert", 1.0), ("shape", 20.0)]
    assert message.total_ms == pytest.approx(21.0)
    assert (message.objects, message.rejected, message.age_ms) == (2, 1, 30.0)


def test_the_mesh_of_an_object_is_there_before_anybody_hears_of_the_object() -> None:
    """Who calls ~/get_mesh on hearing an id must not be told that it is unknown."""
    known: list[bool] = []

    class Publisher:
        def publish(self, message: Any) -> None:
            known.extend(outputs.mesh(o.id) is not None for o in getattr(message, "objects", []))

    now = types.SimpleNamespace(now=lambda: types.SimpleNamespace(nanoseconds=0))
    node = types.SimpleNamespace(create_publisher=lambda *_: Publisher(), get_clock=lambda: now)
    outputs = Outputs(node, NodeParameters(publish_tf=False), tf=None)  # type: ignore[arg-type]
    frame = types.SimpleNamespace(stamp_ns=0)
    outputs.poses(
        frame, [reconstruction(np.eye(4))], ["object_1"], "cam", np.eye(4), NodeParameters(publish_tf=False)
    )  # type: ignore[arg-type]
    assert known == [True]
