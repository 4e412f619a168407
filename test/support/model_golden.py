"""Golden files: tensors recorded from the published implementation with random weights at tiny sizes.

A file holds `w.` weights under published names, `in.` inputs, `mid.` and `out.` results, and a metadata entry
"config". SAM3D_GOLDEN names a folder of such files; the default is the small copy in test/golden. Sizes come
from the file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from sam3d_ros.model import config as cfg
from sam3d_ros.model import published
from sam3d_ros.model import published_names as names
from sam3d_ros.model.dino import Dino
from sam3d_ros.model.point_patch import PointPatch

GOLDEN = Path(os.environ.get("SAM3D_GOLDEN") or Path(__file__).parents[1] / "golden")


@dataclass(frozen=True)
class Golden:
    """One golden file, split by kind; names without their prefix."""

    config: dict[str, float]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    mid: dict[str, Tensor]
    out: dict[str, Tensor]

    def load(self, network: str, config: Any, pairs: names.Pairs = ()) -> Any:
        """Our network with the file's weights, every name and shape checked."""
        known = published.NETWORKS.get(network)
        pairs, module = (known.pairs, known.module) if known else (pairs, PARTS[network])
        weights = names.to_ours(self.weights, pairs)
        net = module(config)
        published.check(weights, net.state_dict(), network)
        net.load_state_dict(weights)
        return net.eval()

    def size(self, name: str, axis: int = 0) -> int:
        """One side of a weight."""
        return self.weights[name].shape[axis]

    def blocks(self, prefix: str) -> int:
        """Number of blocks below a prefix such as "blocks."."""
        return 1 + max(int(n[len(prefix) :].split(".")[0]) for n in self.weights if n.startswith(prefix))

    def dino(self, prefix: str = "backbone.") -> cfg.DinoConfig:
        """Sizes of a DINO; heads from the metadata, or 16 channels each."""
        grid = math.isqrt(self.size(prefix + "pos_embed", 1) - 1)
        width, patch = (self.size(prefix + "patch_embed.proj.weight", axis) for axis in (0, 2))
        return cfg.DinoConfig(
            image_size=grid * patch,
            patch_size=patch,
            width=width,
            depth=self.blocks(prefix + "blocks."),
            heads=int(self.config.get("num_heads", width // 16)),
            mlp_ratio=self.size(prefix + "blocks.0.mlp.fc1.weight") / width,
            registers=self.size(prefix + "register_tokens", 1),
        )

    def point(self, prefix: str = "") -> cfg.PointPatchConfig:
        """Sizes of a pointmap encoder; 16 heads unless the metadata says otherwise."""
        width, grid = self.size(prefix + "pos_embed", 1), self.size(prefix + "pos_embed", 2)
        patch = math.isqrt(self.size(prefix + "pos_embed_window", 1) - 1)
        ratio = self.size(prefix + "blocks.0.mlp.fc1.weight") / width
        heads = int(self.config.get("num_heads", 16)) if not prefix else 16
        return cfg.PointPatchConfig(grid * patch, patch, width, heads, ratio)

    def trunk(self, grid: int, heads: int | None = None, window: int | None = None) -> cfg.SlatTrunkConfig:
        """Sizes of a voxel trunk; the metadata's heads and window where it names them, else those given."""
        width = self.size("input_layer.weight")
        return cfg.SlatTrunkConfig(
            in_channels=self.size("input_layer.weight", 1),
            width=width,
            depth=self.blocks("blocks."),
            heads=int(self.config.get("heads", heads or 0)),
            mlp_ratio=self.size("blocks.0.mlp.mlp.0.weight") / width,
            window=int(self.config.get("window", window or 0)),
            grid=int(self.config.get("res", grid)),
        )


PARTS = {"dino": Dino, "point_patch": PointPatch}


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    """Read a golden file by name; skips where the folder does not hold it."""

    def read(name: str) -> Golden:
        path = GOLDEN / f"{name}.safetensors"
        if not path.exists():
            pytest.skip(f"{path.name} is not in {GOLDEN}")
        parts: dict[str, dict[str, Tensor]] = {"w": {}, "in": {}, "mid": {}, "out": {}}
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            for key in file.keys():  # noqa: SIM118
                kind, rest = key.split(".", 1)
                tensor = file.get_tensor(key)
                parts[kind][rest] = tensor.float() if tensor.dtype == torch.float16 else tensor
        return Golden(config, *parts.values())

    return read


def assert_close(got: Tensor, want: Tensor, tolerance: float = 2e-5, scale: float | None = None) -> None:
    """Largest difference relative to the largest reference value, or to `scale`."""
    assert got.shape == want.shape, f"{tuple(got.shape)} is not {tuple(want.shape)}"
    scale = scale or (want.abs().max().item() if want.numel() else 1.0)
    error = (got.double() - want.double()).abs().max().item() / max(scale, 1e-12) if want.numel() else 0.0
    assert error <= tolerance, f"relative error {error:.2e}"


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The folder of golden files."""
    return GOLDEN


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """assert_close(got, want, tolerance=2e-5)."""
    return assert_close


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with every parameter random and none degenerate, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        if p.dim() > 1:
            fan_in = p[0].numel()
            p.data = torch.randn(p.shape, generator=generator) / max(fan_in, 1) ** 0.5
        else:
            p.data = 0.2 * torch.randn(p.shape, generator=generator) + ("bias" not in name)
    return module.eval()


TRUNK = cfg.SlatTrunkConfig(width=48, depth=3, heads=3, grid=16, window=8)
TINY = {
    "geometry_condition": cfg.ConditionConfig(
        dino=cfg.DinoConfig(image_size=56, width=48, depth=2, heads=3),
        point=cfg.PointPatchConfig(image_size=32, width=32, heads=4),
        width=48,
        hidden=64,
    ),
    "texture_condition": cfg.ConditionConfig(
        dino=cfg.DinoConfig(image_size=56, width=48, depth=2, heads=3),
        point=None,
        prenorm=True,
        width=48,
        hidden=64,
    ),
    "geometry": cfg.GeometryConfig(width=64, depth=2, heads=4, condition_width=48, grid=4),
    "occupancy_decoder": cfg.OccupancyConfig(channels=(32, 16, 8)),
    "occupancy_encoder": cfg.OccupancyConfig(channels=(32, 16, 8)),
    "texture": cfg.TextureConfig(io_channels=16, width=64, depth=2, heads=4, condition_width=48),
    "mesh_decoder": cfg.MeshDecoderConfig(trunk=TRUNK, channels=(32, 16), norm_groups=8),
    "gaussian_decoder": cfg.GaussianDecoderConfig(trunk=TRUNK, per_voxel=4),
    "slat_encoder": cfg.SlatEncoderConfig(
        trunk=cfg.SlatTrunkConfig(in_channels=24, width=48, depth=3, heads=3, grid=16, window=8)
    ),
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Any]:
    """tiny("geometry", **changes): a small randomised network by its published-network name."""

    def build(name: str, seed: int = 0, **changes: Any) -> nn.Module:
        network = published.NETWORKS[name]
        return randomised(network.module(dataclasses.replace(TINY[name], **changes)), seed)

    return build


@pytest.fixture(scope="session")
def shell() -> Callable[..., NDArray[np.int32]]:
    """shell(seed, side, batch): voxel lists of bumpy sphere shells, rows [batch, x, y, z] in lexicographic
    order.
    """

    def build(seed: int = 0, side: int = 12, batch: int = 1) -> NDArray[np.int32]:
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        parts = []
        for b in range(batch):
            radius = np.linalg.norm(grid + 0.5 - side / 2, axis=1) / side + rng.normal(0, 0.02, len(grid))
            xyz = grid[(radius > 0.3) & (radius < 0.4 + 0.02 * b)]
            parts.append(np.column_stack([np.full(len(xyz), b), xyz]))
        return np.concatenate(parts).astype(np.int32)

    return build
