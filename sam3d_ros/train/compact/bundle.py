"""The trained compact model as a bundle: graphs for the robot, weights for whoever trains on.

python -m sam3d_ros.train.compact.bundle engines/compact    # its graphs anew, from its own weights
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors.torch import save_file
from torch import nn

from sam3d_ros.model.compact.config import COMPACT, COMPACT_TEXTURE, LAYOUT, NANO, NANO_TEXTURE
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.runtime.bundle import About, Bundle, read_bundle, write_bundle
from sam3d_ros.train.compact.export import export_geometry, export_texture
from sam3d_ros.types import InputError

LICENCE = "Apache-2.0"
DESCRIPTION = "Our own small model, trained by this package: tabletop objects on a CPU."
BATCH = {"batch": (1, 4, 64)}
CONFIGS = {"nano": (NANO, NANO_TEXTURE), "compact": (COMPACT, COMPACT_TEXTURE)}
"""Both stages by the name of their size, `training.config` of a manifest."""


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
    networks: dict[str, nn.Module] = {"geometry": geometry}
    if texture is not None:
        networks["texture"] = texture
    weights = {name: f"{name}.safetensors" for name in networks}
    for name, network in networks.items():
        save_file(
            {k: v.detach().half().contiguous() for k, v in network.state_dict().items()},
            folder / weights[name],
        )
        (folder / weights[name]).chmod(0o644)  # safetensors keeps its files to the user
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
    return _write_graphs(folder, about, geometry, texture, weights)


def renew(folder: tyro.conf.Positional[Path]) -> None:
    """Write the graphs of a bundle anew from its weights, and its manifest with the new hashes. Raises InputError where
    the manifest does not say that the model is of a size in CONFIGS.

    Args:
        folder: of the bundle.
    """
    bundle = read_bundle(folder)
    settings, size = bundle.about.settings, str(bundle.about.training.get("config"))
    if size not in CONFIGS:
        raise InputError(f"{folder}: training.config of its manifest is {size}, not {' or '.join(CONFIGS)}")
    first, second = CONFIGS[size]
    geometry = CompactGeometry(replace(first, shape_gain=float(settings["shape_gain"])))
    _fill(geometry, bundle, "geometry")
    texture = None
    if "texture" in bundle.weights:
        texture = CompactTexture(replace(second, gain=float(settings["texture_gain"])))
        _fill(texture, bundle, "texture")
    weights = {name: file.name for name, file in bundle.weights.items()}
    made = _write_graphs(folder, bundle.about, geometry, texture, weights)
    print(f"{folder}: {len(made.graphs)} graphs, {made.bytes / 1e6:.1f} MB")


def _write_graphs(
    folder: Path,
    about: About,
    geometry: CompactGeometry,
    texture: CompactTexture | None,
    weights: Mapping[str, str],
) -> Bundle:
    """The graphs, and the manifest that goes with them and with the files `weights` that are there."""
    graphs = export_geometry(geometry, folder / weights["geometry"])
    if texture is not None:
        graphs |= export_texture(texture, folder / weights["texture"])
    return write_bundle(folder, about, graphs, weights, dict.fromkeys(graphs, (BATCH,)))


def _fill(network: nn.Module, bundle: Bundle, name: str) -> None:
    network.load_state_dict({key: torch.from_numpy(value) for key, value in bundle.tensors(name).items()})


if __name__ == "__main__":
    tyro.cli(renew)
