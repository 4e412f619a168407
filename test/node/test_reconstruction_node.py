"""The node as a process, over DDS: what goes out for what comes in."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray
from rig import FAST_REPORTS, TWO_BOXES, Rig
from ros_process import STATUS, Goal, NodeProcess, Probe
from sam3d_ros.action import Reconstruct
from sam3d_ros.msg import FrameTiming, ObjectMesh, ObjectMeshArray, RejectedMask
from sam3d_ros.srv import GetMesh
from scenes import BoxScene, box_scene
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from sam3d_ros.node import qos
from sam3d_ros.node.camera_topics import camera_info
from sam3d_ros.node.convert import image_message, stamp_ns
from sam3d_ros.node.publish import mesh_arrays


@pytest.fixture(scope="module")
def scene() -> BoxScene:
    return box_scene(boxes=TWO_BOXES)


@pytest.fixture(scope="module")
def rig(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("node")
    meshes = ("-p", f"mesh_dir:={folder}/meshes")
    # Ids are kept for seconds of the images' time, and images are far apart on a busy machine.
    memory = ("-p", "tracking.memory_s:=60.0")
    # Accuracy below is that of a rule, whatever bundle lies on this machine (test_model_in_the_node.py has the model).
    method = ("-p", "method:=extrude")
    with NodeProcess("reconstruction_node", folder, *FAST_REPORTS, *meshes, *memory, *method) as process:
        yield Rig(probe, process)


def centre(o: Any) -> np.ndarray:
    p = o.pose.pose.position
    return np.array([p.x, p.y, p.z])


def test_two_boxes_come_back_where_they_stand(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(scene)
    assert answer.header.frame_id == "optical"
    assert [o.mask for o in answer.objects] == [1, 2]
    for o, truth, size in zip(answer.objects, scene.T_cam_obj, scene.sizes_m, strict=True):
        assert np.linalg.norm(centre(o) - truth[:3, 3]) < 0.02
        np.testing.assert_allclose(sorted([o.size.x, o.size.y, o.size.z]), sorted(size), atol=0.03)
        assert 0.2 < o.confidence <= 1
        assert o.metric
        assert o.up_source == o.UP_SUPPORT_PLANE
        assert o.mask_iou > 0.7
        assert o.id == o.child_frame_id
    assert answer.objects[0].id != answer.objects[1].id


def test_everything_else_goes_out_with_the_same_stamp(rig: Rig, scene: BoxScene) -> None:
    meshes = rig.probe.listen(ObjectMeshArray, "/sam3d/meshes", qos.latched_profile())
    poses = rig.probe.listen(PoseArray, "/sam3d/poses")
    markers = rig.probe.listen(MarkerArray, "/sam3d/markers")
    timings = rig.probe.listen(FrameTiming, "/sam3d/timing")
    transforms = rig.probe.listen(TFMessage, "/tf", 100)
    rig.meet()
    answer = rig.reconstruct(scene)
    stamp = stamp_ns(answer.header.stamp)
    heard = [
        rig.probe.wait(lambda list_=list_: [m for m in list_ if stamp_ns(m.header.stamp) == stamp], name)[0]
        for list_, name in ((meshes, "meshes"), (poses, "poses"), (timings, "timing"))
    ]
    assert [m.id for m in heard[0].meshes] == [o.id for o in answer.objects]
    for message, o in zip(heard[0].meshes, answer.objects, strict=True):
        mesh = mesh_arrays(message)
        assert message.watertight
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [o.size.x, o.size.y, o.size.z], atol=1e-4)
        np.testing.assert_allclose(mesh.vertices.max(0) + mesh.vertices.min(0), 0, atol=1e-4)
        assert mesh.colors is not None
    assert len(heard[1].poses) == 2
    assert heard[2].objects == 2
    assert {"convert", "shape", "publish"} <= {s.name for s in heard[2].stages}
    assert 0 < heard[2].total_ms < 5000
    rig.probe.wait(lambda: any(any(k.type == k.TRIANGLE_LIST for k in m.markers) for m in markers), "markers")
    frames = rig.wait_for_frames(transforms, answer)
    assert all(t.header.frame_id == "optical" for t in frames)


def test_ids_stay_with_the_objects(rig: Rig, scene: BoxScene) -> None:
    first, second = rig.reconstruct(scene), rig.reconstruct(scene)
    assert [o.id for o in first.objects] == [o.id for o in second.objects]


def test_a_latched_mesh_waits_for_the_late(rig: Rig, scene: BoxScene) -> None:
    rig.reconstruct(scene)
    late = Probe("late")
    try:
        meshes = late.listen(ObjectMeshArray, "/sam3d/meshes", qos.latched_profile())
        late.wait(lambda: meshes, "latched meshes")
        assert len(meshes[0].meshes) == 2
    finally:
        late.close()


def test_mesh_files_are_written_and_named(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(scene)
    for o in answer.objects:
        assert o.mesh_uri.startswith("file:///")
        assert Path(o.mesh_uri[7:]).read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize(
    ("format_", "magic"), [(ObjectMesh.FORMAT_GLB, b"glTF"), (ObjectMesh.FORMAT_PLY, b"ply")]
)
def test_get_mesh_gives_files_and_decimated_arrays(
    rig: Rig, scene: BoxScene, format_: int, magic: bytes
) -> None:
    wanted = rig.reconstruct(scene).objects[0].id
    answer = rig.probe.call(GetMesh, "/sam3d/get_mesh", GetMesh.Request(id=wanted, format=format_))
    assert answer.success
    assert bytes(answer.mesh.data[: len(magic)]) == magic
    small = rig.probe.call(GetMesh, "/sam3d/get_mesh", GetMesh.Request(id=wanted, max_triangles=100))
    assert small.success
    assert 0 < len(small.mesh.triangles) // 3 <= 110
    unknown = rig.probe.call(GetMesh, "/sam3d/get_mesh", GetMesh.Request(id="../../etc/passwd"))
    assert not unknown.success
    assert wanted in unknown.message


def test_enable_stops_the_stream_and_clear_forgets(rig: Rig, scene: BoxScene) -> None:
    before = rig.reconstruct(scene)
    assert rig.probe.call(SetBool, "/sam3d/enable", SetBool.Request(data=False)).success
    stamp = rig.show(scene)
    time.sleep(1.0)
    assert rig.answer(stamp) is None
    assert rig.probe.call(Trigger, "/sam3d/clear", Trigger.Request()).success
    gone = rig.probe.call(GetMesh, "/sam3d/get_mesh", GetMesh.Request(id=before.objects[0].id))
    assert not gone.success
    assert rig.probe.call(SetBool, "/sam3d/enable", SetBool.Request(data=True)).success
    assert len(rig.reconstruct(scene).objects) == 2


# ---- goals ---------------------------------------------------------------------------------------------------------


def test_a_goal_on_the_latest_frame(rig: Rig, scene: BoxScene) -> None:
    rig.reconstruct(scene)
    goal = Goal(
        rig.probe, Reconstruct, "/sam3d/reconstruct", Reconstruct.Goal(return_meshes=True, label="box")
    )
    status, result = goal.result()
    assert status == STATUS.STATUS_SUCCEEDED
    assert result.error_code == Reconstruct.Result.NONE
    assert [o.label for o in result.objects.objects] == ["box", "box"]
    assert len(result.meshes) == 2
    goal.wait_for_stage("shape")
    assert goal.feedback[0].stage == "queued"
    assert all(0 <= f.progress <= 1 for f in goal.feedback)


def given_goal(scene: BoxScene, **change: Any) -> Any:
    goal = Reconstruct.Goal()
    goal.rgb = image_message(scene.rgb, "rgb8", goal.rgb.header)
    goal.rgb.header.frame_id = "elsewhere"
    goal.depth = image_message(scene.depth_m, "32FC1", goal.depth.header)
    goal.mask = image_message(scene.labels, "16UC1", goal.mask.header)
    goal.camera_info = camera_info(scene.camera, goal.rgb.header)
    for name, value in change.items():
        setattr(goal, name, value)
    return goal


def test_a_goal_with_images_and_one_label(rig: Rig, scene: BoxScene) -> None:
    status, result = Goal(
        rig.probe, Reconstruct, "/sam3d/reconstruct", given_goal(scene, labels=[2])
    ).result()
    assert status == STATUS.STATUS_SUCCEEDED
    assert [o.mask for o in result.objects.objects] == [2]
    assert result.objects.header.frame_id == "elsewhere"
    assert not result.meshes


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"labels": [77]}, "NO_OBJECT", "77"),
        ({"mask": Image()}, "INVALID_INPUT", "together"),
        ({"camera_info": CameraInfo()}, "INVALID_INPUT", "camera"),
        (
            {"depth": image_message(np.zeros((4, 4), np.float32), "32FC1", Image().header)},
            "INVALID_INPUT",
            "regist",
        ),
        (
            {"mask": image_message(np.zeros((4, 4), np.uint8), "mono8", Image().header)},
            "INVALID_INPUT",
            "mask",
        ),
    ],
)
def test_a_goal_that_cannot_be_done_says_why(
    rig: Rig, scene: BoxScene, change: dict[str, Any], code: str, words: str
) -> None:
    status, result = Goal(rig.probe, Reconstruct, "/sam3d/reconstruct", given_goal(scene, **change)).result()
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == getattr(Reconstruct.Result, code)
    assert words in result.error_msg


@functools.cache
def crowd() -> BoxScene:
    """Many objects, so that a goal takes a while. So does making them."""
    boxes = tuple((0.06 * i, 0.06 * j, 0.035, 0.035, 0.04) for i in range(-4, 5) for j in range(-4, 5))
    return box_scene(640, 480, boxes, down_deg=55, distance=0.9)


def test_a_goal_can_be_cancelled_while_it_works(rig: Rig) -> None:
    goal = Goal(rig.probe, Reconstruct, "/sam3d/reconstruct", given_goal(crowd()))
    goal.wait_for_stage("shape")
    begin = time.monotonic()
    assert goal.cancel()
    status, result = goal.result()
    assert status == STATUS.STATUS_CANCELED
    assert result.error_code == Reconstruct.Result.CANCELED
    assert time.monotonic() - begin < 2


def test_a_goal_runs_out_of_time(rig: Rig) -> None:
    goal = given_goal(crowd())
    goal.timeout.nanosec = 100_000_000
    status, result = Goal(rig.probe, Reconstruct, "/sam3d/reconstruct", goal).result()
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == Reconstruct.Result.TIMEOUT


def test_rejected_masks_travel_with_their_reasons(rig: Rig, scene: BoxScene) -> None:
    labels = scene.labels.copy()
    labels[5:8, 5:8] = 9
    depth = scene.depth_m.copy()
    depth[labels == 2] = np.nan
    bad = BoxScene(scene.rgb, depth, labels, scene.camera, scene.T_cam_obj, scene.sizes_m, scene.up_cam)
    answer = rig.reconstruct(bad)
    assert [o.mask for o in answer.objects] == [1]
    codes = {r.mask: (r.code, r.reason) for r in answer.rejected}
    assert codes[9][0] == RejectedMask.TINY_MASK
    assert "9" in codes[9][1]
    assert codes[2][0] == RejectedMask.NO_DEPTH
