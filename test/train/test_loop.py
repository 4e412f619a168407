"""The loop on a network of a few numbers: resuming, stopping, what is not finite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import STAGE, batches, loss, network, stopping_at
from torch import Tensor, nn

from sam3d_ros.train.checkpoint import Checkpoints
from sam3d_ros.train.journal import read_lines
from sam3d_ros.train.loop import Diverged, Every, Precision, train
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.stopping import StopSignal
from sam3d_ros.types import InputError

EACH = Every(log=1, sheet=4, checkpoint=4)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def losses(folder: Path) -> dict[int, float]:
    return {int(line["step"]): line["sum"] for line in read_lines(folder / "log.jsonl") if "sum" in line}


def test_it_learns_and_leaves_weights_curves_and_sheets(tmp_path: Path) -> None:
    seen = []

    def sheet(net: nn.Module, step: int) -> np.ndarray:
        seen.append((step, net.training, torch.is_grad_enabled(), next(net.parameters()).detach().clone()))
        return np.full((4, 6, 3), (10, 20, 30), np.uint8)

    stage = replace(STAGE, steps=60, weight_decay=0.0)
    net = network()
    result = train(
        stage,
        net,
        loss,
        batches,
        tmp_path,
        sheet=sheet,
        measure=lambda _net, step: {"checked": float(step)},
        every=Every(log=1, sheet=30, checkpoint=20),
    )
    found = losses(tmp_path)
    assert list(found) == list(range(1, 61))
    assert np.mean([found[s] for s in range(51, 61)]) < 0.3 * np.mean([found[s] for s in range(1, 6)])
    assert result.weights is not None
    assert [step for step, *_ in seen] == [30, 60]
    assert seen[0][1:3] == (False, False)
    # The sheet saw the mean weights, which are what is shipped; the network goes on with its own.
    shipped = load_file(result.weights)["0.weight"]
    assert torch.equal(seen[-1][3], shipped)
    assert not torch.equal(next(net.parameters()), shipped)
    picture = cv2.imread(str(tmp_path / "sheets" / "step-00000030.png"))
    assert picture[0, 0].tolist() == [30, 20, 10]
    assert [p.name for p in Checkpoints(tmp_path / "checkpoints").paths()] == [
        "step-00000040",
        "step-00000060",
    ]
    assert [line["checked"] for line in read_lines(tmp_path / "log.jsonl") if "checked" in line] == [30, 60]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_products_in_half_precision_learn_nearly_the_same(tmp_path: Path) -> None:
    """Weights and moments stay fp32; the fused kernel for attention is put aside on CPUs."""
    kernels: list[bool] = []

    def attentive(net: Any, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        kernels.append(torch.backends.cuda.flash_sdp_enabled())
        rows = net[0].weight[None, None]
        seen = torch.nn.functional.scaled_dot_product_attention(rows, rows, rows)
        return {**loss(net, batch, generator), "seen": seen.square().mean()}

    found: list[list[float]] = []
    for precision in PRECISIONS:
        net, folder = network(), tmp_path / precision
        train(replace(STAGE, steps=8), net, attentive, batches, folder, every=EACH, precision=precision)
        assert all(p.dtype == torch.float32 for p in net.parameters())
        found.append([line["loss"] for line in read_lines(folder / "log.jsonl") if "loss" in line])
    assert found[0] != found[1]
    np.testing.assert_allclose(found[1], found[0], rtol=0.05)
    assert kernels == [True] * 8 + [False] * 8


@pytest.mark.timeout(600)
def test_killed_while_it_writes_it_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    """SIGKILL as soon as the fourth checkpoint is being written; what is whole then is what the next run reads."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    child = subprocess.Popen(
        [sys.executable, small_training.__file__, str(killed), "12"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    kept = Checkpoints(killed / "checkpoints")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and child.poll() is None:
        done = kept.paths()
        if done and int(done[-1].name[5:]) >= 3 and list(kept.folder.glob(".step-*.part")):
            break
        time.sleep(0.0005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    last = int(kept.paths()[-1].name[5:])
    assert 3 <= last < 12
    # Half a checkpoint that looks newer must not be read either.
    partial = kept.folder / ".step-00000099.part"
    partial.mkdir()
    (partial / "state.json").write_text("{}")

    def run(folder: Path) -> dict[int, float]:
        train(STAGE, network(1 << 16), loss, batches, folder, every=Every(log=1, checkpoint=6))
        return losses(folder)

    resumed, unbroken = run(killed), run(whole)
    assert list(resumed) == list(unbroken) == list(range(1, 13))
    for step in unbroken:
        assert resumed[step] == pytest.approx(unbroken[step], rel=1e-5)
    assert not partial.exists()
    one, other = (load_file(f / "weights.safetensors") for f in (killed, whole))
    for name in other:
        assert torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-6)


def test_asked_to_end_it_saves_and_goes_on_exactly(tmp_path: Path) -> None:
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    before = signal.getsignal(signal.SIGTERM)
    result = train(STAGE, network(), loss, stopping_at(4, batches), stopped, every=EACH)
    assert (result.step, result.weights) == (5, None)
    assert signal.getsignal(signal.SIGTERM) is before
    train(STAGE, network(), loss, batches, stopped, every=EACH)
    train(STAGE, network(), loss, batches, whole, every=EACH)
    assert losses(stopped) == losses(whole)
    one, other = (load_file(f / "weights.safetensors") for f in (stopped, whole))
    assert all(torch.equal(one[n], other[n]) for n in other)


def test_a_second_ctrl_c_acts_at_once() -> None:
    # A shell starts what it runs in the background deaf to Ctrl-C; this is about a process that hears it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_micro_batches_of_a_step_add_up_to_their_mean(tmp_path: Path) -> None:
    """One step of two micro-batches is one step of their mean loss, written out with plain SGD-free torch."""
    stage = replace(STAGE, steps=1, warmup=1, ema=None, clip=1e9)
    plain = nn.Linear(4, 1)
    trained = nn.Linear(4, 1)
    trained.load_state_dict(plain.state_dict())

    def error(net: nn.Module, batch: Tensor, _generator: torch.Generator) -> dict[str, Tensor]:
        return {"sum": (net(batch) - batch.sum(1, keepdim=True)).square().mean()}

    train(stage, trained, error, batches, tmp_path, accumulate=2, every=EACH)
    optimizer = torch.optim.AdamW(plain.parameters(), stage.learning_rate, stage.betas, weight_decay=0)
    reader = batches(0, 1)
    both = torch.cat([next(reader), next(reader)])
    error(plain, both, torch.Generator())["sum"].backward()
    optimizer.step()
    assert torch.allclose(trained.weight, plain.weight, atol=1e-6)


def spoilt(bad: set[int]) -> object:
    """Batches of which some hold a NaN."""

    def read(first: int, step: int) -> Iterator[Tensor]:
        for batch in batches(first, step):
            yield batch * float("nan") if first in bad else batch
            first += step

    return read


def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path: Path) -> None:
    result = train(STAGE, network(), loss, spoilt({3, 4, 8}), tmp_path, every=EACH, patience=3)  # type: ignore[arg-type]
    assert result.skipped == 3
    assert result.weights is not None
    assert all(torch.isfinite(t).all() for t in load_file(result.weights).values())
    assert sorted(set(range(1, 13)) - losses(tmp_path).keys()) == [4, 5, 9]


def test_many_in_a_row_end_the_run_with_the_place_of_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"3 steps in a row up to step 8 .*sum nan.*step-00000004"):
        train(STAGE, network(), loss, spoilt(set(range(5, 12))), tmp_path, every=EACH, patience=3)  # type: ignore[arg-type]
    kept = Checkpoints(tmp_path / "checkpoints").paths()
    assert kept[-1].name == "step-00000004"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    train(STAGE, network(), loss, batches, tmp_path, every=EACH)
    with pytest.raises(InputError, match="seed 0, not 1"):
        train(STAGE, network(), loss, batches, tmp_path, seed=1)
    with pytest.raises(InputError, match="holds stage small, not other"):
        train(replace(STAGE, name="other"), network(), loss, batches, tmp_path)
    with pytest.raises(InputError, match="another network"):
        train(replace(STAGE, steps=20), network(9), loss, batches, tmp_path)
    with pytest.raises(InputError, match="no parameter begins with 'nobody'"):
        train(replace(STAGE, frozen=("nobody",)), network(), loss, batches, tmp_path)


def test_more_steps_go_on_and_say_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(STAGE, network(), loss, batches, tmp_path, every=EACH)
    first = load_file(tmp_path / "weights.safetensors")
    longer: Stage = replace(STAGE, steps=16)
    assert train(longer, network(), loss, batches, tmp_path, every=EACH).step == 16
    assert "steps: 12 -> 16" in capsys.readouterr().out
    assert not torch.equal(first["0.weight"], load_file(tmp_path / "weights.safetensors")["0.weight"])
    assert list(losses(tmp_path)) == list(range(1, 17))


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    net = network()
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    train(replace(STAGE, frozen=("0.",)), net, loss, batches, tmp_path, every=EACH)
    moved = {n: not torch.equal(p, before[n]) for n, p in net.named_parameters()}
    assert moved == {"0.weight": False, "0.bias": False, "3.weight": True, "3.bias": True}


def test_data_that_end_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="end before micro-batch 1"):
        train(STAGE, network(), loss, lambda first, step: iter([torch.zeros(8, 4)]), tmp_path)
