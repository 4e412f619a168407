"""The networks of the published release: which file holds them, how they are built, read and checked.

`.ckpt` and `.safetensors` are read without running code; every name and shape is checked.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from . import config as cfg
from . import published_names as names
from .condition import ConditionEmbedder
from .decode_gaussian import GaussianDecoder
from .decode_mesh import MeshDecoder
from .geometry import GeometryFlow
from .occupancy import OccupancyDecoder, OccupancyEncoder
from .published_names import CheckpointError, Pairs, some, to_ours
from .slat_trunk import SlatEncoder
from .texture import TextureFlow


@dataclass(frozen=True)
class Network:
    """One network of the release: where its tensors lie, their names, and how to build our module."""

    name: str
    file: str
    prefix: str
    pairs: Pairs
    config: Any
    module: type[nn.Module]

    def build(self, config: Any = None) -> nn.Module:
        """Our module with the published sizes, or with those of `config`."""
        return self.module(self.config if config is None else config)


_GEOMETRY = ("ss_generator", "_base_models.generator.")
_GEOMETRY_CONDITION = ("ss_generator", "_base_models.condition_embedder.")
_TEXTURE = ("slat_generator", "_base_models.generator.")
_TEXTURE_CONDITION = ("slat_generator", "_base_models.condition_embedder.")

NETWORKS: dict[str, Network] = {
    name: Network(name, *place, pairs, config, module)
    for name, place, pairs, config, module in (
        ("geometry_condition", _GEOMETRY_CONDITION, names.CONDITION,
         cfg.ConditionConfig(), ConditionEmbedder),
        ("geometry", _GEOMETRY, names.GEOMETRY, cfg.GeometryConfig(), GeometryFlow),
        ("occupancy_decoder", ("ss_decoder", ""), names.OCCUPANCY, cfg.OccupancyConfig(), OccupancyDecoder),
        ("occupancy_encoder", ("ss_encoder", ""), names.OCCUPANCY, cfg.OccupancyConfig(), OccupancyEncoder),
        ("texture_condition", _TEXTURE_CONDITION, names.CONDITION,
         cfg.ConditionConfig(point=None, prenorm=True), ConditionEmbedder),
        ("texture", _TEXTURE, names.TEXTURE, cfg.TextureConfig(), TextureFlow),
        ("mesh_decoder", ("slat_decoder_mesh", ""), names.MESH, cfg.MeshDecoderConfig(), MeshDecoder),
        ("gaussian_decoder", ("slat_decoder_gs", ""), names.GAUSSIAN,
         cfg.GaussianDecoderConfig(), GaussianDecoder),
        ("gaussian_decoder_4", ("slat_decoder_gs_4", ""), names.GAUSSIAN,
         cfg.GaussianDecoderConfig(per_voxel=4), GaussianDecoder),
        ("slat_encoder", ("slat_encoder", ""), names.SLAT_ENCODER, cfg.SlatEncoderConfig(), SlatEncoder),
    )
}  # fmt: skip
"""Our name -> network. The encoders are for training and need not be in a download."""


def check(state: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    """Every expected name with its shape and nothing else, or CheckpointError with the differences."""
    missing = [n for n in expected if n not in state]
    extra = [n for n in state if n not in expected]
    wrong = [
        f"{n} is {list(state[n].shape)}, expected {list(expected[n].shape)}"
        for n in expected
        if n in state and tuple(state[n].shape) != tuple(expected[n].shape)
    ]
    found = [("missing", missing), ("unexpected", extra), ("wrong shape", wrong)]
    if any(names for _, names in found):
        parts = "; ".join(f"{kind}: {some(names)}" for kind, names in found if names)
        raise CheckpointError(f"{what}: {parts}")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a published `.ckpt`/`.pt` or a `.safetensors` file by name, memory-mapped, without running
    code.

    A Lightning-style file keeps its tensors below "state_dict"; others are bare. Raises CheckpointError for a
    file that holds something else than tensors.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path}: damaged or no safetensors file ({error})") from error
    try:
        # Only the zip format can be mapped; older pickles are read whole.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint of tensors alone ({error})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: holds no state dict")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def select(state: Mapping[str, Tensor], network: Network, where: str) -> dict[str, Tensor]:
    """One network's tensors out of a checkpoint under our names, complete and with the published shapes."""
    own = {n.removeprefix(network.prefix): t for n, t in state.items() if n.startswith(network.prefix)}
    if not own:
        raise CheckpointError(f"{where}: no tensor begins with {network.prefix}")
    ours = to_ours(own, network.pairs)
    with torch.device("meta"):
        expected = network.build().state_dict()
    check(ours, expected, f"{where}, {network.name}")
    return ours
