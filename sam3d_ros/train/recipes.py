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

Config = Literal["toy", "nano", "compact", "published"]


@dataclass(frozen=True)
class Data:
    """How batches are to be made. folders: of the data, where there are any; size: samples of a micro-batch; workers:
    processes that make them; validation: folder of data that are not trained on; resident: examples that stay on the
    device, 0 for batches that come from the disk."""

    folders: tuple[Path, ...]
    size: int
    workers: int
    seed: int
    validation: Path | None = None
    resident: int = 0


@dataclass(frozen=True)
class Recipe:
    """network(stage): with the weights that training begins with. batches(stage, data). loss(stage, reference):
    reference is a frozen network, of a dpo stage the one it starts from, otherwise that of `base`. sheet and measure:
    of a stage, its data and its reference, None for none.

    base(stage): a network of another stage on whose results this one builds, None for none. inherit(network, base):
    what a network without weights takes over from it.
    """

    stages: Table
    network: Callable[[Stage], nn.Module]
    batches: Callable[[Stage, Data], Batches]
    loss: Callable[[Stage, nn.Module | None], Loss] = objective
    sheet: Callable[[Stage, Data, nn.Module | None], Sheet | None] = lambda *_: None
    measure: Callable[[Stage, Data, nn.Module | None], Measure | None] = lambda *_: None
    base: Callable[[Stage], nn.Module | None] = lambda _: None
    inherit: Callable[[nn.Module, nn.Module], None] = lambda *_: None


def recipe(config: Config) -> Recipe:
    """Raises InputError for a name that is none."""
    if config == "toy":
        from sam3d_ros.train import toy

        return toy.RECIPE
    if config in ("nano", "compact"):
        from sam3d_ros.train.compact import recipe as compact

        return compact.NANO_RECIPE if config == "nano" else compact.COMPACT_RECIPE
    if config == "published":
        from sam3d_ros.train import published

        return published.RECIPE
    raise InputError(f"there is no configuration {config!r}")
