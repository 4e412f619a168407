"""`sam3d train` from its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from sam3d_ros.cli import dispatch


def run(out: Path, stage: str, *more: str) -> int:
    options = ["--out", str(out), "--steps", "2", "--batch", "4", "--log", "1", *more]
    return dispatch(["train", stage, "--config", "toy", *options])


def test_a_stage_starts_from_the_one_before_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "geometry-dpo") == 1
    assert "train geometry-sft-art first" in capsys.readouterr().err
    assert run(tmp_path, "geometry-pre") == 0
    weights = tmp_path / "toy" / "geometry-pre" / "weights.safetensors"
    assert f"{weights}: 2 steps, 0 without a finite gradient" in capsys.readouterr().out
    assert (tmp_path / "toy" / "geometry-pre" / "sheets" / "step-00000002.png").is_file()
    before = load_file(weights)
    # Nothing is left to do: the same command changes nothing.
    assert run(tmp_path, "geometry-pre") == 0
    after = load_file(weights)
    assert all((before[n] == after[n]).all() for n in before)
    assert run(tmp_path, "geometry-dpo", "--start", str(weights), "--rate", "1e-5") == 0
    records = [json.loads(line) for line in (tmp_path / "toy" / "geometry-dpo" / "log.jsonl").open()]
    assert max(record["rate"] for record in records if "rate" in record) <= 1e-5


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["pre", "--config", "toy"], "there is no stage 'pre'"),
        (["geometry-pre", "--config", "toy", "--batch", "3", "--accumulate", "2"], "does not split"),
        (["geometry-pre", "--config", "toy", "--start", "nothing"], "which is missing"),
        (["geometry-pre", "--config", "toy", "--rate", "0"], "the learning rate must be positive"),
        (["geometry-pre", "--config", "toy", "--steps", "0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], answer: str
) -> None:
    assert dispatch(["train", *arguments, "--out", str(tmp_path)]) == 1
    assert answer in capsys.readouterr().err
