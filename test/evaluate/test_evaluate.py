"""The command on a small BOP folder with ground truth, and what stands in the way of it."""

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

from sam3d_ros import reconstruct_folder
from sam3d_ros.data import ply
from sam3d_ros.data.make_bop import write_tabletop_bop
from sam3d_ros.evaluate.command import run
from sam3d_ros.evaluate.methods import METHODS, method_by_name
from sam3d_ros.evaluate.predictions import Predictions
from sam3d_ros.evaluate.run import Plan, Results, judge_view
from sam3d_ros.evaluate.source import BopSource
from sam3d_ros.evaluate.splits import SplitSource, make_view
from sam3d_ros.evaluate.summary import Row, summarise
from sam3d_ros.mesh.export import write_mesh
from sam3d_ros.methods.settings import Settings
from sam3d_ros.types import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bop")
    write_tabletop_bop(folder, seed=5, scenes=1, images=2, objects=2)
    return folder


@pytest.fixture(scope="module")
def shot():
    return make_view("procedural-heldout", 1)


@pytest.fixture(scope="module")
def judged(bop, tmp_path_factory):
    """A finished run of hull over the folder, to be copied."""
    out = tmp_path_factory.mktemp("judged") / "out"
    assert call(bop, out=out) == 0
    return out


def call(
    bop=None, split=None, method="hull", predictions=None, out=None, views=None, workers=1, report=False
):
    return run(bop, split, method, predictions, out, views, workers, report)


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_folder_becomes_a_table_and_a_page(bop, tmp_path, capsys):
    assert call(bop, method="hull,extrude", out=tmp_path, report=True) == 0
    printed = capsys.readouterr()
    assert "vIoU" in printed.out
    assert "LPIPS is not available" in printed.err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary["methods"]) == ["hull", "extrude"]
    hull = summary["methods"]["hull"]
    assert hull["viou"]["count"] == 4
    assert 0.2 < hull["viou"]["low"] <= hull["viou"]["mean"] <= hull["viou"]["high"] < 0.95
    assert hull["found"]["mean"] == hull["watertight"]["mean"] == 1
    assert summary["methods"]["extrude"]["viou"]["mean"] > hull["viou"]["mean"]
    table = (tmp_path / "table.md").read_text()
    assert "| hull | 1.000" in table
    page = (tmp_path / "report.html").read_text()
    for name in ("hull: best", "hull: median", "extrude: worst"):
        assert name in page


def test_the_same_command_goes_on_where_it_stopped(bop, judged, tmp_path):
    shutil.copytree(judged, tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / "results.jsonl").read_text()
    first, second = whole.splitlines()
    # As after a crash: the second line only half written.
    (tmp_path / "results.jsonl").write_text(first + "\n" + second[:50])
    assert call(bop, out=tmp_path) == 0
    again = lines(tmp_path)
    assert len(again) == 2
    times = {"seconds", "metric_seconds"}
    for old, new in zip(map(json.loads, (first, second)), again, strict=True):
        assert old["view"] == new["view"]
        for a, b in zip(old["rows"], new["rows"], strict=True):
            assert {k: v for k, v in a.items() if k not in times} == {
                k: v for k, v in b.items() if k not in times
            }
    unchanged = (tmp_path / "results.jsonl").read_text()
    assert call(bop, out=tmp_path) == 0
    assert (tmp_path / "results.jsonl").read_text() == unchanged


def test_other_settings_need_another_folder(bop, judged, capsys):
    assert call(bop, method="extrude", out=judged) == 2
    assert "other settings" in capsys.readouterr().err


def test_more_views_of_a_split_continue_the_run(tmp_path):
    assert call(split="procedural-heldout", views=1, out=tmp_path) == 0
    assert call(split="procedural-heldout", views=2, out=tmp_path) == 0
    assert [entry["view"] for entry in lines(tmp_path)] == [f"procedural-heldout/{i:06d}" for i in (0, 1)]
    assert json.loads((tmp_path / "summary.json").read_text())["methods"]["hull"]["viou"]["count"] == 2


def test_ctrl_c_keeps_what_was_done(tmp_path):
    command = "import sys; from sam3d_ros.cli import dispatch; sys.exit(dispatch(sys.argv[1:]))"
    arguments = ["evaluate", "--split", "procedural-heldout", "--method", "hull", "--views", "60"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments, "--workers", "1", "--out", str(tmp_path)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    results = tmp_path / "results.jsonl"
    deadline = time.monotonic() + 60
    while not (results.is_file() and results.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()[-2000:]
    assert 1 <= len(lines(tmp_path)) < 60
    assert (tmp_path / "summary.json").is_file()
    assert not (tmp_path / "report.html").exists()


def test_predictions_of_others_are_judged_like_our_own(bop, judged, tmp_path):
    """What `sam3d reconstruct` wrote, read back, scores as the method that made it."""
    files = tmp_path / "predictions"
    assert reconstruct_folder.run(bop, "000001", files / "000001", settings=Settings(method="hull")) == 0
    assert call(bop, method="", predictions=files, out=tmp_path / "out") == 0
    hull, read = (
        json.loads((out / "summary.json").read_text())["methods"] for out in (judged, tmp_path / "out")
    )
    for name in ("viou", "f1", "add_s", "shape_f1", "icp_rot_deg"):
        ours, theirs = hull["hull"][name]["mean"], read["predictions"][name]["mean"]
        assert theirs == pytest.approx(ours, rel=0.02), name


def test_predictions_of_every_file_type(shot, tmp_path):
    target = shot.targets[0]
    for kind in ("glb", "ply", "obj", "stl"):
        folder = tmp_path / kind
        path = write_mesh(target.mesh, folder, "it", kind)
        entry = {"image": shot.picture.image, "mask": target.mask_index, "mesh": path.name}
        entry["T_cam_obj"] = target.T_cam_obj.tolist()
        (folder / "result.json").write_text(json.dumps({"objects": [entry]}))
        mesh, T = Predictions(folder).find(shot, target.mask_index)
        assert np.allclose(T, target.T_cam_obj)
        low, high = target.mesh.vertices.min(axis=0), target.mesh.vertices.max(axis=0)
        assert np.allclose(mesh.vertices.min(axis=0), low, atol=1e-5), kind
        assert np.allclose(mesh.vertices.max(axis=0), high, atol=1e-5), kind
        (answer,) = method_by_name("predictions", folder)(shot)
        assert answer.mesh is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mesh": "../secret.ply"}, "outside of the folder"),
        ({"mesh": "/etc/passwd"}, "outside of the folder"),
        ({"mesh": "it.exe"}, "a mesh is one of"),
        ({"mesh": "missing.ply"}, "is missing"),
        ({"mesh": "damaged.glb"}, "not a readable mesh"),
        ({"mesh": 7}, "must name a file"),
        ({"T_cam_obj": [[1, 2], [3]]}, "4 rows of 4"),
        ({"T_cam_obj": (2 * np.eye(4)).tolist()}, "rotation"),
        ({"T_cam_obj": (np.nan * np.eye(4)).tolist()}, "4 rows of 4"),
        ({"image": 99}, "no object for image"),
        ({"mask": 99}, "no object for image"),
    ],
)
def test_a_bad_prediction_is_missing_with_its_reason(shot, tmp_path, change, reason):
    target = shot.targets[0]
    ply.write(tmp_path / "secret.ply", target.mesh)
    folder = tmp_path / "files"
    folder.mkdir()
    ply.write(folder / "it.ply", target.mesh)
    (folder / "damaged.glb").write_bytes(b"no mesh at all")
    entry = {"image": shot.picture.image, "mask": target.mask_index, "mesh": "it.ply"}
    entry |= {"T_cam_obj": target.T_cam_obj.tolist()}
    (folder / "result.json").write_text(json.dumps({"objects": [entry | change]}))
    (answer,) = method_by_name("predictions", folder)(shot)
    assert answer.mesh is None
    assert reason in answer.reason


def test_an_object_that_is_not_found_counts_as_zero(bop, tmp_path):
    files = tmp_path / "predictions"
    files.mkdir()
    (files / "result.json").write_text('{"objects": []}')
    assert call(bop, method="", predictions=files, out=tmp_path / "out") == 0
    table = json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]["predictions"]
    assert table["found"]["mean"] == table["viou"]["mean"] == 0
    assert table["add_s"]["mean"] is None
    assert all(
        "no object for image" in row["reason"] for entry in lines(tmp_path / "out") for row in entry["rows"]
    )


def test_arguments_that_make_no_sense(bop, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for arguments, reason in (
        ({}, "either --bop DIR or --split NAME"),
        ({"bop": bop, "split": "procedural-heldout"}, "either --bop DIR or --split NAME"),
        ({"bop": bop, "views": 3}, "--views is for splits"),
        ({"bop": bop, "method": "magic"}, "there is no method 'magic'"),
        ({"bop": bop, "method": "hull,hull"}, "only once"),
        ({"bop": bop, "method": "predictions"}, "needs a folder"),
        ({"bop": bop, "predictions": tmp_path}, "has no result.json"),
        ({"bop": tmp_path}, "nothing to compare with"),
        ({"bop": tmp_path / "nowhere"}, "is not a folder"),
        ({"split": "random-urdfs-heldout"}, "sam3d data prepare random-urdfs"),
        ({"bop": bop, "workers": 0}, "at least one worker"),
    ):
        assert call(**{"out": tmp_path / "out", **arguments}) == 2, arguments
        assert reason in capsys.readouterr().err, arguments


def test_a_damaged_view_fails_alone(bop, tmp_path):
    broken = tmp_path / "bop"
    write_tabletop_bop(broken, seed=5, scenes=1, images=2, objects=1)
    (broken / "000001" / "depth" / "000001.png").write_bytes(b"no picture")
    assert call(broken, out=tmp_path / "out") == 1
    entries = {entry["view"]: entry for entry in lines(tmp_path / "out")}
    assert "not a readable image" in entries["000001/000001"]["error"]
    assert len(entries["000001/000000"]["rows"]) == 1
    assert "000001/000001" in json.loads((tmp_path / "out" / "summary.json").read_text())["failed_views"]


def test_results_survive_the_trip_to_disk(tmp_path):
    row = Row("a/0", 1, "k", "can", float("nan"), "hull", {"viou": 0.5, "psnr": float("nan")}, 0.1, 0.2)
    Results(tmp_path, {"x": 1}).add("a/0", [row])
    (back,) = Results(tmp_path, {"x": 1}).rows["a/0"]
    assert back.scores["viou"] == 0.5
    assert np.isnan(back.scores["psnr"])
    assert np.isnan(back.visible)
    with pytest.raises(InputError, match="other settings"):
        Results(tmp_path, {"x": 2})


def test_bop_models_beside_the_folder_of_scenes(bop, tmp_path):
    """The layout of the BOP datasets: DATASET/models and DATASET/test/000001."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "000001").symlink_to(bop / "000001")
    (tmp_path / "models").symlink_to(bop / "models")
    source = BopSource(tmp_path / "test")
    assert source.keys() == BopSource(bop).keys()
    assert len(source.load("000001/000000").targets) == 2


def test_every_method_answers_every_target(bop):
    shot = BopSource(bop).load("000001/000000")
    for name in METHODS:
        answers = method_by_name(name)(shot)
        assert len(answers) == len(shot.targets)
        assert all(a.mesh is not None and a.seconds > 0 for a in answers), name


# From docs/evaluation.md, "The first three views".
COLUMNS = ("viou", "f1", "add_s", "box_iou", "shape_f1", "psnr")
EXPECTED = {
    "hull": (0.420, 0.457, 0.065, 0.635, 0.057, 12.8),
    "extrude": (0.772, 0.728, 0.022, 0.880, 0.339, 14.1),
    "mirror": (0.794, 0.762, 0.020, 0.876, 0.298, 14.1),
    "mean": (0.244, 0.140, 0.116, 0.374, 0.036, 12.0),
    "nearest": (0.807, 0.772, 0.015, 0.869, 0.259, 14.0),
}
TOLERANCE = {"viou": 0.01, "f1": 0.02, "add_s": 0.003, "box_iou": 0.01, "shape_f1": 0.02, "psnr": 0.2}


@pytest.mark.slow
def test_the_expected_values_of_the_documentation():
    plan = Plan(SplitSource("procedural-heldout"), tuple(EXPECTED))
    rows = [row for i in range(3) for row in judge_view(plan, f"procedural-heldout/{i:06d}")]
    found = summarise(rows)
    for method, values in EXPECTED.items():
        for name, value in zip(COLUMNS, values, strict=True):
            assert found[method][name].mean == pytest.approx(value, abs=TOLERANCE[name]), (method, name)


def test_the_documentation_says_the_same():
    text = (ROOT / "docs" / "evaluation.md").read_text()
    section = text[text.index("### The first three views") :]
    for method, values in EXPECTED.items():
        cells = [
            f"{v:.1f}" if name == "psnr" else f"{v:.3f}" for name, v in zip(COLUMNS, values, strict=True)
        ]
        assert f"| {method} | {' | '.join(cells)} |" in section
    for name, tolerance in TOLERANCE.items():
        assert f"{tolerance:g}" in section, name
