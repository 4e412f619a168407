"""`sam3d train`: one stage of a configuration, from the weights of the stage before it. Starts without torch."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam3d_ros.types import InputError

if TYPE_CHECKING:
    from torch import nn

    from sam3d_ros.train.loop import Precision
    from sam3d_ros.train.recipes import Config, Recipe
    from sam3d_ros.train.stages import Stage


@dataclass(frozen=True)
class Options:
    """What the command line says beside stage and configuration; see `cli.train`."""

    out: Path
    start: Path | None = None
    geometry: Path | None = None
    data: tuple[Path, ...] = ()
    validation: Path | None = None
    steps: int | None = None
    batch: int | None = None
    rate: float | None = None
    accumulate: int = 1
    workers: int = 0
    resident: int = 0
    seed: int = 0
    compiled: bool = False
    recorded: bool = False
    sharded: bool = False
    precision: Precision = "auto"
    log: int = 50
    sheets: int = 1000
    checkpoints: int = 1000


def run(stage: str, config: Config, options: Options) -> int:
    """Train; returns the exit code: 0 done, 1 something is not as it should be, 130 stopped with a checkpoint."""
    try:
        from sam3d_ros.train.loop import Diverged
    except ModuleNotFoundError as error:
        print(
            f"sam3d train: no module {error.name}: pip install -r requirements/model.txt -r requirements/train.txt",
            file=sys.stderr,
        )
        return 1
    try:
        return train_stage(stage, config, options)
    except (InputError, Diverged) as error:
        print(f"sam3d train: {error}", file=sys.stderr)
        return 1


def train_stage(name: str, config: Config, options: Options) -> int:
    """The stage `name` into options.out / config / name. Raises InputError and Diverged."""
    import torch

    from sam3d_ros.train.loop import Every, train
    from sam3d_ros.train.recipes import Data, recipe
    from sam3d_ros.train.stages import find

    chosen = recipe(config)
    stage = find(chosen.stages, name)
    asked: dict[str, Any] = {"steps": options.steps, "batch": options.batch, "learning_rate": options.rate}
    stage = replace(stage, **{name: value for name, value in asked.items() if value is not None})
    torch.manual_seed(options.seed)
    folder = options.out / config
    network = begin(chosen, stage, folder, options.start)
    reference = frozen(chosen, stage, folder, options)
    if reference is not None and options.start is None and previous(chosen, stage) is None:
        chosen.inherit(network, reference)
    size = micro_batch(stage, options.accumulate, int(os.environ.get("WORLD_SIZE", "1")))
    data = Data(options.data, size, options.workers, options.seed, options.validation, options.resident)
    result = train(
        stage,
        network,
        chosen.loss(stage, reference),
        chosen.batches(stage, data),
        folder / name,
        sheet=chosen.sheet(stage, data, reference),
        measure=chosen.measure(stage, data, reference),
        every=Every(options.log, options.sheets, options.checkpoints),
        accumulate=options.accumulate,
        seed=options.seed,
        compiled=options.compiled,
        recorded=options.recorded,
        sharded=options.sharded,
        precision=options.precision,
    )
    if result.weights is None:
        return 130
    print(f"{result.weights}: {result.step} steps, {result.skipped} without a finite gradient")
    return 0


def begin(chosen: Recipe, stage: Stage, folder: Path, start: Path | None) -> nn.Module:
    """The stage's network with the weights it starts from: `start`, or the result of the stage before.

    Only a first stage may start from nothing, or from a file that holds a part of the weights (image encoders).
    Raises InputError.
    """
    from sam3d_ros.train.checkpoint import load_weights
    from sam3d_ros.train.loop import WEIGHTS

    before = previous(chosen, stage)
    network = chosen.network(stage)
    path = start or (folder / before / WEIGHTS if before else None)
    if path is None:
        return network
    if not path.exists():
        raise InputError(
            f"{stage.name} starts from {path}, which is missing: train {before} first, or give --start"
        )
    load_weights(network, path, partial=before is None)
    return network


def frozen(chosen: Recipe, stage: Stage, folder: Path, options: Options) -> nn.Module | None:
    """The network that a stage looks up to: of a dpo stage the one it starts from, of a texture stage that builds on a
    geometry model that model, with the weights of `options.geometry` or of the last geometry stage that is done.

    Raises InputError where there are none.
    """
    from sam3d_ros.train.checkpoint import load_weights
    from sam3d_ros.train.loop import WEIGHTS

    if stage.kind == "dpo":
        return begin(chosen, stage, folder, options.start)
    base = chosen.base(stage)
    if base is None:
        return None
    results = [folder / name / WEIGHTS for name in chosen.stages if name.startswith("geometry")]
    path = options.geometry or next((p for p in reversed(results) if p.exists()), None)
    if path is None:
        raise InputError(
            f"{stage.name} builds on a geometry model: train one in {folder}, or give --geometry"
        )
    load_weights(base, path)
    return base


def previous(chosen: Recipe, stage: Stage) -> str | None:
    """The stage before it among those of the same network, whose names begin with the same word."""
    kin = [name for name in chosen.stages if name.partition("-")[0] == stage.name.partition("-")[0]]
    place = kin.index(stage.name)
    return kin[place - 1] if place else None


def micro_batch(stage: Stage, accumulate: int, processes: int) -> int:
    """Samples of a micro-batch. Raises InputError where the stage's batch cannot be split evenly."""
    parts = accumulate * processes
    if stage.batch % parts:
        raise InputError(
            f"{stage.name}: a batch of {stage.batch} does not split into {accumulate} micro-batches on each of "
            f"{processes} processes"
        )
    return stage.batch // parts
