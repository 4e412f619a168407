"""`sam3d` as people type it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sam3d_ros.cli import dispatch
from sam3d_ros.data.bop import BopImage
from sam3d_ros.data.bop_write import write_image
from sam3d_ros.data.render import render
from sam3d_ros.data.scene import make_tabletop, orbit
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.types import Camera

CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
KEYS = {
    "image", "mask", "id", "mesh", "T_cam_obj", "position_m", "quaternion_xyzw", "size_m", "confidence", "method",
    "seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def bop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bop")
    scene = make_tabletop(0, 2)
    for number, T_world_cam in enumerate(orbit(2)):
        rendered = render(scene, CAMERA, T_world_cam, antialias=False)
        masks = tuple(masks_from_labels(rendered.labels))
        image = BopImage(number, rendered.rgb, rendered.depth_m, CAMERA, masks)
        write_image(folder, "000001", image)
    return folder


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-c", "from sam3d_ros.cli import main; main()", *map(str, args)]


def test_reconstruct_writes_what_it_says(bop: Path, tmp_path: Path) -> None:
    assert dispatch(["reconstruct", "--bop", str(bop), "--scene", "000001", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["objects"]) + len(result["rejected"]) == 4
    assert result["objects"]
    for item in result["objects"]:
        assert set(item) >= KEYS
        mesh = trimesh.load(tmp_path / item["mesh"], process=False)
        np.testing.assert_allclose(mesh.extents, item["size_m"], atol=1e-5)
        assert (tmp_path / item["mesh"]).with_suffix(".glb").is_file()
        np.testing.assert_allclose(np.array(item["T_cam_obj"])[:3, 3], item["position_m"])
        assert np.linalg.norm(item["quaternion_xyzw"]) == pytest.approx(1)
    scene = trimesh.load(tmp_path / "scene.glb")
    assert len(scene.geometry) == len(result["objects"])


def test_the_model_by_its_folder(bop: Path, tmp_path: Path, tiny_compact: Path) -> None:
    args = [
        "--bop",
        bop,
        "--scene",
        "1",
        "--image",
        "1",
        "--out",
        tmp_path,
        "--model",
        tiny_compact,
        "--threads",
        "1",
    ]
    assert dispatch(["reconstruct", *map(str, args)]) == 0
    objects = json.loads((tmp_path / "result.json").read_text())["objects"]
    assert {(o["method"], o["note"]) for o in objects} == {("compact", "")}


def test_a_model_that_is_not_there_is_one_line_and_exit_2(
    bop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [
        "--bop",
        bop,
        "--scene",
        "1",
        "--out",
        tmp_path,
        "--method",
        "compact",
        "--model",
        f"{tmp_path}/none",
    ]
    assert dispatch(["reconstruct", *map(str, args)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("sam3d reconstruct: ")
    assert "is no bundle" in line


@pytest.mark.parametrize("method", ["hull", "mirror"])
def test_one_image_and_method(bop: Path, tmp_path: Path, method: str) -> None:
    args = ["--bop", bop, "--scene", "1", "--image", "1", "--out", tmp_path, "--method", method]
    assert dispatch(["reconstruct", *map(str, args)]) == 0
    objects = json.loads((tmp_path / "result.json").read_text())["objects"]
    assert {(o["image"], o["method"]) for o in objects} == {(1, method)}


@pytest.mark.parametrize(
    "wrong",
    [("--bop", "/nowhere"), ("--scene", "../.."), ("--scene", "7"), ("--image", "99"), ("--out", "/proc/x")],
)
def test_bad_arguments_are_one_line_and_exit_2(
    bop: Path, tmp_path: Path, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"--bop": str(bop), "--scene": "000001", "--out": str(tmp_path / "out")} | dict([wrong])
    assert dispatch(["reconstruct", *(part for pair in args.items() for part in pair)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sam3d reconstruct: ")


def test_an_unreadable_image_is_named_and_the_others_are_done(bop: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bop"
    shutil.copytree(bop, broken)
    sorted((broken / "000001" / "depth").iterdir())[0].write_bytes(b"no picture")
    assert (
        dispatch(["reconstruct", "--bop", str(broken), "--scene", "000001", "--out", str(tmp_path / "o")])
        == 1
    )
    result = json.loads((tmp_path / "o" / "result.json").read_text())
    assert len(result["failed_images"]) == 1
    assert result["objects"]


def test_interrupt_leaves_whole_files(bop: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    shutil.copytree(bop, many)
    scene = many / "000001"
    cameras = json.loads((scene / "scene_camera.json").read_text())
    first = min(cameras, key=int)
    for number in range(10, 300):
        cameras[str(number)] = cameras[first]
        for kind in ("rgb", "depth"):
            os.link(scene / kind / f"{int(first):06d}.png", scene / kind / f"{number:06d}.png")
        for path in list((scene / "mask_visib").glob(f"{int(first):06d}_*")):
            os.link(path, path.with_name(f"{number:06d}_{path.name.split('_')[1]}"))
    (scene / "scene_camera.json").write_text(json.dumps(cameras))
    out = tmp_path / "out"
    process = subprocess.Popen(command("reconstruct", "--bop", many, "--scene", "000001", "--out", out))
    try:
        deadline = time.monotonic() + 60
        while not list(out.glob("objects/*.ply")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
    result = json.loads((out / "result.json").read_text())
    assert 0 < len({o["image"] for o in result["objects"]}) < 290
    named = {o["mesh"] for o in result["objects"]}
    assert named == {f"objects/{p.name}" for p in out.glob("objects/*.ply")}
    assert not list(out.rglob(".*"))


def test_the_command_starts_without_ros_and_heavy_libraries() -> None:
    code = (
        "import sys, sam3d_ros.cli\n"
        "heavy = {'rclpy', 'torch', 'open3d', 'cv2', 'trimesh', 'scipy', 'sam3d_ros.pipeline'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import sam3d_ros.pipeline\n"
        "assert not {'rclpy', 'torch', 'open3d'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["doctor"]) in (0, 1)
    text = capsys.readouterr().out
    assert any(f"{name}: " in text for name in ("compact", "extrude"))
    for name in (
        "Python",
        "numpy",
        "ROS 2",
        "interfaces",
        "tf2_msgs",
        "vision_msgs",
        "torch",
        "method",
        "/dev/shm",
        "DDS profile",
    ):
        assert name in text


def test_help_and_unknown_commands() -> None:
    for args, code in (([], 0), (["--help"], 0), (["nonsense"], 2), (["reconstruct"], 2)):
        with pytest.raises(SystemExit) as stopped:
            dispatch(args)
        assert stopped.value.code == code
