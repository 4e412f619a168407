"""The toy recipe: the published architecture in tiny width on solids that are made on the spot (`toy_data`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sam3d_ros.model.config import (
    ConditionConfig,
    DinoConfig,
    GeometryConfig,
    PointPatchConfig,
    TextureConfig,
)
from sam3d_ros.train.geometry import GeometryNetwork
from sam3d_ros.train.initialise import initialise
from sam3d_ros.train.loop import Batches, Measure, Sheet
from sam3d_ros.train.reader import Reader
from sam3d_ros.train.recipes import Data, Recipe
from sam3d_ros.train.sampling import sample
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.texture import TextureNetwork
from sam3d_ros.train.toy_data import GRID, SIDE, Array, ToyBatches, geometry_batch, occupancy
from sam3d_ros.train.toy_stages import STAGES
from sam3d_ros.types import UInt8

WIDTH = 48
DINO = DinoConfig(image_size=SIDE, width=32, depth=1, heads=2, registers=1)
POINT = PointPatchConfig(image_size=16, width=32, heads=2)
GEOMETRY_CONFIG = (
    ConditionConfig(DINO, POINT, width=WIDTH, hidden=64),
    GeometryConfig(width=WIDTH, depth=2, heads=3, condition_width=WIDTH, grid=GRID),
)
TEXTURE_CONFIG = (
    ConditionConfig(DINO, None, prenorm=True, width=WIDTH, hidden=64),
    TextureConfig(io_channels=16, width=WIDTH, depth=2, heads=3, condition_width=WIDTH),
)
SHOWN = range(10**9, 10**9 + 8)
MEASURED = range(10**9, 10**9 + 32)
"""Numbers of solids that no training reaches."""
Grids = NDArray[np.bool_]


def network(stage: Stage) -> nn.Module:
    """The stage's network."""
    geometry = stage.name.startswith("geometry")
    built = GeometryNetwork(*GEOMETRY_CONFIG) if geometry else TextureNetwork(*TEXTURE_CONFIG)
    initialise(built)
    return built


def batches(stage: Stage, data: Data) -> Batches:
    """New solids in every micro-batch."""
    texture = stage.name.startswith("texture")
    return Reader(ToyBatches(texture, stage.kind == "dpo", data.size), data.workers)


def shapes(network: Any, stage: Stage, numbers: list[int], seed: int = 0) -> tuple[Grids, Grids]:
    """Occupancies (B, 8, 8, 8) of truth and of one sample each, in the steps that the stage is made for."""
    batch = geometry_batch(numbers)
    steps = 4 if stage.kind == "distil" else 25
    made = sample(network, batch, stage, seed, steps)["shape"]
    truth, got = (np.stack([occupancy(x.numpy()) for x in v]) for v in (batch.latents["shape"], made.cpu()))
    return truth, got


def sheet(stage: Stage) -> Sheet | None:
    """A picture with a column per held-out solid: its view, its silhouette from the side, that of a sample."""
    if not stage.name.startswith("geometry"):
        return None

    def draw(network: Any, step: int) -> UInt8:
        truth, got = shapes(network, stage, list(SHOWN))
        views = geometry_batch(list(SHOWN)).inputs["image"].numpy().transpose(0, 2, 3, 1)
        columns = [
            np.concatenate([view[: 8 * (SIDE // 8), : 8 * (SIDE // 8)], *(shadow(g) for g in pair)])
            for view, *pair in zip(views, truth, got, strict=True)
        ]
        return np.asarray(255 * np.clip(np.concatenate(columns, axis=1), 0, 1), np.uint8)

    return draw


def shadow(grid: Grids) -> Array:
    """(8, 8, 8) -> (24, 24, 3) how much of it lies along each ray of the first axis."""
    picture = grid.mean(0).T[::-1].repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)
    return np.repeat(picture[..., None], 3, axis=-1)


def measure(stage: Stage) -> Measure | None:
    """Mean overlap (vIoU) of samples with held-out solids."""
    if not stage.name.startswith("geometry"):
        return None

    def overlap(network: Any, step: int) -> dict[str, float]:
        truth, got = shapes(network, stage, list(MEASURED))
        common, either = ((truth & got).sum((1, 2, 3)), (truth | got).sum((1, 2, 3)))
        return {"viou": float((common / np.maximum(either, 1)).mean())}

    return overlap


RECIPE = Recipe(
    STAGES, network, batches, sheet=lambda stage, *_: sheet(stage), measure=lambda stage, *_: measure(stage)
)
