"""The trained compact model as a bundle: graphs for the robot, weights for whoever trains on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.runtime.bundle import About, Bundle, write_bundle
from sam3d_ros.train.compact.export import export_geometry, export_texture

LICENCE = "Apache-2.0"
DESCRIPTION = "Our own small model, trained by this package: tabletop objects on a CPU."
BATCH = {"batch": (1, 4, 64)}


def write_compact_bundle(
    folder: Path,
    geometry: CompactGeometry,
    texture: CompactTexture | None,
    version: str,
    sampling: Mapping[str, Any],
    training: Mapping[str, Any],
) -> Bundle:
    """Write graphs, weights (fp16) and manifest into `folder`; returns the bundle as a reader sees it.

    sampling: entries of compact.model.Sampling. Without `texture` the bundle has the first stage only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = geometry.config
    graphs = export_geometry(geometry, folder)
    networks: dict[str, nn.Module] = {"geometry": geometry}
    if texture is not None:
        graphs |= export_texture(texture, folder)
        networks["texture"] = texture
    weights = {name: f"{name}.safetensors" for name in networks}
    for name, network in networks.items():
        save_file(
            {k: v.detach().half().contiguous() for k, v in network.state_dict().items()},
            folder / weights[name],
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
        **({} if texture is None else {"fine": texture.config.fine, "texture_gain": texture.config.gain}),
    }
    about = About(folder.name, version, DESCRIPTION, LICENCE, training, settings)
    return write_bundle(folder, about, graphs, weights, dict.fromkeys(graphs, (BATCH,)))
