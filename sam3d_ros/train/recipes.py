"""What `sam3d train --config` chooses between: stages, networks, data and pictures that belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from sam3d_ros.train.loop import Batches, Measure, Sheet
from sam3d_ros.train.objective import Loss, objective
from sam3d_ros.train.stages import Stage, Table
from sam3d_ros.types import InputError

Config = Literal["toy", "published"]


@dataclass(frozen=True)
class Data:
    """How batches are to be made. folder: of the data, where there is one; size: samples of a micro-batch; workers:
    processes that make them."""

    folder: Path | None
    size: int
    workers: int
    seed: int


@dataclass(frozen=True)
class Recipe:
    """network(stage): with the weights that training begins with. batches(stage, data). loss(stage, reference):
    reference is the frozen network of a dpo stage. sheet and measure: of a stage, None for none."""

    stages: Table
    network: Callable[[Stage], nn.Module]
    batches: Callable[[Stage, Data], Batches]
    loss: Callable[[Stage, nn.Module | None], Loss] = objective
    sheet: Callable[[Stage], Sheet | None] = lambda _: None
    measure: Callable[[Stage], Measure | None] = lambda _: None


def recipe(config: Config) -> Recipe:
    """Raises InputError for a name that is none."""
    if config == "toy":
        from sam3d_ros.train import toy

        return toy.RECIPE
    if config == "published":
        from sam3d_ros.train import published

        return published.RECIPE
    raise InputError(f"there is no configuration {config!r}")
