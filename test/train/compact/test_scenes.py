"""Folders of training scenes: what is in the files, what is not, and how they are filled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree  # type: ignore[import-untyped]
from small_compact import examples

from sam3d_ros.cli import dispatch
from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.compact.lift import cells_of
from sam3d_ros.data.held_out import (
    HELD_OUT_SEED,
    LOOKALIKES,
    TRAINING_CATEGORIES,
    UNSEEN_CATEGORIES,
)
from sam3d_ros.data.objects import FORMS, TABLETOP, make_object
from sam3d_ros.data.sources.pack import write_pack
from sam3d_ros.data.sources.random_urdfs import CATEGORY
from sam3d_ros.data.sources.source import Procedural
from sam3d_ros.model.compact.config import NANO, NANO_TEXTURE
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.train.compact import data_command
from sam3d_ros.train.compact.data_command import training_sources
from sam3d_ros.train.compact.fine import NEAR
from sam3d_ros.train.compact.kinds import kind, kinds_of
from sam3d_ros.train.compact.scenes import _rough
from sam3d_ros.train.compact.store import QUANTISED, load, pack, quantised, save, unpack_object, unquantised

SCENE = "000034.npz"


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    """Grids and pictures to half a step of 1 / 127, everything else exactly."""
    made = examples(3, fine=True)
    save(tmp_path / "a" / "scene.npz", pack([quantised(example) for example in made]))
    back = load(tmp_path / "a" / "scene.npz")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["scene.npz"]
    assert {n for n, a in back.items() if a.dtype == np.int8} == set(QUANTISED)
    for i, example in enumerate(made):
        for name, value in example.items():
            off = np.abs(unquantised(name, back[name][i]) - value).max()
            assert off <= (0.5 / 127 + 1e-6 if name in QUANTISED else 0), name


def test_nothing_that_is_pickled_is_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", grid=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="pickle"):
        load(tmp_path / "evil.npz")


def test_scene_looks_objects_and_fine_are_of_the_same_things(scene_folder: Path) -> None:
    """The stored distances are those of the stored object at its stored pose in its stored box."""
    scene, looks = load(scene_folder / "scenes" / SCENE), load(scene_folder / "looks" / SCENE)
    fine = load(scene_folder / "fine" / SCENE)
    count = len(scene["has_rotation"])
    assert count >= 6
    assert len(looks["thing"]) == len(fine["fine"]) == count
    for i in range(0, count, 5):
        _, volume = unpack_object(load(scene_folder / "objects" / f"{looks['thing'][i]:06d}.npz"))
        box = ObjectBox(*looks["box"][i])
        T_obj_view = inverse(looks["T_cam_obj"][i]) @ looks["T_cam_view"][i]
        for name, side in (("shape", NANO.grid), ("fine", NANO_TEXTURE.fine)):
            grid = box.grid(side)
            metres = volume.at(apply(T_obj_view, grid.points().astype(np.float64))).reshape(grid.shape)
            stored = unquantised(name, (scene if name == "shape" else fine)[name][i])
            # The object's distances are stored in half precision; a gradient near zero magnifies that.
            assert np.quantile(np.abs(stored - cells_of(metres, grid)), 0.99) < 0.02
        solid = scene["shape"][i] > 0
        assert 0.02 < solid.mean() < 0.7


def test_colours_are_those_of_the_nearest_surface(scene_folder: Path) -> None:
    """Against the nearest vertex of the mesh: designs are painted finely, samples lie between vertices."""
    scene, looks = load(scene_folder / "scenes" / SCENE), load(scene_folder / "looks" / SCENE)
    fine = load(scene_folder / "fine" / SCENE)
    mesh, _ = unpack_object(load(scene_folder / "objects" / f"{looks['thing'][0]:06d}.npz"))
    assert mesh.colors is not None
    grid = ObjectBox(*looks["box"][0]).grid(32)
    T_obj_view = inverse(looks["T_cam_obj"][0]) @ looks["T_cam_view"][0]
    near = np.abs(scene["shape"][0].astype(np.float32) / 127) < NEAR - 0.01
    points = apply(T_obj_view, grid.points().astype(np.float64))[near.ravel()]
    _, nearest = cKDTree(mesh.vertices).query(points)
    stored = unquantised("colour", fine["colour"][0])[:, near].T
    off = np.abs(stored - (mesh.colors[nearest] / 127.5 - 1)).mean()
    # Of colours of some other part of the surface, for comparison.
    other = np.abs(stored - (mesh.colors[nearest[::-1]] / 127.5 - 1)).mean()
    assert off < 0.1
    assert off < 0.7 * other


def test_a_folder_that_is_full_stays_as_it_is(scene_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(scene_folder.rglob("*.npz"))
    assert {p.parent.name for p in files} == {"scenes", "looks", "fine", "objects"}
    before = [p.stat().st_mtime_ns for p in files]
    same = ["train-data", str(scene_folder), "--first", "34", "--stop", "35"]
    assert dispatch(same) == 0
    assert [p.stat().st_mtime_ns for p in sorted(scene_folder.rglob("*.npz"))] == before
    assert dispatch([*same, "--seed", "1"]) == 1
    assert "take another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--first", "3", "--stop", "3"], "are none"),
        (["--step", "0"], "are none"),
        (["--packs", "missing.safetensors"], "missing.safetensors"),
    ],
)
def test_what_cannot_be_filled_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], answer: str
) -> None:
    assert dispatch(["train-data", str(tmp_path / "new"), *arguments]) == 1
    assert answer in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_ends_the_work_before_it_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scene at hand is kept, and the next call goes on after it."""
    command = ["train-data", str(tmp_path), "--first", "34", "--stop", "36"]
    monkeypatch.setattr(data_command, "LEAST_FREE", 1 << 62)
    for left in ("000034", "000035"):
        assert dispatch(command) == 1
        assert f"the disk of {tmp_path} has" in capsys.readouterr().err
        assert sorted(p.stem for p in (tmp_path / "scenes").iterdir())[-1] == left


def test_no_held_out_object_is_trained_on(tmp_path: Path) -> None:
    """Neither categories nor seeds nor numbers that evaluation uses; tabletop things come twice."""
    thing = replace(make_object("can", np.random.default_rng(0)), category=CATEGORY)
    path = tmp_path / "random_urdfs.safetensors"
    write_pack(path, [replace(thing, name=f"{number:03d}") for number in (0, 7, 899, 900, 950, 999)])
    procedural, forms, urdfs = training_sources((path,))
    assert list(urdfs.names) == ["000", "007", "899"]
    assert isinstance(procedural, Procedural)
    assert isinstance(forms, Procedural)
    assert max(procedural.seed, forms.seed) < HELD_OUT_SEED
    assert forms.categories == FORMS
    assert not set(procedural.categories) & {*UNSEEN_CATEGORIES, *LOOKALIKES}
    twice = {c for c in procedural.categories if procedural.categories.count(c) == 2}
    assert twice == set(TABLETOP) - set(UNSEEN_CATEGORIES)
    assert set(procedural.categories) == set(TRAINING_CATEGORIES)


def test_kinds_follow_from_categories(scene_folder: Path) -> None:
    assert [kind(c) for c in ("mug", "prism", CATEGORY, "japanese_lantern")] == [
        "procedural",
        "procedural",
        "random_urdfs",
        "artist",
    ]
    assert set(kinds_of(scene_folder / "scenes" / SCENE)) == {"procedural"}


def test_masks_are_rough_now_and_then() -> None:
    """Whole, too large, too small or ragged; never far from the true one, nor empty."""
    true = np.zeros((240, 320), bool)
    true[60:180, 100:220] = True
    rough = [_rough(true, np.random.default_rng(seed)) for seed in range(60)]
    changed = [mask for mask in rough if not np.array_equal(mask, true)]
    assert 0.2 * len(rough) < len(changed) < 0.6 * len(rough)
    assert any(not (true & ~mask).any() for mask in changed), "too large"
    assert any(not (mask & ~true).any() for mask in changed), "too small"
    assert any((true & ~mask).any() and (mask & ~true).any() for mask in changed), "ragged"
    for mask in changed:
        assert (true & mask).sum() > 0.85 * (true | mask).sum()
