"""The compact model judged: how a variant is written, what it changes, and what a run remembers of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sam3d_ros.data.make_bop import write_tabletop_bop
from sam3d_ros.evaluate.command import run
from sam3d_ros.evaluate.methods import method_by_name
from sam3d_ros.evaluate.source import BopSource
from sam3d_ros.evaluate.variants import Variant, is_variant
from sam3d_ros.types import InputError


@pytest.fixture(scope="module")
def bop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bop")
    write_tabletop_bop(folder, seed=5, scenes=1, images=1, objects=2)
    return folder


def test_a_word_says_what_differs() -> None:
    assert Variant.parse("compact") == Variant()
    word = "compact:model=nano:steps=25:rescale=3:shortcut=yes:candidates=4:looks=2:pick=best:level=-0.5"
    assert Variant.parse(
        word + ":fine_level=0.1:seed=7:rgb=no:fallback=no:threads=2:backend=onnxruntime"
    ) == Variant("nano", 25, 3.0, True, 4, 2, "best", -0.5, 0.1, 7, False, False, 2, "onnxruntime")
    assert is_variant("compact:steps=1")
    assert not is_variant("compacted")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("compact:steps", "'steps' is not one of model, steps"),
        ("compact:speed=9", "'speed=9' is not one of"),
        ("compact:steps=many", "steps must be of type int, not 'many'"),
        ("compact:rgb=maybe", "rgb must be yes or no"),
        ("compact:model=nothing-of-this-name", "nothing-of-this-name"),
        ("compact:steps=0:model={tiny}", "at least one step"),
        ("compact:pick=worst:model={tiny}", "pick is mean or best"),
        ("compact:threads=-1:model={tiny}", "threads"),
        ("compact:backend=openvino:model={tiny}", "backend 'openvino' is not one of auto, tensorrt"),
    ],
)
def test_a_word_that_cannot_be(word: str, says: str, tiny_compact: Path) -> None:
    with pytest.raises(InputError, match=says):
        method_by_name(word.format(tiny=tiny_compact))


def test_a_variant_changes_the_sampling_and_nothing_else(tiny_compact: Path) -> None:
    plain = Variant(str(tiny_compact)).reconstructor()
    assert (plain.chosen.sampling.steps, plain.chosen.sampling.candidates) == (2, 2)
    other = Variant(str(tiny_compact), steps=25, fallback=False).reconstructor()
    assert (other.chosen.sampling.steps, other.chosen.sampling.candidates) == (25, 2)
    assert not other.settings.fallback
    assert other.settings.min_confidence == 0


def test_every_target_is_answered(bop: Path, tiny_compact: Path) -> None:
    shot = BopSource(bop).load("000001/000000")
    word = f"compact:model={tiny_compact}:steps=1"
    for extra, coloured in (("", True), (":rgb=no", False)):
        answers = method_by_name(word + extra)(shot)
        assert len(answers) == len(shot.targets)
        for answer in answers:
            assert answer.mesh is not None
            assert answer.seconds > 0
            assert (answer.mesh.colors is not None) == coloured


def test_a_run_remembers_the_weights(
    bop: Path, tiny_compact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command continues a run; with other weights in the folder it is another run."""
    folder, out = tmp_path / "compact", tmp_path / "out"
    shutil.copytree(tiny_compact, folder)
    method = f"hull,compact:model={folder}:steps=1:candidates=1"

    def call() -> int:
        return run(bop, None, method, None, out, None, 1, False)

    assert call() == 0
    assert set(json.loads((out / "summary.json").read_text())["methods"]) == set(method.split(","))
    assert call() == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = "0.0.2"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert call() == 2
    assert "other settings" in capsys.readouterr().err
