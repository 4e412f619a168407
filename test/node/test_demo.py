"""The demo end to end, the replay of a BOP folder and of a bag, and the synthetic camera's truth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rig import FAST_REPORTS, Rig
from ros_process import NodeProcess, Probe
from sam3d_ros.msg import ObjectMeshArray, ReconstructedObjectArray
from scenes import box_scene
from sensor_msgs.msg import CameraInfo, Image

from sam3d_ros.data.bop import BopImage
from sam3d_ros.data.bop_write import write_image
from sam3d_ros.node import qos
from sam3d_ros.node.assemble import split_masks
from sam3d_ros.node.camera_topics import camera_info
from sam3d_ros.node.convert import camera_model, depth_array, image_message, label_array, stamp_ns, time_of
from sam3d_ros.node.demo import pose_matrix
from sam3d_ros.node.publish import mesh_arrays
from sam3d_ros.perception import frames
from sam3d_ros.perception.camera import project

Start = Callable[..., NodeProcess]
SMALL = ("-p", "views:=3", "-p", "width:=320", "-p", "height:=240", "-p", "focal:=300.0", "-p", "objects:=2",
         "-p", "rate:=10.0")  # fmt: skip


def test_the_demo_ends_well_and_leaves_everything_it_promises(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from sam3d_ros.node.demo import run;"
        "sys.exit(run(Path(sys.argv[1]), images=2, objects=3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=tmp_path, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vIoU" in done.stdout
    scores = json.loads((out / "result.json").read_text())["scores"]
    assert {s["image"] for s in scores} == {0, 1}
    assert len(scores) >= 4
    # A classical completion of simple objects on a table: far from perfect, but no nonsense.
    assert np.median([s["metrics"]["centre_error_m"] for s in scores]) < 0.03
    assert np.median([s["metrics"]["f1"] for s in scores]) > 0.4
    assert (out / "scene.glb").read_bytes()[:4] == b"glTF"
    assert len(list((out / "meshes").glob("*.glb"))) == len([s for s in scores if s["image"] == 1])
    page = (out / "page.html").read_text()
    assert "http://" not in page.split("<script")[0]
    assert "view 2" in page


def test_the_truth_of_the_synthetic_camera_lies_on_its_own_image(start: Start) -> None:
    """Posed true meshes project into their masks and lie on the depth: pose, optical frame and stamp agree."""
    own = Probe("truth_probe", namespace="/truth")
    try:
        truths = own.listen(ReconstructedObjectArray, "/truth/synthetic_camera/ground_truth/objects")
        meshes = own.listen(
            ObjectMeshArray, "/truth/synthetic_camera/ground_truth/meshes", qos.latched_profile()
        )
        masks, depths = own.listen(Image, "/truth/mask/image"), own.listen(Image, "/truth/depth/image")
        infos = own.listen(CameraInfo, "/truth/rgb/camera_info")
        start("synthetic_camera", "-r", "__ns:=/truth", "-p", "noise:=false", *SMALL)

        def complete() -> Any:
            for truth in truths:
                stamp = stamp_ns(truth.header.stamp)
                found = [
                    next((m for m in list_ if stamp_ns(m.header.stamp) == stamp), None)
                    for list_ in (masks, depths)
                ]
                if all(found) and meshes and infos and truth.objects:
                    return truth, *found
            return None

        truth, mask, depth = own.wait(complete, "a complete frame")
        labels, metres = label_array(mask), depth_array(depth)
        shapes = {m.id: mesh_arrays(m) for m in meshes[0].meshes}
        camera = camera_model(infos[0], 320, 240, rectified=False)
        for o in truth.objects:
            vertices_cam = frames.apply(pose_matrix(o), shapes[o.id].vertices.astype(np.float64))
            pixels = np.rint(project(vertices_cam, camera)).astype(int)
            inside = (pixels >= 0).all(1) & (pixels < [320, 240]).all(1)
            u, v = pixels[inside].T
            hit = labels[v, u] == o.mask
            nearest = metres[v, u] - vertices_cam[inside, 2]
            visible = np.abs(nearest) < 0.004
            assert visible.sum() > 20
            assert hit[visible].mean() > 0.9
            # No true vertex is clearly before the measured surface of its own mask.
            assert (nearest[hit] > 0.006).mean() < 0.02
    finally:
        own.close()


def bop_folder(folder: Path) -> None:
    scene = box_scene()
    for number in (1, 2):
        write_image(
            folder, "000001",
            BopImage(number, scene.rgb, scene.depth_m, scene.camera, tuple(split_masks(scene.labels))),
            depth_scale=0.1,
        )  # fmt: skip


def test_a_bop_folder_replayed_to_the_node(start: Start, tmp_path: Path) -> None:
    bop_folder(tmp_path / "bop")
    own = Probe("bop_probe", namespace="/bop")
    try:
        node = start("reconstruction_node", "-r", "__ns:=/bop", *FAST_REPORTS)
        rig = Rig(own, node, wait=False)
        player = start(
            "replay", "-r", "__ns:=/bop", "-p", f"bop:={tmp_path}/bop", "-p", "rate:=4.0", "-p", "loop:=true"
        )
        answer = own.wait(lambda: next((m for m in rig.objects if m.objects), None), "objects")
        np.testing.assert_allclose(
            pose_matrix(answer.objects[0])[:3, 3], box_scene().T_cam_obj[0][:3, 3], atol=0.02
        )
        assert player.stop() == 0
    finally:
        own.close()


def test_a_replay_ends_well_while_it_publishes(start: Start, tmp_path: Path) -> None:
    """At such a rate Ctrl-C often meets a message that is being published, or the beginning of a wait."""
    bop_folder(tmp_path / "bop")
    own = Probe("end_probe", namespace="/end")
    try:
        images = own.listen(Image, "/end/rgb/image")
        for _ in range(3):
            player = start(
                "replay", "-r", "__ns:=/end", "-p", f"bop:={tmp_path}/bop", "-p", "rate:=200.0", "-p", "loop:=true",
                "-p", "wait_for:=rgb/image",
            )  # fmt: skip
            before = len(images)
            own.wait(lambda before=before: len(images) > before + 3, "images")  # type: ignore[misc]
            assert player.stop() == 0, player.log()
    finally:
        own.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of the parameters"),
        (("-p", "bop:=/nowhere"), "nowhere"),
        (("-p", "bop:=/tmp", "-p", "scene:=../etc"), "etc"),
        (("-p", "bag:=/nowhere"), "not a ROS 2 bag"),
        (("-p", "bop:=bop", "-p", "wait_for:=no topic"), "wait_for: "),
    ],
)
def test_nothing_to_replay_is_an_error_not_a_traceback(
    start: Start, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    bop_folder(tmp_path / "bop")
    player = start("replay", *arguments)
    assert player.ends() == 2
    assert words in player.log()
    assert "Traceback" not in player.log()


def test_without_subscribers_a_replay_says_so_and_begins(start: Start, tmp_path: Path) -> None:
    bop_folder(tmp_path / "bop")
    own = Probe("alone_probe", namespace="/alone")
    try:
        own.listen(Image, "/alone/rgb/image")
        player = start(
            "replay", "-r", "__ns:=/alone", "-p", f"bop:={tmp_path}/bop", "-p", "rate:=50.0",
            "-p", "wait_timeout:=5.0", "-p", "start_delay:=0.0",
        )  # fmt: skip
        assert player.ends() == 0
        absent = "/alone/depth/image, /alone/mask/image, /alone/rgb/camera_info"
        assert f"replaying without subscribers of {absent}" in player.log()
        assert "2 frames published" in player.log()
    finally:
        own.close()


def bag_folder(folder: Path) -> None:
    """Twelve images of 2023, with their topics in the namespace /bag."""
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore
    from std_msgs.msg import Header

    scene, store = box_scene(), get_typestore(Stores.ROS2_JAZZY)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            name: writer.add_connection(f"/bag/{name}", kind, typestore=store)
            for name, kind in (
                ("rgb/image", "sensor_msgs/msg/Image"),
                ("depth/image", "sensor_msgs/msg/Image"),
                ("mask/image", "sensor_msgs/msg/Image"),
                ("rgb/camera_info", "sensor_msgs/msg/CameraInfo"),
            )
        }
        for number in range(12):
            stamp = 1_700_000_000_000_000_000 + number * 200_000_000
            header = Header(stamp=time_of(stamp), frame_id="optical")
            for name, message in (
                ("rgb/camera_info", camera_info(scene.camera, header)),
                ("rgb/image", image_message(scene.rgb, "rgb8", header)),
                ("depth/image", image_message(scene.depth_m, "32FC1", header)),
                ("mask/image", image_message(scene.labels, "16UC1", header)),
            ):
                writer.write(connections[name], stamp, serialize_message(message))


def test_a_bag_replayed_to_the_node(start: Start, tmp_path: Path) -> None:
    """It is played once and started first: it waits for the node."""
    bag_folder(tmp_path / "bag")
    topics = [f"/bag/{name}" for name in ("rgb/image", "depth/image", "mask/image", "rgb/camera_info")]
    own = Probe("bag_probe", namespace="/bag")
    try:
        player = start(
            "replay", "-p", f"bag:={tmp_path}/bag", "-p", f"wait_for:={','.join(topics)}",
            "-p", "wait_timeout:=60.0",
        )  # fmt: skip
        own.wait(
            lambda: f"waiting for subscribers of {', '.join(topics)}" in player.log(), "a word of waiting"
        )
        rig = Rig(own, start("reconstruction_node", "-r", "__ns:=/bag", *FAST_REPORTS))
        answer = own.wait(lambda: next((m for m in rig.objects if m.objects), None), "objects")
        assert answer.header.stamp.sec // 10 == 170_000_000
        assert player.ends() == 0
        assert "48 messages published" in player.log()
    finally:
        own.close()


def test_a_bag_begins_with_the_first_who_listens(start: Start, tmp_path: Path) -> None:
    bag_folder(tmp_path / "bag")
    own = Probe("first_probe")
    try:
        player = start("replay", "-p", f"bag:={tmp_path}/bag", "-p", "wait_timeout:=60.0", "-p", "speed:=2.0")
        own.wait(lambda: "waiting for subscribers of any of " in player.log(), "a word of waiting")
        images = own.listen(Image, "/bag/mask/image")
        assert player.ends() == 0
        assert "without subscribers" not in player.log()
        assert stamp_ns(images[0].header.stamp) == 1_700_000_000_000_000_000
    finally:
        own.close()


def test_the_camera_gives_what_its_parameters_say(start: Start) -> None:
    own = Probe("camera_probe", namespace="/cam")
    try:
        depths = own.listen(Image, "/cam/depth/image")
        start(
            "synthetic_camera",
            "-r",
            "__ns:=/cam",
            *SMALL,
            "-p",
            "depth_encoding:=32FC1",
            "-p",
            "frame_id:=eye",
        )
        image = own.wait(lambda: depths, "a depth image")[0]
        assert (image.encoding, image.width, image.height, image.header.frame_id) == (
            "32FC1",
            320,
            240,
            "eye",
        )
        metres = depth_array(image)
        holes = np.isnan(metres).mean()
        assert 0.005 < holes < 0.5
        assert cv2.Laplacian(np.nan_to_num(metres), cv2.CV_32F).std() > 0
        wrong = start("synthetic_camera", "-p", "rate:=-1.0")
        assert wrong.ends() != 0
    finally:
        own.close()
