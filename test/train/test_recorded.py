"""Steps replayed from a CUDA graph against plain ones, and what cannot be recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import STAGE, batches, loss, network
from torch import Tensor, nn

from sam3d_ros.train import toy_stages
from sam3d_ros.train.journal import read_lines
from sam3d_ros.train.loop import Every, train
from sam3d_ros.train.recorded import WARM, check_recordable
from sam3d_ros.types import InputError

CUDA = torch.device("cuda")


def named_batches(first: int, step: int) -> Iterator[dict[str, Tensor]]:
    for batch in batches(first, step):
        yield {"numbers": batch}


def named_loss(net: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    numbers = batch["numbers"]
    noise = 0.1 * torch.randn(len(numbers), 1, generator=generator, device=numbers.device)
    return {"sum": (net(numbers) - numbers.sum(1, keepdim=True) - noise).square().mean()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_replayed_steps_learn_what_plain_ones_do(tmp_path: Path) -> None:
    """The same batches, noise, dropout and losses, also over a checkpoint in between."""
    steps = WARM + 9
    curves = {}
    for recorded in (False, True):
        folder = tmp_path / str(recorded)
        for upto in (WARM + 4, steps):
            stage = replace(STAGE, steps=upto)
            every = Every(log=1, checkpoint=upto)
            net = network()
            train(stage, net, named_loss, named_batches, folder, every=every, recorded=recorded)
        curves[recorded] = [line["sum"] for line in read_lines(folder / "log.jsonl") if "sum" in line]
    assert len(curves[True]) == steps
    assert curves[True] == pytest.approx(curves[False], rel=1e-3)


def test_what_cannot_be_recorded_is_said() -> None:
    flow = toy_stages.STAGES["geometry-pre"]
    check_recordable(flow, CUDA, 1)
    with pytest.raises(InputError, match="only a CUDA device records steps, this is cpu"):
        check_recordable(flow, torch.device("cpu"), 1)
    with pytest.raises(InputError, match="one micro-batch of one process, not 4"):
        check_recordable(flow, CUDA, 4)
    for name, kind in (("geometry-dpo", "dpo"), ("geometry-distil", "distil")):
        with pytest.raises(InputError, match=f"steps of kind {kind}"):
            check_recordable(toy_stages.STAGES[name], CUDA, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU records")
def test_without_a_gpu_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only a CUDA device"):
        train(STAGE, network(), loss, batches, tmp_path, recorded=True)
    assert not list(tmp_path.iterdir())
