"""Golden files: tensors recorded from the published implementation with random weights at tiny sizes.

A file holds `w.` weights under published names, `in.` inputs, `mid.` and `out.` results, and a metadata entry "config".
SAM3D_GOLDEN names a folder of such files; the default is the small copy in test/golden. Sizes come from the file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from sam3d_ros.model import config as cfg
from sam3d_ros.model import published

GOLDEN = Path(os.environ.get("SAM3D_GOLDEN") or Path(__file__).parents[1] / "golden")


@dataclass(frozen=True)
class Golden:
    """One golden file, split by kind; names without their prefix."""

    config: dict[str, float]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    mid: dict[str, Tensor]
    out: dict[str, Tensor]

    def load(self, network: str, config: object, prefix: str = "") -> nn.Module:
        """Our network with the file's weights, every name and shape checked."""
        weights = published.to_ours({prefix + n: t for n, t in self.weights.items()}, PAIRS[network])
        module = MODULES[network](config)
        published.check(weights, module.state_dict(), network)
        module.load_state_dict(weights)
        return module.eval()


PAIRS = {n.name: n.pairs for n in published.NETWORKS.values()}
MODULES = {n.name: n.module for n in published.NETWORKS.values()}


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


def assert_close(got: Tensor, want: Tensor, tolerance: float = 2e-5) -> None:
    """Largest difference relative to the largest reference value."""
    assert got.shape == want.shape, f"{tuple(got.shape)} is not {tuple(want.shape)}"
    scale = want.abs().max().item() if want.numel() else 1.0
    error = (got.double() - want.double()).abs().max().item() / max(scale, 1e-12) if want.numel() else 0.0
    assert error <= tolerance, f"relative error {error:.2e}"


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """assert_close(got, want, tolerance=2e-5)."""
    return assert_close


def count(weights: dict[str, Tensor], pattern: str) -> int:
    """Number of blocks below a prefix such as "blocks."."""
    return 1 + max(int(n.split(pattern, 1)[1].split(".")[0]) for n in weights if pattern in n)


def dino_config(g: Golden, prefix: str = "backbone.", size: int | None = None) -> cfg.DinoConfig:
    """Sizes of a DINO from its weights; heads from the metadata, or 16 channels each."""
    w = g.weights
    grid = math.isqrt(w[prefix + "pos_embed"].shape[1] - 1)
    width, patch = w[prefix + "patch_embed.proj.weight"].shape[0], w[prefix + "patch_embed.proj.weight"].shape[2]
    fc1 = w[prefix + "blocks.0.mlp.fc1.weight"].shape[0]
    return cfg.DinoConfig(
        image_size=size or grid * patch,
        patch_size=patch,
        width=width,
        depth=count(w, prefix + "blocks."),
        heads=int(g.config.get("num_heads", width // 16)),
        mlp_ratio=fc1 / width,
        registers=w[prefix + "register_tokens"].shape[1],
    )


def point_config(g: Golden, prefix: str = "") -> cfg.PointPatchConfig:
    """Sizes of a point patch encoder from its weights."""
    w = g.weights
    _, width, grid, _ = w[prefix + "pos_embed"].shape
    patch = math.isqrt(w[prefix + "pos_embed_window"].shape[1] - 1)
    ratio = w[prefix + "blocks.0.mlp.fc1.weight"].shape[0] / width
    return cfg.PointPatchConfig(grid * patch, patch, width, int(g.config.get("num_heads", 16)), ratio)
