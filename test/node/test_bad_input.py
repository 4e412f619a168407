"""Everything a robot's cameras get wrong: the node says what, on the outside, and goes on with the next good frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rig import FAST_REPORTS, TWO_BOXES, Rig
from ros_process import NodeProcess, Probe
from sam3d_ros.msg import RejectedMask
from scenes import BoxScene, box_scene
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from sam3d_ros.node.camera_topics import camera_info
from sam3d_ros.node.convert import LAYOUT, image_message, stamp_ns, time_of


@pytest.fixture(scope="module")
def scene() -> BoxScene:
    return box_scene(boxes=TWO_BOXES)


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    made = Probe("bad_input_probe", namespace="/bad")
    yield made
    made.close()


@pytest.fixture(scope="module")
def rig(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("node")
    with NodeProcess("reconstruction_node", folder, *FAST_REPORTS, "-r", "__ns:=/bad") as process:
        yield Rig(probe, process)


def send(rig: Rig, scene: BoxScene, **messages: Any) -> int:
    """One frame with some messages replaced; None leaves one out."""
    stamp = rig.stamp()
    header = Header(stamp=time_of(stamp), frame_id="optical")
    ordinary = {
        "info": camera_info(scene.camera, header),
        "rgb": image_message(scene.rgb, "rgb8", header),
        "depth": image_message(scene.depth_m, "32FC1", header),
        "mask": image_message(scene.labels, "16UC1", header),
    }
    for name, message in (ordinary | messages).items():
        if message is not None:
            message.header = (
                header
                if not message.header.frame_id
                else Header(stamp=header.stamp, frame_id=message.header.frame_id)
            )
            getattr(rig.camera, name).publish(message)
    return stamp


def picture(encoding: str, height: int = 240, width: int = 320) -> Any:
    dtype, channels = LAYOUT[encoding]
    shape = (height, width, channels) if channels > 1 else (height, width)
    return image_message(np.ones(shape, dtype), encoding, Header())


def broken(message: Any, **changes: Any) -> Any:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def far_frame(message: Any) -> Any:
    message.header.frame_id = "depth_optical"
    return message


K = [300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]
BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "colour encoding": (lambda: {"rgb": broken(picture("rgb8"), encoding="rgb48")}, "'rgb48'"),
    "colour cut short": (lambda: {"rgb": broken(picture("rgb8"), height=300)}, "bytes"),
    "depth encoding": (lambda: {"depth": picture("rgb8")}, "16UC1 (millimetres) or 32FC1"),
    "depth of another size": (lambda: {"depth": picture("32FC1", 120, 160)}, "regist"),
    "depth of another frame": (lambda: {"depth": far_frame(picture("32FC1"))}, "regist"),
    "float depth in millimetres": (
        lambda: {"depth": image_message(np.full((240, 320), 700, np.float32), "32FC1", Header())},
        "millimet",
    ),
    "mask encoding": (lambda: {"mask": picture("32FC1")}, "label image"),
    "mask of another size": (lambda: {"mask": picture("mono8", 120, 160)}, "mask is 160x120"),
    "uncalibrated camera": (lambda: {"info": CameraInfo(width=320, height=240)}, "calibrat"),
    "unknown lens": (
        lambda: {"info": CameraInfo(width=320, height=240, distortion_model="fish", k=K, d=[0.1] * 5)}, "fish",
    ),
    "camera_info of another size": (
        lambda: {"info": CameraInfo(width=1280, height=720, k=K)}, "1280",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_message_is_named_and_the_next_good_frame_works(rig: Rig, scene: BoxScene, case: str) -> None:
    make, words = BAD[case]
    rig.reconstruct(scene)
    rig.complaint(words, lambda: send(rig, scene, **make()))
    assert words in rig.process.log()
    answer = rig.reconstruct(scene)
    assert len(answer.objects) == 2


def poisoned(scene: BoxScene) -> BoxScene:
    depth = scene.depth_m.copy()
    rng = np.random.default_rng(0)
    for value in (np.nan, np.inf, -np.inf, -1.0, 0.0):
        depth[rng.random(depth.shape) < 0.05] = value
    return replace(scene, depth_m=depth)


def test_nan_inf_zero_and_negative_depth_are_just_missing(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(poisoned(scene), encoding="32FC1")
    assert len(answer.objects) == 2
    for o, size in zip(answer.objects, scene.sizes_m, strict=True):
        np.testing.assert_allclose(sorted([o.size.x, o.size.y, o.size.z]), sorted(size), atol=0.04)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_depth_image_of_nothing_rejects_every_mask(rig: Rig, scene: BoxScene, value: float) -> None:
    answer = rig.reconstruct(replace(scene, depth_m=np.full_like(scene.depth_m, value)), encoding="32FC1")
    assert not answer.objects
    assert [r.code for r in answer.rejected] == [RejectedMask.NO_DEPTH] * 2


def test_a_mask_without_labels_gives_an_empty_answer(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(replace(scene, labels=np.zeros_like(scene.labels)))
    assert not answer.objects
    assert not answer.rejected


def test_a_binary_mask_is_one_object_with_index_one(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(replace(scene, labels=np.where(scene.labels == 2, 255, 0).astype(np.uint8)))
    assert [o.mask for o in answer.objects] == [1]


def test_far_and_huge_masks_are_rejected_with_numbers(rig: Rig, scene: BoxScene) -> None:
    answer = rig.reconstruct(replace(scene, depth_m=scene.depth_m + np.float32(20)), encoding="32FC1")
    assert {r.code for r in answer.rejected} <= {RejectedMask.OUT_OF_RANGE, RejectedMask.NO_DEPTH}
    assert len(answer.rejected) == 2


def test_a_clock_that_jumps_back_does_not_stop_the_stream(rig: Rig, scene: BoxScene) -> None:
    rig.reconstruct(scene)
    past = rig.stamp() - 3_600_000_000_000
    answered = rig.probe.wait(
        lambda: any(rig.answer(s) for s in [rig.show(scene, past + i) for i in range(3)]),
        "an answer in the past",
    )
    assert answered
    assert len(rig.reconstruct(scene).objects) == 2


@pytest.mark.parametrize(
    ("left_out", "words"),
    [("rgb", "/bad/rgb/image"), ("depth", "/bad/depth/image"), ("mask", "/bad/mask/image")],
)
def test_an_input_that_falls_silent_is_named(rig: Rig, scene: BoxScene, left_out: str, words: str) -> None:
    rig.reconstruct(scene)
    text = rig.complaint(words, lambda: send(rig, scene, **{left_out: None}))
    assert "late" in text


def test_missing_camera_info_is_named(
    probe: Probe, scene: BoxScene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Probe("no_info", namespace="/no_info")
    process = NodeProcess(
        "reconstruction_node", tmp_path_factory.mktemp("node"), *FAST_REPORTS, "-r", "__ns:=/no_info"
    )
    try:
        rig = Rig(other, process)
        rig.complaint(
            "/no_info/rgb/camera_info (publisher, but no message)", lambda: send(rig, scene, info=None)
        )
        assert len(rig.reconstruct(scene).objects) == 2
    finally:
        process.stop()
        other.close()


def test_stamps_that_never_match_are_named_with_the_gap(
    probe: Probe, scene: BoxScene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Probe("unsynced", namespace="/unsynced")
    process = NodeProcess(
        "reconstruction_node", tmp_path_factory.mktemp("node"), *FAST_REPORTS, "-r", "__ns:=/unsynced"
    )
    try:
        rig = Rig(other, process)

        def apart() -> None:
            stamp = rig.stamp()
            for name, message, late in (
                ("info", camera_info(scene.camera, Header()), 0),
                ("rgb", image_message(scene.rgb, "rgb8", Header()), 0),
                ("mask", image_message(scene.labels, "16UC1", Header()), 0),
                ("depth", image_message(scene.depth_m, "32FC1", Header()), 700_000_000),
            ):
                message.header = Header(stamp=time_of(stamp - late), frame_id="optical")
                getattr(rig.camera, name).publish(message)

        text = rig.complaint("stamps do not match: /unsynced/depth/image is", apart)
        gap = float(text.split("depth/image is ")[1].split(" ms")[0])
        assert 650 < gap < 1500
    finally:
        process.stop()
        other.close()


def test_without_tf_the_target_frame_is_named_and_no_pose_is_sent_in_a_wrong_frame(
    probe: Probe, scene: BoxScene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Probe("no_tf", namespace="/no_tf")
    process = NodeProcess(
        "reconstruction_node", tmp_path_factory.mktemp("node"), *FAST_REPORTS, "-r", "__ns:=/no_tf",
        "-p", "target_frame:=no_such_map", "-p", "tf_timeout:=0.05",
    )  # fmt: skip
    try:
        rig = Rig(other, process)
        rig.complaint("no_such_map", lambda: rig.show(scene))
        assert not rig.objects
        # TF comes: from then on poses are in the wanted frame.
        T = np.eye(4)
        T[:3, 3] = [1.0, 2.0, 3.0]
        rig.camera.fix("no_such_map", {"optical": T})
        answer = rig.reconstruct(scene)
        assert answer.header.frame_id == "no_such_map"
        p = answer.objects[0].pose.pose.position
        np.testing.assert_allclose([p.x, p.y, p.z], scene.T_cam_obj[0][:3, 3] + [1, 2, 3], atol=0.02)
        assert stamp_ns(answer.header.stamp) > 0
    finally:
        process.stop()
        other.close()


ENCODINGS = [
    *[
        ("rgb", e)
        for e in LAYOUT
        if e in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422_yuy2", "bayer_rggb8", "8UC3")
    ],
    *[("depth", e) for e in ("16UC1", "mono16", "32FC1")],
    *[("mask", e) for e in ("mono8", "8UC1", "mono16", "16UC1", "32SC1")],
]


@pytest.mark.parametrize(("name", "encoding"), ENCODINGS)
def test_every_encoding_gives_the_same_objects(rig: Rig, scene: BoxScene, name: str, encoding: str) -> None:
    if name == "rgb":
        message = picture(encoding)
    elif name == "depth":
        pixels = (
            scene.depth_m
            if encoding == "32FC1"
            else np.rint(np.nan_to_num(scene.depth_m) * 1000).astype(np.uint16)
        )
        message = image_message(pixels, encoding, Header())
    else:
        message = image_message(scene.labels.astype(LAYOUT[encoding][0]), encoding, Header())
    stamps: list[int] = []

    def answered() -> Any:
        stamps.append(send(rig, scene, **{name: message}))
        return next((a for s in stamps if (a := rig.answer(s))), None)

    answer = rig.probe.wait(answered, "objects")
    assert [o.mask for o in answer.objects] == [1, 2]
    for o, size in zip(answer.objects, scene.sizes_m, strict=True):
        np.testing.assert_allclose(sorted([o.size.x, o.size.y, o.size.z]), sorted(size), atol=0.03)
