"""The trained compact model as a bundle: graphs for the robot, weights for whoever trains on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.runtime.bundle import About, Bundle, write_bundle
from sam3d_ros.train.compact.export import export_geometry

LICENCE = "Apache-2.0"
DESCRIPTION = "Our own small model, trained by this package: tabletop objects on a CPU."
BATCH = {"batch": (1, 4, 64)}


def write_compact_bundle(
    folder: Path,
    geometry: CompactGeometry,
    version: str,
    sampling: Mapping[str, Any],
    training: Mapping[str, Any],
) -> Bundle:
    """Write graphs, weights and manifest into `folder`; returns the bundle as a reader sees it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = geometry.config
    graphs = export_geometry(geometry, folder)
    weights = {"geometry": "geometry.safetensors"}
    save_file(
        {k: v.detach().contiguous() for k, v in geometry.state_dict().items()}, folder / weights["geometry"]
    )
    settings = {
        "grid": config.grid,
        "picture": config.picture.pixels,
        "shape_gain": config.shape_gain,
        "layout": {
            name: {"mean": list(config.layout_mean[name]), "std": list(config.layout_std[name])}
            for name in LAYOUT
        },
        "sampling": dict(sampling),
    }
    about = About(folder.name, version, DESCRIPTION, LICENCE, training, settings)
    return write_bundle(folder, about, graphs, weights, {name: (BATCH,) for name in graphs})
