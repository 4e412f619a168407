"""Ways in: reliable and best-effort cameras, organised clouds, compressed images, a moving camera with TF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from rig import FAST_REPORTS, TWO_BOXES, Rig
from ros_process import NodeProcess, Probe
from scenes import BoxScene, box_scene
from sensor_msgs.msg import CompressedImage, PointCloud2
from std_msgs.msg import Header

from sam3d_ros.node.convert import cloud_message, time_of
from sam3d_ros.perception import frames
from sam3d_ros.perception.pointmap import points_from_depth

Start = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def scene() -> BoxScene:
    return box_scene(boxes=TWO_BOXES)


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """A probe in a namespace of this test's own."""
    made = Probe("transport_probe", namespace=f"/t{abs(hash(request.node.nodeid)) % 10**9}")
    yield made
    made.close()


def node_in(own: Probe, start: Start, *arguments: str) -> NodeProcess:
    return start("reconstruction_node", "-r", f"__ns:={own.node.get_namespace()}", *FAST_REPORTS, *arguments)


@pytest.mark.parametrize("camera", ["reliable", "best_effort"])
@pytest.mark.parametrize("setting", ["auto", "reliable", "best_effort"])
def test_quality_of_service(own: Probe, start: Start, scene: BoxScene, camera: str, setting: str) -> None:
    process = node_in(own, start, "-p", f"qos.reliability:={setting}")
    rig = Rig(own, process, reliable=camera == "reliable", wait=False)
    if setting == "reliable" and camera == "best_effort":
        rig.complaint("QoS does not match", lambda: rig.show(scene))
        assert not rig.objects
        return
    assert len(rig.reconstruct(scene).objects) == 2
    if setting == "auto" and camera == "reliable":
        own.wait(
            lambda: [
                i.qos_profile.reliability.name
                for i in own.node.get_subscriptions_info_by_topic(rig.camera.rgb.topic_name)
            ] == ["RELIABLE"],
            "a reliable subscription",
        )  # fmt: skip


def test_an_organised_cloud_instead_of_depth(own: Probe, start: Start, scene: BoxScene) -> None:
    rig = Rig(own, node_in(own, start, "-p", "depth.source:=points"), wait=False)
    clouds = own.node.create_publisher(PointCloud2, "points", 5)
    points = points_from_depth(scene.depth_m, scene.camera)
    stamps: list[int] = []

    def answered() -> Any:
        stamps.append(rig.show(scene))
        clouds.publish(
            cloud_message(points, scene.rgb, Header(stamp=time_of(stamps[-1]), frame_id="optical"))
        )
        return next((a for s in stamps if (a := rig.answer(s))), None)

    assert len(own.wait(answered, "objects").objects) == 2
    flat = cloud_message(points.reshape(-1, 3), scene.rgb.reshape(-1, 3), Header(frame_id="optical"))

    def unorganised() -> None:
        flat.header.stamp = time_of(rig.show(scene))
        clouds.publish(flat)

    rig.complaint("organised", unorganised)


def test_compressed_images(own: Probe, start: Start, scene: BoxScene) -> None:
    rig = Rig(own, node_in(own, start, "-p", "image_transport:=compressed"), wait=False)
    colour = own.node.create_publisher(CompressedImage, "rgb/image/compressed", 5)
    depth = own.node.create_publisher(CompressedImage, "depth/image/compressedDepth", 5)
    millimetres = np.rint(np.nan_to_num(scene.depth_m) * 1000).astype(np.uint16)
    jpeg = cv2.imencode(".jpg", scene.rgb[..., ::-1])[1].tobytes()
    png = bytes(12) + cv2.imencode(".png", millimetres)[1].tobytes()
    stamps: list[int] = []

    def answered() -> Any:
        stamps.append(rig.show(scene))
        header = Header(stamp=time_of(stamps[-1]), frame_id="optical")
        colour.publish(CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=jpeg))
        depth.publish(CompressedImage(header=header, format="16UC1; compressedDepth", data=png))
        return next((a for s in stamps if (a := rig.answer(s))), None)

    assert len(own.wait(answered, "objects").objects) == 2


def test_gravity_from_tf_and_poses_in_a_fixed_frame_while_the_camera_moves(
    own: Probe, start: Start, scene: BoxScene
) -> None:
    """The camera is shifted between two images; in the fixed frame the object stays, with the same id."""
    frame = own.node.get_namespace().strip("/") + "_map"
    parameters = {"target_frame": frame, "gravity_frame": frame, "tracking.memory_s": 60.0}
    process = node_in(own, start, *(a for n, v in parameters.items() for a in ("-p", f"{n}:={v}")))
    rig = Rig(own, process)
    far = box_scene(boxes=TWO_BOXES, distance=0.9)
    answers = []
    for look, distance in ((scene, 0.7), (far, 0.9)):
        # T_map_cam of test/support/scenes.py: 40 degrees down, aimed at 4 cm above the origin
        down = np.deg2rad(40.0)
        forward = np.array([np.cos(down), 0.0, -np.sin(down)])
        right = np.array([0.0, -1.0, 0.0])
        R = np.stack([right, np.cross(forward, right), forward], axis=1)
        T_map_cam = frames.transform(R, np.array([0.0, 0.0, 0.04]) - distance * forward)
        stamps: list[int] = []

        def answered(look: BoxScene = look, T: np.ndarray = T_map_cam, stamps: list[int] = stamps) -> Any:
            stamps.append(rig.stamp())
            rig.camera.move(frame, stamps[-1], {"optical": T})
            rig.show(look, stamps[-1])
            return next((a for s in stamps if (a := rig.answer(s))), None)

        answers.append(own.wait(answered, "objects in the map"))
    for answer in answers:
        assert answer.header.frame_id == frame
        for o, (x, y, *size) in zip(answer.objects, TWO_BOXES, strict=True):
            p = o.pose.pose.position
            np.testing.assert_allclose([p.x, p.y, p.z], [x, y, size[2] / 2], atol=0.02)
    assert [o.id for o in answers[0].objects] == [o.id for o in answers[1].objects]
