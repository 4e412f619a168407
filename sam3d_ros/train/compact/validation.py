"""Numbers and pictures of the compact networks on scenes that are not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam3d_ros.model.compact.geometry import COLUMN, CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.batches import count
from sam3d_ros.train.compact.conditions import Without
from sam3d_ros.train.compact.geometry_loss import geometry_task, shape_error
from sam3d_ros.train.compact.preference_loss import overlap
from sam3d_ros.train.compact.store import Arrays, examples_of, scene_files, unquantised
from sam3d_ros.train.compact.task import sampled
from sam3d_ros.train.compact.texture_loss import colour_error, first_answer, texture_task
from sam3d_ros.train.stages import Stage

EXAMPLES = 192
AT_ONCE = 16
STEPS = 4
SEED = 0


@dataclass(frozen=True)
class Held:
    """Up to `most` examples of a folder, evenly spread over its scenes, as they are stored."""

    arrays: Arrays = field(repr=False)

    @staticmethod
    def of(folder: Path, fine: bool, most: int = EXAMPLES) -> Held:
        """Raises InputError where there are none."""
        places = [(path, i) for path in scene_files((folder,), fine) for i in range(count(path))]
        chosen = [places[i] for i in np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)]
        parts: dict[str, list[Any]] = {}
        for path in dict.fromkeys(path for path, _ in chosen):
            own = [i for other, i in chosen if other == path]
            for name, array in examples_of(path, fine).items():
                parts.setdefault(name, []).append(array[own])
        return Held({name: np.concatenate(p) for name, p in parts.items()})

    def batches(self, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Batches of AT_ONCE examples."""
        for at in range(0, len(self.arrays["has_rotation"]), AT_ONCE):
            own = slice(at, at + AT_ONCE)
            yield {
                name: torch.from_numpy(unquantised(name, array[own])).to(device)
                for name, array in self.arrays.items()
            }


def told(stage: Stage, steps: int) -> float:
    """The step size that a network is told at run time."""
    return 1 / steps if stage.kind == "distil" else 0.0


def geometry_numbers(
    stage: Stage, held: Held, network: CompactGeometry, seen: Without = dict
) -> dict[str, float]:
    """iou_1, error_1: grid IoU and Huber error after one step from noise; iou_4, error_4: after STEPS of them;
    iou_completion: of the classical completion that the network begins with. seen: what is left of the examples
    (`conditions`)."""
    numbers: dict[str, list[Tensor]] = {}
    generator = seeded(network)
    for batch in held.batches(generator.device):
        task = geometry_task(stage.weights, network, seen(batch))
        truth = batch["shape"]
        numbers.setdefault("iou_completion", []).append(overlap(batch["grid"][:, COLUMN], truth))
        for steps, step in ((1, 0.0), (STEPS, told(stage, STEPS))):
            answer = sampled(task, steps, step, generator)["shape"] / network.config.shape_gain
            numbers.setdefault(f"iou_{steps}", []).append(overlap(answer[:, 0], truth))
            numbers.setdefault(f"error_{steps}", []).append(shape_error(answer, truth[:, None]))
    return {name: float(torch.cat(values).mean()) for name, values in numbers.items()}


def texture_numbers(
    stage: Stage, held: Held, network: CompactTexture, geometry: CompactGeometry
) -> dict[str, float]:
    """iou_1, iou_4: of the fine grid; colour_1, colour_4: mean error of the colours near the surface, of -1 .. 1.
    iou_before, colour_before: the same for what the network begins with."""
    numbers: dict[str, list[Tensor]] = {}
    generator = seeded(network)

    def note(name: str, distance: Tensor, colour: Tensor) -> None:
        off = colour_error(colour, batch["colour"], batch["shape"])
        numbers.setdefault(f"iou_{name}", []).append(overlap(distance[:, 0], batch["fine"]))
        numbers.setdefault(f"colour_{name}", []).append(off)

    for batch in held.batches(generator.device):
        coarse = first_answer(geometry.to(generator.device), batch, generator)
        note("before", network.fine(coarse), batch["seen"][:, :3])
        task = texture_task(stage.weights, network, batch, coarse)
        for steps, step in ((1, 0.0), (STEPS, told(stage, STEPS))):
            answer = sampled(task, steps, step, generator)
            gain = network.config.gain
            note(str(steps), answer["distance"] / gain, answer["colour"] / gain)
    return {name: float(torch.cat(values).mean()) for name, values in numbers.items()}


def seeded(network: torch.nn.Module) -> torch.Generator:
    """The same noise at every measurement, where the network is."""
    return torch.Generator(next(network.parameters()).device).manual_seed(SEED)
