"""The compact model as a recipe of `sam3d train`: `nano` trains on a CPU in hours, `compact` on one GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from sam3d_ros.model.compact.config import (
    COMPACT,
    COMPACT_TEXTURE,
    NANO,
    NANO_TEXTURE,
    CompactGeometryConfig,
    CompactTextureConfig,
)
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.batches import SceneBatches
from sam3d_ros.train.compact.geometry_loss import geometry_loss
from sam3d_ros.train.compact.preference_loss import preference_loss
from sam3d_ros.train.compact.resident import ResidentBatches
from sam3d_ros.train.compact.sheets import ROWS, geometry_sheet, texture_sheet
from sam3d_ros.train.compact.stages import GPU_STAGES, STAGES
from sam3d_ros.train.compact.texture_loss import texture_loss
from sam3d_ros.train.compact.validation import Held, geometry_numbers, texture_numbers
from sam3d_ros.train.loop import Batches, Measure, Sheet
from sam3d_ros.train.objective import Loss
from sam3d_ros.train.recipes import Data, Recipe
from sam3d_ros.train.stages import Stage, Table
from sam3d_ros.types import InputError


def compact_recipe(stages: Table, geometry: CompactGeometryConfig, texture: CompactTextureConfig) -> Recipe:
    """Data, losses and pictures for networks of these sizes."""

    def network(stage: Stage) -> nn.Module:
        return fast_on_cpu(CompactTexture(texture) if refines(stage) else CompactGeometry(geometry))

    def base(stage: Stage) -> nn.Module | None:
        return fast_on_cpu(CompactGeometry(geometry)) if refines(stage) else None

    return Recipe(stages, network, batches, loss, sheet, measure, base, inherit)


def refines(stage: Stage) -> bool:
    """Whether it is a stage of texture & refinement."""
    return stage.name.startswith("texture")


def inherit(network: nn.Module, base: nn.Module) -> None:
    """A new texture model sees pictures as the trained geometry model does."""
    assert isinstance(network, CompactTexture)
    assert isinstance(base, CompactGeometry)
    network.picture.load_state_dict(base.picture.state_dict())


def fast_on_cpu(network: nn.Module) -> nn.Module:
    """Weights of convolutions with channels last: twice as fast on a CPU, and the same numbers."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def batches(stage: Stage, data: Data) -> Batches:
    """Raises InputError without a folder."""
    if not data.folders:
        raise InputError(
            f"{stage.name} needs --data, folders of training scenes (sam3d train-data fills them)"
        )
    fine = refines(stage)
    if data.resident:
        device = PartialState().device
        return ResidentBatches(data.folders, data.size, data.seed, data.resident, device, fine, stage.mix)
    return SceneBatches(data.folders, data.size, data.seed, fine, stage.mix, data.workers)


def loss(stage: Stage, reference: nn.Module | None) -> Loss:
    """reference: the model before the stage for dpo, the geometry model for texture. It moves to where the data are."""
    frozen: Any = None if reference is None else reference.requires_grad_(False).eval()

    def of(network: Any, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        if frozen is None:
            return geometry_loss(stage, network, batch, generator)
        there = frozen.to(generator.device)
        if refines(stage):
            return texture_loss(stage, network, there, batch, generator)
        return preference_loss(stage, network, there, batch, generator)

    return of


def measure(stage: Stage, data: Data, reference: nn.Module | None) -> Measure | None:
    """Numbers on the validation folder, where there is one."""
    if data.validation is None:
        return None
    held, frozen = Held.of(data.validation, refines(stage)), reference

    def of(network: Any, step: int) -> dict[str, float]:
        if isinstance(network, CompactTexture):
            assert isinstance(frozen, CompactGeometry)
            return texture_numbers(stage, held, network, frozen)
        return geometry_numbers(stage, held, network)

    return of


def sheet(stage: Stage, data: Data, reference: nn.Module | None) -> Sheet | None:
    """Pictures of the same folder."""
    if data.validation is None:
        return None
    held, frozen = Held.of(data.validation, refines(stage), most=ROWS), reference

    def of(network: Any, step: int) -> Any:
        if isinstance(network, CompactTexture):
            assert isinstance(frozen, CompactGeometry)
            return texture_sheet(stage, held, network, frozen)
        return geometry_sheet(stage, held, network)

    return of


NANO_RECIPE = compact_recipe(STAGES, NANO, NANO_TEXTURE)
COMPACT_RECIPE = compact_recipe(GPU_STAGES, COMPACT, COMPACT_TEXTURE)
