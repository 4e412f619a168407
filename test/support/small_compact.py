"""Compact networks in tiny width, and balls and boxes as examples for them, made without rendering."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from tiny_compact import CONFIG as GEOMETRY
from torch import Tensor, nn

from sam3d_ros.model.compact.config import CompactTextureConfig
from sam3d_ros.train.compact.store import pack, save
from sam3d_ros.types import Float

TEXTURE = CompactTextureConfig(
    coarse=16, fine=24, trunk=8, widths=(4, 8, 16), depth=1, heads=2, picture=GEOMETRY.picture
)


def examples(count: int, seed: int = 0, fine: bool = False) -> list[dict[str, Float]]:
    """Solids in a box of 16 cells of which the camera, which looks along x, sees the near half: as `example` and
    `fine_example` make them. Every other one has no rotation."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(count):
        centre, size = rng.uniform(-0.15, 0.15, 3), rng.uniform(0.4, 0.8, 3)
        ball = rng.random() < 0.5
        shape = distances(16, centre, size, ball)
        solid = shape > 0
        seen = np.maximum.accumulate(solid, axis=0) & solid & (np.arange(16)[:, None, None] < 8)
        grid = np.stack([seen, ~seen, shape * seen, np.where(seen, 1.0, -1.0), shape * 0 + ball, seen])
        paint = rng.uniform(-1, 1, 3)
        entry = {
            "grid": grid,
            "picture": np.concatenate(
                [np.broadcast_to(paint[:, None, None], (3, 24, 24)), rng.uniform(-1, 1, (5, 24, 24))]
            ),
            "globals": rng.normal(size=6),
            "shape": shape,
            "translation": centre / 2,
            "scale": np.log(size),
            "rotation": np.array([1.0, 0, 0, 0, 1, 0]) * (n % 2),
            "has_rotation": np.array(float(n % 2)),
        }
        if fine:
            entry["fine"] = distances(24, centre, size, ball)
            entry["colour"] = paint[:, None, None, None] * (np.abs(shape) < 0.6)
            entry["seen"] = np.concatenate([entry["colour"] * seen, seen[None]])
        made.append({name: np.asarray(value, np.float32) for name, value in entry.items()})
    return made


def distances(side: int, centre: Float, size: Float, ball: bool) -> Float:
    """(side, side, side) distances in cells over 3, -1 .. 1, of a solid in the box -1 .. 1."""
    axis = np.linspace(-1, 1, side)
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) - centre
    near = 1 - np.linalg.norm(places / size, axis=-1) if ball else (1 - np.abs(places) / size).min(axis=-1)
    return np.clip(near * size.min() * side / 2 / 3, -1, 1)


def batch(made: list[dict[str, Float]]) -> dict[str, Tensor]:
    """Examples as one batch."""
    return {name: torch.from_numpy(np.stack([e[name] for e in made])) for name in made[0]}


Network = TypeVar("Network", bound=nn.Module)
FINE = ("fine", "colour", "seen")


def write(folder: Path, scenes: int, each: int, fine: bool = False, first: int = 0) -> Path:
    """A training folder of such examples, as `generate` and `fill` leave one."""
    for number in range(first, first + scenes):
        made = examples(each, seed=number, fine=fine)
        name = f"{number:06d}.npz"
        save(folder / "scenes" / name, pack([{k: v for k, v in e.items() if k not in FINE} for e in made]))
        if fine:
            save(folder / "fine" / name, pack([{k: e[k] for k in FINE} for e in made]))
    return folder


def shaken(network: Network, seed: int = 0, by: float = 0.05) -> Network:
    """Every parameter moved a little: layers that begin at zero take part too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += by * torch.randn(parameter.shape, generator=generator)
    return network
