"""Samples per second of training the compact networks on one core, in fp32 and in bf16, with random data.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/train_step.py [--batch 16] [--steps 4]

Forward pass, backward pass and optimiser, as `sam3d train --config nano` does them; CPU seconds of this process. The
texture stage's step holds the frozen geometry model's answer too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sam3d_ros.model.compact.config import NANO, NANO_TEXTURE
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.geometry_loss import geometry_loss
from sam3d_ros.train.compact.recipe import fast_on_cpu
from sam3d_ros.train.compact.stages import STAGES
from sam3d_ros.train.compact.texture_loss import texture_loss
from sam3d_ros.train.loop import arithmetic

Terms = dict[str, Tensor]


def data(size: int) -> dict[str, Tensor]:
    """A batch of noise with the shapes of examples."""
    grid, fine, pixels = [NANO.grid] * 3, [NANO_TEXTURE.fine] * 3, [NANO.picture.pixels] * 2
    shapes = {
        "grid": [NANO.condition, *grid],
        "picture": [NANO.picture.channels, *pixels],
        "globals": [NANO.condition_globals],
        "shape": grid,
        "rotation": [6],
        "translation": [3],
        "scale": [3],
        "has_rotation": [],
        "fine": fine,
        "seen": [4, *grid],
        "colour": [3, *grid],
    }
    return {name: torch.rand(size, *shape) * 2 - 1 for name, shape in shapes.items()}


def rate(network: nn.Module, loss: Callable[[], Terms], bf16: bool, size: int, steps: int) -> float:
    """Samples per CPU second."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)

    def step() -> None:
        with arithmetic(torch.device("cpu"), bf16):
            terms = loss()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    step()
    start = time.process_time()
    for _ in range(steps):
        step()
    return steps * size / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batch, generator = data(arguments.batch), torch.Generator().manual_seed(0)
    geometry, texture = CompactGeometry(NANO), CompactTexture(NANO_TEXTURE)
    for network in (geometry, texture):
        fast_on_cpu(network)
    losses: dict[str, tuple[nn.Module, Callable[[], Terms]]] = {
        "geometry": (geometry, lambda: geometry_loss(STAGES["geometry-pre"], geometry, batch, generator)),
        "texture": (
            texture,
            lambda: texture_loss(STAGES["texture-pre"], texture, geometry, batch, generator),
        ),
    }
    for name, (network, loss) in losses.items():
        plain, half = (rate(network, loss, b, arguments.batch, arguments.steps) for b in (False, True))
        print(f"{name:9s} fp32 {plain:5.1f} samples/s, bf16 {half:5.1f} ({half / plain:.2f} times as fast)")


if __name__ == "__main__":
    main()
