"""Checkpoints that survive a kill at any moment and load without executing code.

    folder/step-00001200/  network.safetensors  ema.safetensors  optimizer.safetensors  state.json

A checkpoint is written into a folder of another name, flushed to the disk, and renamed: a folder named step-... is
whole. The last two stay. Names and tensors are those of one process, whatever number of processes wrote it
(torch.distributed.checkpoint gathers sharded ones), so training may go on with another number.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from sam3d_ros.train.ema import Ema
from sam3d_ros.types import InputError

KEEP = 2
NAME = re.compile(r"step-(\d{8,})")
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True)
class Progress:
    """How far a run is. skipped: steps without a finite gradient. The place in the data and all random numbers follow
    from step and seed, so nothing else has to be kept."""

    step: int = 0
    skipped: int = 0
    seed: int = 0
    stage: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run. With several processes every method is called by all of them."""

    def __init__(self, folder: Path, main: bool = True) -> None:
        self.folder, self.main = folder, main

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None, progress: Progress
    ) -> Path:
        """Write a checkpoint and remove older ones but the last; returns its folder."""
        weights = gathered(network)
        optimizer_state = get_optimizer_state_dict(network, optimizer, options=FULL)
        mean = gathered(network, ema)
        path = self.folder / f"step-{progress.step:08d}"
        if self.main:
            moments, groups = flatten(optimizer_state)
            state = {**asdict(progress), "groups": groups, "ema_count": ema.count if ema else None}
            files = {"network": weights, "optimizer": moments, **({"ema": mean} if ema else {})}
            self._write(path, files, state)
        return path

    def _write(self, path: Path, files: Mapping[str, dict[str, Tensor]], state: Mapping[str, Any]) -> None:
        partial = path.with_name(f".{path.name}.part")
        for left in (*self.folder.glob(".step-*.part"), path):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, tensors in files.items():
            save_file({n: t.contiguous() for n, t in tensors.items()}, partial / f"{name}.safetensors")
        (partial / "state.json").write_text(json.dumps(state))
        for file in partial.iterdir():
            flush(file)
        flush(partial)
        partial.rename(path)
        flush(self.folder)
        for old in self.paths()[:-KEEP]:
            shutil.rmtree(old)

    def paths(self) -> list[Path]:
        """Folders of whole checkpoints, oldest first."""
        return sorted(
            (
                p
                for p in self.folder.glob("step-*")
                if NAME.fullmatch(p.name) and (p / "state.json").is_file()
            ),
            key=lambda p: int(p.name[5:]),
        )

    def load(self, network: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None) -> Progress | None:
        """Put the newest checkpoint back; None where there is none. Raises InputError where one is damaged or belongs
        to another network."""
        paths = self.paths()
        if not paths:
            return None
        path = paths[-1]
        try:
            state = json.loads((path / "state.json").read_text())
            progress = Progress(**{k: state[k] for k in Progress.__dataclass_fields__})
            # Only the main process reads; the others get theirs from it.
            files = ("network", "optimizer", *(["ema"] if ema else []))
            found: dict[str, dict[str, Any]]
            found = {name: load_file(path / f"{name}.safetensors") if self.main else {} for name in files}
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); remove it to go on from an earlier one"
            ) from None
        if self.main:
            check(network, found["network"], path)
        if ema is not None:
            # By way of the network, which knows how its parameters are shared out between processes.
            spread(network, found["ema"])
            ema.restart(network, int(state["ema_count"]))
        spread(network, found["network"])
        moments = unflatten(found["optimizer"], state["groups"]) if self.main else {}
        set_optimizer_state_dict(network, optimizer, moments, options=from_main())
        return progress


def spread(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give every process its part of the main one's weights. Called by all of them."""
    set_model_state_dict(network, dict(weights), options=from_main())


def from_main() -> StateDictOptions:
    """Only the main process has the state to be set."""
    return StateDictOptions(full_state_dict=True, broadcast_from_rank0=torch.distributed.is_initialized())


def gathered(network: nn.Module, ema: Ema | None = None) -> dict[str, Tensor]:
    """All weights on the CPU, of a network that may be shared out between processes; the mean ones with `ema`.

    Empty for the processes other than the main one. Called by all of them.
    """
    with ema.applied(network) if ema else nullcontext():
        state: Mapping[str, Any] = get_model_state_dict(network, options=FULL)
        # Without sharding these are the parameters themselves, which the end of `applied` overwrites.
        return {n: t.detach().clone() for n, t in state.items()}


def flatten(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimizer's state by parameter names -> tensors named "exp_avg:block.weight", and the groups for JSON."""
    tensors = {
        f"{moment}:{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, moments in state["state"].items()
        for moment, value in moments.items()
    }
    return tensors, [dict(group) for group in state["param_groups"]]


def unflatten(tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """What `flatten` took apart."""
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        moment, _, name = key.partition(":")
        state.setdefault(name, {})[moment] = value
    return {"state": state, "param_groups": groups}


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Weights alone, in one step; metadata goes into the file's header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    save_file({n: t.contiguous() for n, t in weights.items()}, partial, dict(metadata))
    flush(partial)
    partial.replace(path)
    flush(path.parent)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Raises InputError where the file is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} holds no weights ({error})") from None


def load_weights(network: nn.Module, path: Path, partial: bool = False) -> None:
    """Put the weights of `save_weights` into a network that is not distributed yet. partial: some may be missing.

    Raises InputError where the file is missing, damaged, or of another network.
    """
    state = read_weights(path)
    own = {n: t for n, t in network.state_dict().items() if n not in state} if partial else {}
    check(network, {**own, **state}, path)
    network.load_state_dict({**own, **state})


def check(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError where names or shapes of a state are not those of the network."""
    own: Mapping[str, Any] = get_model_state_dict(network)
    expected = {n: tuple(t.shape) for n, t in own.items()}
    given = {n: tuple(t.shape) for n, t in state.items()}
    wrong = [n for n in {**expected, **given} if expected.get(n) != given.get(n)]
    if wrong:
        n = wrong[0]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"{path} is of another network: {n} is {given.get(n)}, not {expected.get(n)}{more}")


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
