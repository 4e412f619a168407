"""Samples whose latents were made beforehand: what the published configuration trains on.

    folder/<set>/<anything>.safetensors   one sample each:
        latent.shape (4096, 8)   latent.rotation (1, 6)  ...     those that are missing have no label
        loser.shape              for preference stages
        view.image (3, S, S)     view.mask (1, S, S)  view.pointmap (3, S, S)  ...  (`model.preprocess`)
        coords (N, 3) int32      texture only: the voxels, with latent.slat (N, 8)

Shape latents come from the occupancy encoder, structured latents from the SLAT encoder, views from
`model.preprocess`, layout latents from `model.pose_codec.encode`.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sam3d_ros.data.sets.pool import shuffled
from sam3d_ros.model.texture import texture_tables
from sam3d_ros.train.mixture import Mixture
from sam3d_ros.train.objective import Batch
from sam3d_ros.train.stages import Stage
from sam3d_ros.types import InputError

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class LatentSet:
    """The samples of one set's folder by index, shuffled anew with every pass."""

    paths: Sequence[Path]
    seed: int = 0

    def __call__(self, index: int) -> Tensors:
        """Raises InputError where the file cannot be read."""
        turn, within = divmod(index, len(self.paths))
        path = self.paths[shuffled(within, len(self.paths), self.seed + turn)]
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} is no sample: {error}") from None


@dataclass(frozen=True)
class LatentBatches:
    """Micro-batch by number, of `size` samples. shapes: (tokens, channels) of every latent that takes part."""

    samples: Mixture[Tensors]
    size: int
    shapes: Mapping[str, tuple[int, int]]

    def __call__(self, number: int) -> Batch:
        return together([self.samples(number * self.size + i) for i in range(self.size)], self.shapes)


def latent_batches(
    folder: Path, stage: Stage, size: int, shapes: Mapping[str, tuple[int, int]], seed: int = 0
) -> LatentBatches:
    """Raises InputError where a set of the stage's mix has no samples in the folder."""
    sets = {name: LatentSet(sorted((folder / name).glob("*.safetensors")), seed) for name in stage.mix}
    empty = [name for name, found in sets.items() if not found.paths]
    if empty:
        raise InputError(f"{stage.name} reads {', '.join(empty)}: no {folder / empty[0]}/*.safetensors")
    return LatentBatches(Mixture(sets, stage.mix), size, shapes)


def together(samples: Sequence[Tensors], shapes: Mapping[str, tuple[int, int]]) -> Batch:
    """Samples as one batch. A latent that a sample lacks has no label there."""
    views = [{n.removeprefix("view."): t for n, t in s.items() if n.startswith("view.")} for s in samples]
    inputs = {name: torch.stack([v[name].float() for v in views]) for name in views[0]}
    pairs = any(name.startswith("loser.") for name in samples[0])
    if "coords" in samples[0]:
        return _voxels(samples, inputs, pairs)

    def stacked(prefix: str, name: str) -> Tensor:
        nothing = torch.zeros(shapes[name])
        return torch.stack(
            [s.get(f"{prefix}.{name}", nothing).float().reshape(shapes[name]) for s in samples]
        )

    latents = {name: stacked("latent", name) for name in shapes}
    labels = {name: torch.tensor([f"latent.{name}" in s for s in samples]) for name in shapes}
    # A pair differs in what was judged; the rest is the winner's.
    loser = {**latents, **{n: stacked("loser", n) for n in shapes if f"loser.{n}" in samples[0]}}
    return Batch(latents, labels, inputs, loser if pairs else None)


def _voxels(samples: Sequence[Tensors], inputs: Tensors, pairs: bool) -> Batch:
    lengths = [len(s["coords"]) for s in samples]
    owner = torch.repeat_interleave(torch.arange(len(samples)), torch.tensor(lengths))
    coords = torch.cat([s["coords"] for s in samples]).numpy()
    numbered = np.concatenate([owner.numpy()[:, None], coords], axis=1)
    return Batch(
        latents={"slat": torch.cat([s["latent.slat"].float() for s in samples])},
        labels={},
        inputs=inputs,
        loser={"slat": torch.cat([s["loser.slat"].float() for s in samples])} if pairs else None,
        rows=("slat",),
        owner=owner,
        beside=texture_tables(numbered),
    )
