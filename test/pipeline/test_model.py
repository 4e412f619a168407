"""The compact model in the pipeline: a bundle with random weights, run by ONNX Runtime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from looks import ASIDE, frame_of, views_of
from scenes import BoxScene, box_scene

from sam3d_ros.compact.box import box_again
from sam3d_ros.methods import steps
from sam3d_ros.methods.answer import ASSUMED, Asked
from sam3d_ros.methods.choose import choose
from sam3d_ros.methods.learned import ask_model
from sam3d_ros.methods.settings import Settings
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.pipeline import STAGES, Reconstructor
from sam3d_ros.runtime import select
from sam3d_ros.runtime.backend import Engine, EngineError
from sam3d_ros.runtime.find import VARIABLE
from sam3d_ros.runtime.spec import GraphSpec
from sam3d_ros.types import Cancelled, Frame, InputError, Mask, Reconstruction, Rejected, UpSource

Make = Callable[..., Reconstructor]


@pytest.fixture(scope="module")
def scene() -> BoxScene:
    return box_scene(boxes=ASIDE)


@pytest.fixture(scope="module")
def frame(scene: BoxScene) -> Frame:
    return frame_of(scene)


@pytest.fixture(scope="module")
def masks(scene: BoxScene) -> list[Mask]:
    return masks_from_labels(scene.labels)


@pytest.fixture(scope="module")
def model(tiny_compact: Path) -> Reconstructor:
    return Reconstructor(Settings(method="compact", model=str(tiny_compact), threads=1))


def with_sampling(model: Reconstructor, **changes: object) -> Reconstructor:
    sampling = replace(model.chosen.sampling, **changes)  # type: ignore[arg-type]
    return Reconstructor(model.settings, replace(model.chosen, sampling=sampling))


def with_settings(model: Reconstructor, **changes: object) -> Reconstructor:
    return Reconstructor(replace(model.settings, **changes), model.chosen)  # type: ignore[arg-type]


def only_objects(results: list[Reconstruction | Rejected]) -> list[Reconstruction]:
    assert all(isinstance(r, Reconstruction) for r in results), results
    return results  # type: ignore[return-value]


# ---- what comes out ------------------------------------------------------------------------------------------------


def test_objects_by_the_model_are_whole(
    model: Reconstructor, scene: BoxScene, frame: Frame, masks: list[Mask]
) -> None:
    results = only_objects(model.reconstruct(frame, masks))
    for r, T_cam_obj, size in zip(results, scene.T_cam_obj, scene.sizes_m, strict=True):
        assert (r.method, r.note) == ("compact", "")
        assert r.watertight
        # The weights are noise on the classical completion: it is where it is, and about as large.
        assert np.linalg.norm(r.T_cam_obj[:3, 3] - T_cam_obj[:3, 3]) < 0.03
        np.testing.assert_allclose(r.size_m, size, atol=0.05)
        np.testing.assert_allclose(np.ptp(r.mesh.vertices, axis=0), r.size_m, atol=1e-5)
        assert r.mesh.colors is not None
        assert set(r.seconds) == set(STAGES) - {"refine"}  # this bundle has no second stage


def test_the_first_phase_has_all_but_the_colours(
    model: Reconstructor, frame: Frame, masks: list[Mask]
) -> None:
    located = model.locate(frame, masks)
    first, last = only_objects(located.results), only_objects(model.finish(located))
    for a, b in zip(first, last, strict=True):
        assert a.mesh.colors is None
        assert b.mesh.colors is not None
        assert (a.mask, a.confidence, a.method) == (b.mask, b.confidence, b.method)
        np.testing.assert_array_equal(a.T_cam_obj, b.T_cam_obj)
        np.testing.assert_array_equal(a.size_m, b.size_m)
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert set(a.seconds) == set(STAGES) - {"refine", "colour"}


def test_a_batch_gives_what_single_objects_give(
    model: Reconstructor, scene: BoxScene, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, sampling = model.chosen.model, model.chosen.sampling
    assert network is not None
    views = views_of(frame, scene)
    views = [*views, *views, views[0]]
    together = ask_model(network, sampling, views, frame)
    alone = [ask_model(network, sampling, [view], frame)[0] for view in views]
    for a, b in zip(together, alone, strict=True):
        assert isinstance(a, Asked)
        assert isinstance(b, Asked)
        np.testing.assert_allclose(a.shape.distance, b.shape.distance, atol=1e-5)
        for name in a.shape.layout:
            np.testing.assert_allclose(a.shape.layout[name], b.shape.layout[name], atol=1e-5)
    assert not np.allclose(together[0].shape.distance, together[1].shape.distance, atol=1e-2)  # type: ignore[union-attr]


def test_more_objects_than_a_batch_holds_keep_their_order(
    model: Reconstructor, frame: Frame, masks: list[Mask], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Mask(10 + i, masks[i % 2].pixels) for i in range(5)]
    assert len(many) <= steps.BATCH
    at_once = only_objects(model.reconstruct(frame, many))
    monkeypatch.setattr(steps, "BATCH", 2)
    told: list[tuple[str, int]] = []
    by_twos = only_objects(
        model.reconstruct(frame, many, progress=lambda stage, mask, _: told.append((stage, mask)))
    )
    assert [r.mask.index for r in by_twos] == [10, 11, 12, 13, 14]
    assert [mask for stage, mask in told if stage == "shape"] == [10, 12, 14]
    for a, b in zip(at_once, by_twos, strict=True):
        np.testing.assert_allclose(a.mesh.vertices, b.mesh.vertices, atol=1e-5)


def test_a_second_look_is_in_the_box_of_the_first_answer(
    model: Reconstructor, scene: BoxScene, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For those objects alone whose answer leaves its box."""
    network = model.chosen.model
    assert network is not None
    views, sampling = views_of(frame, scene), model.chosen.sampling
    still = np.zeros(3, np.float32)
    for aside in (0.0, 0.5):  # what the random network says of the bounds does not matter
        bounds = {"translation": (still + np.float32(aside), still), "scale": (still - 1, still)}
        monkeypatch.setattr(network, "_layout", network._layout | bounds)
        first, second = (ask_model(network, replace(sampling, looks=n), views, frame) for n in (1, 2))
        for before, after in zip(first, second, strict=True):
            assert isinstance(before, Asked)
            assert isinstance(after, Asked)
            box, points = before.question.box, before.question.seen.points
            if aside:
                assert not np.allclose(after.question.box.size, box.size)
                # The mirrored half of the candidates says the other side.
                layout = {name: value.mean(axis=0) for name, value in before.shape.layout.items()}
                box = box_again(box, layout["translation"], layout["scale"], points)
            np.testing.assert_array_equal(after.question.box.size, box.size)
            (alone,) = network.shapes([after.question], sampling)
            np.testing.assert_allclose(after.shape.distance, alone.distance, atol=1e-4)


def test_candidates_are_averaged_or_the_best_is_picked(
    model: Reconstructor, frame: Frame, masks: list[Mask]
) -> None:
    mean = only_objects(model.reconstruct(frame, masks))
    best = only_objects(with_sampling(model, pick="best").reconstruct(frame, masks))
    one = only_objects(with_sampling(model, candidates=1).reconstruct(frame, masks))
    for averaged, picked, single in zip(mean, best, one, strict=True):
        assert picked.confidence >= single.confidence  # the first candidate is one of those picked from
        assert not np.array_equal(averaged.size_m, single.size_m)


def test_several_threads_share_one_model(model: Reconstructor, frame: Frame, masks: list[Mask]) -> None:
    alone = only_objects(model.reconstruct(frame, masks))
    with ThreadPoolExecutor(4) as pool:
        everyone = list(pool.map(lambda _: model.reconstruct(frame, masks), range(8)))
    for results in everyone:
        for a, b in zip(alone, only_objects(results), strict=True):
            np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)


# ---- cancelling ----------------------------------------------------------------------------------------------------


def test_it_stops_between_two_steps_of_the_flow(
    model: Reconstructor, frame: Frame, masks: list[Mask]
) -> None:
    asked: list[str] = []

    def never() -> bool:
        asked.append(stage[0])
        return False

    stage = [""]
    slow = with_sampling(model, steps=5)
    slow.reconstruct(frame, masks, cancel=never, progress=lambda name, *_: stage.__setitem__(0, name))
    assert asked.count("shape") >= 5
    for after in range(len(asked)):
        answers = iter([False] * after + [True] * 99)
        with pytest.raises(Cancelled):
            slow.reconstruct(frame, masks, cancel=lambda answers=answers: next(answers))  # type: ignore[misc]
    answers = iter([False] * asked.index("shape") + [False, True])
    with pytest.raises(Cancelled, match="of 5 steps"):
        slow.reconstruct(frame, masks, cancel=lambda: next(answers))


# ---- when the model cannot -----------------------------------------------------------------------------------------


def test_without_a_support_plane_the_level_is_a_guess_and_said_to_be(
    model: Reconstructor, frame: Frame, masks: list[Mask]
) -> None:
    points = frame.points_cam.copy()
    points[~np.logical_or.reduce([mask.pixels for mask in masks])] = np.nan
    bare = replace(frame, points_cam=points)
    for r in only_objects(with_settings(model, min_confidence=0.0, doubt=0.0).reconstruct(bare, masks)):
        assert (r.method, r.note, r.up_source) == ("compact", ASSUMED, UpSource.GRAVITY)
    classical = Reconstructor(Settings(method="extrude", min_confidence=0.0))
    for r in only_objects(classical.reconstruct(bare, masks)):
        assert (r.method, r.note) == ("extrude", ASSUMED)
    empty = with_settings(with_sampling(model, level=-9.0), min_confidence=0.0)
    for r in only_objects(empty.reconstruct(bare, masks)):
        assert r.note.startswith("extrude instead of compact: ")
        assert r.note.endswith(f"; {ASSUMED}")


def test_an_empty_shape_is_replaced(model: Reconstructor, frame: Frame, masks: list[Mask]) -> None:
    for r in only_objects(with_sampling(model, level=-9.0).reconstruct(frame, masks)):
        assert r.method == "extrude"
        assert "no inside" in r.note
    alone = with_settings(with_sampling(model, level=-9.0), fallback=False).reconstruct(frame, masks)
    assert all(isinstance(r, Rejected) and "no inside" in r.reason for r in alone)


def test_in_doubt_the_better_fit_wins(model: Reconstructor, frame: Frame, masks: list[Mask]) -> None:
    bloated = with_settings(with_sampling(model, level=0.5), min_confidence=0.0)
    ours = only_objects(with_settings(bloated, doubt=0.0).reconstruct(frame, masks))
    theirs = only_objects(Reconstructor(Settings(method="extrude")).reconstruct(frame, masks))
    both = only_objects(with_settings(bloated, doubt=1.0).reconstruct(frame, masks))
    for a, b, chosen in zip(ours, theirs, both, strict=True):
        assert a.method == "compact"
        assert a.confidence < b.confidence
        assert (chosen.method, chosen.confidence) == ("extrude", b.confidence)
        assert "below 1" in chosen.note
    for r in only_objects(with_settings(bloated, doubt=1.0, fallback=False).reconstruct(frame, masks)):
        assert r.method == "compact"


def test_a_model_that_fails_does_not_cost_the_frame(
    tiny_compact: Path, tmp_path: Path, frame: Frame, masks: list[Mask]
) -> None:
    """The manifest says another grid than the graphs take."""
    folder = tmp_path / "compact"
    shutil.copytree(tiny_compact, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["grid"] = 24
    (folder / "manifest.json").write_text(json.dumps(manifest))
    odd = Reconstructor(Settings(method="compact", model=str(folder)))
    for r in only_objects(odd.reconstruct(frame, masks)):
        assert r.method == "extrude"
        assert "the model failed: InputError" in r.note


# ---- bundles -------------------------------------------------------------------------------------------------------


def damaged(folder: Path, how: str) -> str:
    """Damages a copy of a bundle; a word of the message that it must give."""
    graph = folder / "geometry_step.onnx"
    data = bytearray(graph.read_bytes())
    match how:
        case "missing":
            shutil.rmtree(folder)
            return "no such file"
        case "truncated":
            graph.write_bytes(data[: len(data) // 2])
            return "geometry_step.onnx"
        case "changed":
            data[len(data) // 2] ^= 0xFF
            graph.write_bytes(data)
            return "geometry_step.onnx"
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["settings"]["layout"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return "not a compact model"


@pytest.mark.parametrize("how", ["missing", "truncated", "changed", "other"])
def test_a_bundle_that_cannot_be_used_is_an_error_or_a_reason(
    how: str, tiny_compact: Path, tmp_path: Path, frame: Frame, masks: list[Mask]
) -> None:
    folder = tmp_path / "compact"
    shutil.copytree(tiny_compact, folder)
    words = damaged(folder, how)
    with pytest.raises(InputError, match=words):
        Reconstructor(Settings(method="compact", model=str(folder)))
    auto = Reconstructor(Settings(model=str(folder)))
    assert auto.chosen.method == "extrude"
    assert words in auto.chosen.reason
    assert {r.method for r in only_objects(auto.reconstruct(frame, masks))} == {"extrude"}


def test_auto_takes_the_bundle_that_is_found(
    tiny_compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tiny_compact.parent))
    chosen = choose(Settings())
    assert chosen.method == "compact"
    for word in ("0.0.1", str(tiny_compact), "onnxruntime", "on the CPU"):
        assert word in chosen.reason
    assert choose(Settings(method="hull")).model is None
    assert choose(Settings(model="none-of-this-name")).method == "extrude"
    with pytest.raises(InputError, match="none-of-this-name"):
        choose(Settings(method="compact", model="none-of-this-name"))


def test_a_backend_that_cannot_load_the_model_leaves_it_to_the_next(
    tiny_compact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that does not build, on a machine whose other backend is sound."""
    (works,) = (option for option in select.options() if option.name == "onnxruntime")
    monkeypatch.setattr(select, "options", lambda: (select.Option("tensorrt", True, "11"), works))

    class Broken:
        def load(self, spec: GraphSpec) -> Engine:
            raise EngineError("no kernel for this GPU")

    start = select.start
    monkeypatch.setattr(
        select, "start", lambda option, threads: Broken() if option is not works else start(option, threads)
    )
    chosen = choose(Settings(method="auto", model=str(tiny_compact)))
    assert chosen.method == "compact"
    assert chosen.model is not None
    assert f"by onnxruntime, {works.text} (tensorrt: cannot load {tiny_compact}" in chosen.reason
    assert "no kernel for this GPU" in chosen.reason
    asked = Settings(method="compact", model=str(tiny_compact), backend="tensorrt")
    with pytest.raises(InputError, match=r"tensorrt cannot load .* no kernel for this GPU"):
        choose(asked)
    fallen = choose(replace(asked, method="auto"))
    assert fallen.method == "extrude"
    assert "no kernel for this GPU" in fallen.reason


def test_the_model_runs_without_torch(tiny_compact: Path) -> None:
    """In a process of its own: what runs on the robot loads no torch, and no onnx."""
    program = """
import sys
from looks import ASIDE, frame_of
from scenes import box_scene
from sam3d_ros.methods.settings import Settings
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.pipeline import Reconstructor
scene = box_scene(boxes=ASIDE)
results = Reconstructor(Settings(method="compact", model=sys.argv[1])).reconstruct(
    frame_of(scene), masks_from_labels(scene.labels)
)
assert [r.method for r in results] == ["compact"] * 2, results
heavy = {"torch", "onnx", "onnxscript", "accelerate", "rclpy"} & set(sys.modules)
assert not heavy, heavy
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_compact)],
        env={"PYTHONPATH": f"{root}:{root / 'test' / 'support'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
