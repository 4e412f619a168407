"""A compact model with random weights, and its bundles test/bundles/compact (first stage) and test/bundles/both.

    PYTHONPATH=. .venv/bin/python test/support/tiny_compact.py      # writes both; the exporter takes minutes

Its last layer is nearly zero, so that it answers with the classical completion that it is given, and a little noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from sam3d_ros.model.compact.config import CompactGeometryConfig, CompactTextureConfig, PictureConfig
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.train.compact.bundle import write_compact_bundle

CONFIG = CompactGeometryConfig(
    grid=16,
    widths=(4, 8, 16),
    blocks=(1, 1),
    depth=1,
    heads=2,
    picture=PictureConfig(pixels=24, patch=12, width=16, depth=1, heads=2),
)
TEXTURE = CompactTextureConfig(
    coarse=16, fine=24, trunk=8, widths=(4, 8, 16), depth=1, heads=2, picture=CONFIG.picture
)
Network = TypeVar("Network", bound=nn.Module)
BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
SAMPLING = {"steps": 2, "candidates": 2, "seed": 0}


def network() -> CompactGeometry:
    """The first stage; every weight moved by a little noise: none of the zeros that training starts from is left."""
    return _stirred(CompactGeometry(CONFIG))


def texture() -> CompactTexture:
    """The second stage, in the same way."""
    return _stirred(CompactTexture(TEXTURE))


def _stirred(made: Network) -> Network:
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise)
    return made.eval()


def make(folder: Path, second: bool) -> Bundle:
    """Write it into a folder, which gives it its name; `second`: with the second stage."""
    torch.manual_seed(0)
    first, other = network(), texture() if second else None
    return write_compact_bundle(folder, first, other, "0.0.1", SAMPLING, {"data": "none", "steps": 0})


if __name__ == "__main__":
    make(BUNDLES / "compact", second=False)
    make(BUNDLES / "both", second=True)
