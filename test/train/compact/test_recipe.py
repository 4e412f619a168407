"""The compact model in the training room: its stages from the command line, and four solids learned by heart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_compact import batch, distances, examples
from tiny_compact import CONFIG
from torch import Tensor

from sam3d_ros.cli import dispatch
from sam3d_ros.model.compact.config import COMPACT, COMPACT_TEXTURE, NANO, NANO_TEXTURE
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.train.compact.geometry_loss import geometry_task
from sam3d_ros.train.compact.preference_loss import overlap
from sam3d_ros.train.compact.recipe import COMPACT_RECIPE, NANO_RECIPE, compact_recipe, fast_on_cpu
from sam3d_ros.train.compact.sheets import BACKGROUND, shaded
from sam3d_ros.train.compact.stages import GPU_STAGES, STAGES
from sam3d_ros.train.compact.task import sampled
from sam3d_ros.train.journal import read_lines
from sam3d_ros.train.loop import Every, train
from sam3d_ros.train.recipes import Data
from sam3d_ros.types import InputError


def run(out: Path, data: Path, stage: str, *more: str) -> int:
    options = ["--out", str(out), "--data", str(data), "--steps", "1", "--batch", "2", *more]
    return dispatch(["train", stage, "--config", "nano", *options])


@pytest.mark.timeout(600)
def test_every_stage_trains_from_the_command_line(
    tmp_path: Path, scene_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real networks and scenes, one step of two samples each; the texture model builds on the last geometry."""
    folder = tmp_path / "nano"
    assert run(tmp_path, scene_folder, "texture-pre") == 1
    assert "builds on a geometry model" in capsys.readouterr().err
    held = ["--validation", str(scene_folder)]
    assert run(tmp_path, scene_folder, "geometry-pre", *held) == 0
    start = ["--start", str(folder / "geometry-pre" / "weights.safetensors")]
    assert run(tmp_path, scene_folder, "geometry-sft") == 0
    assert run(tmp_path, scene_folder, "geometry-dpo") == 0
    assert run(tmp_path, scene_folder, "geometry-distil", *start) == 0
    assert run(tmp_path, scene_folder, "texture-pre", *held) == 0
    assert run(tmp_path, scene_folder, "texture-distil") == 0
    for stage in STAGES:
        assert (folder / stage / "weights.safetensors").is_file(), stage
    for stage, names in (
        ("geometry-pre", {"iou_completion", "iou_1", "error_1", "iou_4", "error_4"}),
        ("texture-pre", {"iou_before", "colour_before", "iou_1", "colour_1", "iou_4", "colour_4"}),
    ):
        numbers = {k: v for line in read_lines(folder / stage / "log.jsonl") for k, v in line.items()}
        assert names <= numbers.keys()
        assert all(0 <= numbers[name] <= 1 for name in names if name.startswith("iou"))
        picture = cv2.imread(str(folder / stage / "sheets" / "step-00000001.png"))
        assert picture is not None
        assert picture.shape[0] == 8 * 96
        assert len(np.unique(picture)) > 20
    learned = load_file(folder / "geometry-distil" / "weights.safetensors")
    texture = load_file(folder / "texture-pre" / "weights.safetensors")
    name = "picture.patch_embed.weight"
    # One step of the optimiser from what the geometry model had learned to see.
    assert (learned[name] - texture[name]).abs().max() < 1e-3


def test_a_bundle_of_either_size_fits_into_40_mb() -> None:
    """Both stages in fp16 by the number of parameters, and 1 MB for the graphs."""
    for recipe in (NANO_RECIPE, COMPACT_RECIPE):
        with torch.device("meta"):
            networks = [recipe.network(recipe.stages[name]) for name in ("geometry-pre", "texture-pre")]
        assert 2 * sum(p.numel() for n in networks for p in n.parameters()) < 39e6


def test_both_sizes_learn_from_the_same_folders() -> None:
    for one, other in ((NANO, COMPACT), (NANO_TEXTURE, COMPACT_TEXTURE)):
        assert (one.condition, one.condition_globals) == (other.condition, other.condition_globals)
        assert one.picture.pixels == other.picture.pixels
    assert NANO.grid == COMPACT.grid == NANO_TEXTURE.coarse == COMPACT_TEXTURE.coarse
    assert NANO_TEXTURE.fine == COMPACT_TEXTURE.fine
    assert STAGES.keys() == GPU_STAGES.keys()
    assert {s.kind for s in STAGES.values()} == {s.kind for s in GPU_STAGES.values()}


def test_channels_last_changes_no_number() -> None:
    one = batch(examples(2))
    torch.manual_seed(0)
    plain = CompactGeometry(CONFIG).eval()
    torch.manual_seed(0)
    fast = fast_on_cpu(CompactGeometry(CONFIG)).eval()
    weight = fast.get_parameter("down1.0.conv1.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        answers = [
            geometry_task({}, net, one).predict(  # type: ignore[arg-type]
                geometry_task({}, net, one).latents,  # type: ignore[arg-type]
                torch.full((2,), 300.0),
                torch.zeros(2),
            )
            for net in (plain, fast)
        ]
    for name in answers[0]:
        assert torch.allclose(answers[0][name], answers[1][name], atol=1e-5)


def test_data_are_asked_for() -> None:
    with pytest.raises(InputError, match="--data"):
        NANO_RECIPE.batches(STAGES["geometry-pre"], Data((), 4, 0, 0))


@pytest.mark.timeout(600)  # fifteen seconds of a core; a busy machine has less of it
def test_four_solids_are_learned_by_heart(tmp_path: Path) -> None:
    """From evidence of their near halves, in 4 steps from noise, with the real stages: flow matching, then shortcuts.

    The evidence says too little: only what is remembered of the four gives the far halves.
    """
    four = batch(examples(4, seed=11))

    def batches(first: int, step: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield four

    config = replace(CONFIG, widths=(8, 16, 32))
    torch.manual_seed(0)
    network: torch.nn.Module = fast_on_cpu(CompactGeometry(config))
    recipe = compact_recipe(STAGES, config, NANO_TEXTURE)
    scores = {}
    for name, steps in (("geometry-pre", 200), ("geometry-distil", 50)):
        stage = replace(
            STAGES[name], steps=steps, batch=4, learning_rate=6e-3 if name == "geometry-pre" else 2e-3
        )
        stage = replace(stage, warmup=10, ema=0.95, p_uncond=0.0)
        train(
            stage, network, recipe.loss(stage, None), batches, tmp_path / name, every=Every(1000, 1000, 1000)
        )
        network.load_state_dict(load_file(tmp_path / name / "weights.safetensors"))
        network.eval()
        task = geometry_task({}, network, four)  # type: ignore[arg-type]
        told = 0.25 if name == "geometry-distil" else 0.0
        made = sampled(task, 4, told, torch.Generator().manual_seed(0))["shape"][:, 0]
        scores[name] = overlap(made, four["shape"]).tolist()
        network.train()
    completion = overlap(four["grid"][:, 3], four["shape"])
    assert min(scores["geometry-pre"]) > 0.9
    assert min(scores["geometry-distil"]) > 0.9
    assert completion.max() < 0.75


def test_a_shaded_surface_shows_shape_side_and_colour() -> None:
    """A box left of the middle: y points left, z up; seen from behind it lies on the right."""
    grid = distances(16, np.array([0.0, 0.5, 0.25]), np.array([0.4, 0.25, 0.4]), ball=False)
    front, back = shaded(grid), shaded(grid, behind=True)
    where = np.argwhere((front != BACKGROUND).any(-1))
    assert where[:, 1].max() < 8
    assert where[:, 0].mean() < 8
    assert np.argwhere((back != BACKGROUND).any(-1))[:, 1].min() >= 8
    red = np.full((3, 16, 16, 16), -1.0)
    red[0] = 1.0
    middle = shaded(grid, red)[tuple(where.mean(0).astype(int))]
    assert middle[0] > 100
    assert middle[1] == middle[2] == 0
