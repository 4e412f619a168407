"""A training that takes a second, for tests in this process and in others.

python small_training.py FOLDER STEPS              # one process, a checkpoint after every step
torchrun --nproc-per-node 2 small_training.py FOLDER   # the stages of `SHARED` in two
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam3d_ros.train import toy
from sam3d_ros.train.loop import Batches, Every, Result, train
from sam3d_ros.train.recipes import Data
from sam3d_ros.train.stages import Stage

STAGE = Stage(
    "small", {"numbers": 1.0}, (), {"sum": 1.0}, steps=12, batch=8, learning_rate=1e-2, warmup=2, ema=0.9
)
SHARED = {"geometry-swap": False, "geometry-distil": True}
"""Stages of the toy that two processes run, and whether sharded (FSDP)."""
SHARED_STEPS, SHARED_SIZE = 4, 4


def network(width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, 1))


def loss(network: nn.Module, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Of the sum of four numbers, with noise from the generator and dropout from torch's own."""
    noise = 0.1 * torch.randn(len(batch), 1, generator=generator)
    return {"sum": (network(batch) - batch.sum(1, keepdim=True) - noise).square().mean()}


def batches(first: int, step: int) -> Iterator[Tensor]:
    while True:
        yield torch.randn(8, 4, generator=torch.Generator().manual_seed(first))
        first += step


def stopping_at(number: int, of: Batches) -> Batches:
    """The same batches; the process is asked to end while it reads this one."""

    def read(first: int, step: int) -> Iterator[Any]:
        for batch in of(first, step):
            if first == number:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch
            first += step

    return read


def shared(name: str, folder: Path, accumulate: int, sharded: bool, stop: int | None = None) -> Result:
    """A stage of the toy; micro-batches of SHARED_SIZE, two to a step."""
    stage = toy.STAGES[name]
    stage = replace(stage, steps=SHARED_STEPS, batch=2 * SHARED_SIZE, warmup=1, ema=0.5, clip=0.1)
    made = toy.batches(stage, Data((), SHARED_SIZE, 0, 0))
    # Each process begins elsewhere: all must go on from the first one's weights.
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    built = toy.network(stage)
    reader = made if stop is None else stopping_at(stop, made)
    loss_fn = toy.RECIPE.loss(stage, None)
    every = Every(log=1, sheet=SHARED_STEPS, checkpoint=SHARED_STEPS)
    sheet = toy.sheet(stage)
    return train(
        stage,
        built,
        loss_fn,
        reader,
        folder / name,
        sheet=sheet,
        every=every,
        accumulate=accumulate,
        sharded=sharded,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    if "RANK" not in os.environ:
        stage = replace(STAGE, steps=int(sys.argv[2]))
        # Wide, so that a checkpoint takes a while to write.
        train(stage, network(1 << 16), loss, batches, folder, every=Every(log=1, checkpoint=1))
        return
    for name, sharded in SHARED.items():
        if sharded:
            # Stopped by one of the two after the second step, and begun again.
            assert shared(name, folder, 1, sharded, stop=3).weights is None
        shared(name, folder, 1, sharded)


if __name__ == "__main__":
    main()
