"""A compact model with random weights, and the bundle of it in test/bundles/compact.

    PYTHONPATH=. .venv/bin/python test/support/tiny_compact.py      # writes the bundle; the exporter takes a minute

Its last layer is nearly zero, so that it answers with the classical completion that it is given, and a little noise.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sam3d_ros.model.compact.config import CompactGeometryConfig, PictureConfig
from sam3d_ros.model.compact.geometry import CompactGeometry
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
FOLDER = Path(__file__).resolve().parents[1] / "bundles" / "compact"
SAMPLING = {"steps": 2, "candidates": 2, "seed": 0}


def network() -> CompactGeometry:
    """Every weight moved by a little noise: none of the zeros that training starts from is left."""
    made = CompactGeometry(CONFIG)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise)
    return made.eval()


def make(folder: Path) -> Bundle:
    """Write it into a new folder, which gives it its name."""
    torch.manual_seed(0)
    return write_compact_bundle(folder, network(), "0.0.1", SAMPLING, {"data": "none", "steps": 0})


if __name__ == "__main__":
    make(FOLDER)
