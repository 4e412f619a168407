"""The published sizes as a recipe: 1.2 billion parameters in the flow of geometry and its condition, on latents from a
folder (`latent_folder`)."""

from __future__ import annotations

from torch import nn

from sam3d_ros.model.config import ConditionConfig, GeometryConfig, TextureConfig
from sam3d_ros.train.geometry import GeometryNetwork
from sam3d_ros.train.initialise import initialise
from sam3d_ros.train.latent_folder import latent_batches
from sam3d_ros.train.loop import Batches
from sam3d_ros.train.published_stages import GEOMETRY, STAGES
from sam3d_ros.train.reader import Reader
from sam3d_ros.train.recipes import Data, Recipe
from sam3d_ros.train.stages import Stage
from sam3d_ros.train.texture import TextureNetwork
from sam3d_ros.types import InputError

GEOMETRY_CONFIG = (ConditionConfig(), GeometryConfig())
TEXTURE_CONFIG = (ConditionConfig(point=None, prenorm=True), TextureConfig())


def network(stage: Stage) -> nn.Module:
    """The stage's network, on torch's default device; `with torch.device("meta")` makes it without memory."""
    built = GeometryNetwork(*GEOMETRY_CONFIG) if stage.name in GEOMETRY else TextureNetwork(*TEXTURE_CONFIG)
    initialise(built)
    return built


def batches(stage: Stage, data: Data) -> Batches:
    """Raises InputError without a folder, or where it lacks a set of the stage."""
    if len(data.folders) != 1:
        raise InputError(f"{stage.name} needs --data, one folder of latents (docs/training.md)")
    (folder,) = data.folders
    config = GEOMETRY_CONFIG[1]
    shapes = {name: (config.tokens[name], channels) for name, channels in config.channels.items()}
    return Reader(latent_batches(folder, stage, data.size, shapes, data.seed), data.workers)


RECIPE = Recipe(STAGES, network, batches)
