# mypy: disable-error-code="no-any-return,no-untyped-call"
"""The whole of SAM 3D in torch: picture, masks, pointmap to layouts, meshes, Gaussians. The plain reference.

    networks = Networks.load(Path("converted"), device="cuda")
    inputs = [geometry_inputs(rgb, mask, pointmap) for mask in masks]
    shapes = infer_geometry(networks, inputs, FAST)
    textured = infer_texture(networks, [texture_inputs(rgb, mask) for mask in masks], shapes)
    meshes = [decode_mesh(networks, t) for t in textured]

All objects of a frame go through the flows as one batch. Faster engines replace the networks one by one; what
happens between them is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import flow, pose_codec, tables, voxels
from .condition import ConditionEmbedder
from .config import SLAT_MEAN, SLAT_STD
from .convert import load
from .decode_gaussian import GaussianDecoder
from .decode_mesh import MeshDecoder, cube_coords
from .flexicubes import SurfaceMesh, extract
from .gaussians import Gaussians
from .geometry import GeometryFlow
from .occupancy import OccupancyDecoder, occupied
from .preprocess import Array, GeometryInputs
from .slat_trunk import window_pair
from .texture import TextureFlow, texture_tables

Stop = Callable[[], bool]
Seed = int | torch.Generator
"""Where noise comes from. One generator on the networks' device, handed to both stages, draws as the release does:
the texture's noise goes on in the stream of the geometry's."""


@dataclass(frozen=True)
class Networks:
    """Every network of the inference, on one device."""

    geometry_condition: ConditionEmbedder
    geometry: GeometryFlow
    occupancy_decoder: OccupancyDecoder
    texture_condition: ConditionEmbedder
    texture: TextureFlow
    mesh_decoder: MeshDecoder
    gaussian_decoder: GaussianDecoder

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Networks:
        """From a folder written by `sam3d convert`; raises CheckpointError where something is missing."""
        loaded: dict[str, Any] = {name: load(folder, name, device) for name in cls.__annotations__}
        return cls(**loaded)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.geometry.time_embed.fc1.weight.device


@dataclass(frozen=True)
class Sampling:
    """How both flows are sampled. `distilled` feeds the step size to the geometry model, without guidance."""

    geometry_steps: int = 25
    geometry_rescale: float = 3.0
    geometry_guidance: flow.Guidance = flow.Guidance(7.0)  # noqa: RUF009 (frozen)
    distilled: bool = False
    texture_steps: int = 25
    texture_guidance: flow.Guidance = flow.Guidance(1.0)  # noqa: RUF009 (frozen)


PUBLISHED = Sampling()
"""The release's settings: 44 + 38 passes."""
FAST = replace(
    PUBLISHED, geometry_steps=4, distilled=True, texture_steps=4, texture_guidance=flow.Guidance(0.0)
)
"""Shortcut geometry and few unguided texture steps: 4 + 4 passes."""


@dataclass(frozen=True)
class Geometry:
    """Coarse shape and pose of one object.

    coords (N, 4): rows [0, x, y, z] of the occupied shell at 64^3. layout: see `pose_codec`.
    """

    coords: NDArray[np.int32]
    layout: pose_codec.Layout


@dataclass(frozen=True)
class Textured:
    """Structured latent of one object: coords (N, 4) rows [0, x, y, z] and slat (N, 8), not normalised."""

    coords: NDArray[np.int32]
    slat: Tensor


@torch.no_grad()
def embed(embedder: ConditionEmbedder, views: list[dict[str, Array]], same_frame: bool = True) -> Tensor:
    """Condition tokens (B, T, C) of several objects; their common frame's full picture is encoded once."""
    device = embedder.positions.device
    tokens = {}
    for name in embedder.views:
        shared = same_frame and name == "rgb_image"
        stack = np.stack([v[name] for v in (views[:1] if shared else views)])
        tokens[name] = embedder.embed(name, torch.from_numpy(stack).to(device))
        if shared:
            tokens[name] = tokens[name].expand(len(views), -1, -1)
    return embedder.join(tokens)


@torch.no_grad()
def infer_geometry(
    networks: Networks,
    inputs: list[GeometryInputs],
    sampling: Sampling = PUBLISHED,
    seed: Seed = 42,
    noise: flow.State | None = None,
    should_stop: Stop | None = None,
) -> list[Geometry]:
    """Shapes and poses of the objects of one frame; an object may come out empty (no occupied voxel).

    noise: latents by name (see `flow`), instead of the seed. Raises Cancelled when should_stop says so.
    """
    net, device, b = networks.geometry, networks.device, len(inputs)
    context = net.prepare(embed(networks.geometry_condition, [i.views for i in inputs]))
    if noise is None:
        generator = _generator(seed, device)
        shapes = {n: (b, net.config.tokens[n], c) for n, c in net.config.channels.items()}
        noise = flow.draw_noise(shapes, partial(torch.randn, generator=generator, device=device))

    def conditional(x: flow.State, t: float, d: float) -> flow.State:
        return net(x, _filled(b, t, device), _filled(b, d, device), context)

    def unconditional(x: flow.State, t: float, d: float) -> flow.State:
        return net(x, _filled(b, t, device), _filled(b, d, device), None)

    times = flow.time_steps(sampling.geometry_steps, sampling.geometry_rescale)
    if sampling.distilled:
        step = 1 / sampling.geometry_steps
        x = flow.sample(conditional, noise, times, step, should_stop=should_stop)
    else:
        velocity = flow.guided(conditional, unconditional, sampling.geometry_guidance)
        x = flow.sample(velocity, noise, times, should_stop=should_stop)

    results = []
    for i, given in enumerate(inputs):
        own = {n: v[i : i + 1] for n, v in x.items()}
        logits = networks.occupancy_decoder.from_tokens(own["shape"])
        coords, factor = voxels.downsample(voxels.prune_interior(occupied(logits).cpu().numpy()))
        latents = {n: own[n].float().cpu().numpy() for n in ("rotation", "translation", "scale")}
        layout = pose_codec.decode(latents, given.scene_scale, given.scene_shift)
        results.append(Geometry(coords, layout.rescaled(factor)))
    return results


@torch.no_grad()
def infer_texture(
    networks: Networks,
    views: list[dict[str, Array]],
    shapes: list[Geometry],
    sampling: Sampling = PUBLISHED,
    seed: Seed = 42,
    noise: Tensor | None = None,
    should_stop: Stop | None = None,
) -> list[Textured]:
    """Structured latents on the voxels of the first stage, all objects at once.

    views: from `preprocess.texture_inputs`. noise (sum of N, 8) instead of the seed. No shape may be empty.
    """
    net, device, b = networks.texture, networks.device, len(shapes)
    parts = [s.coords + np.array([i, 0, 0, 0], np.int32) for i, s in enumerate(shapes)]
    coords = np.concatenate(parts)
    index = texture_tables(coords, device)
    context = net.prepare(embed(networks.texture_condition, views))
    if noise is None:
        generator = _generator(seed, device)
        noise = torch.randn(len(coords), net.config.channels, generator=generator, device=device)

    def conditional(x: flow.State, t: float, d: float) -> flow.State:
        return {"slat": net(x["slat"], _filled(b, t, device), index, context)}

    def unconditional(x: flow.State, t: float, d: float) -> flow.State:
        return {"slat": net(x["slat"], _filled(b, t, device), index, None)}

    velocity = flow.guided(conditional, unconditional, sampling.texture_guidance)
    times = flow.time_steps(sampling.texture_steps, dtype=np.float32)
    x = flow.sample(velocity, {"slat": noise}, times, should_stop=should_stop)["slat"]
    slat = x * x.new_tensor(SLAT_STD) + x.new_tensor(SLAT_MEAN)
    pieces = slat.split([len(p) for p in parts])
    return [Textured(s.coords, piece) for s, piece in zip(shapes, pieces, strict=True)]


@torch.no_grad()
def decode_mesh(networks: Networks, textured: Textured) -> SurfaceMesh:
    """Mesh of one object in its cube [-0.5, 0.5]^3, z up."""
    net, device = networks.mesh_decoder, networks.device
    config = net.config.trunk
    xyz = torch.from_numpy(textured.coords[:, 1:]).long().to(device)
    windows = window_pair(textured.coords, config.window, device)
    near = torch.from_numpy(tables.neighbour_table(textured.coords)).to(device)
    channels = net(textured.slat, xyz, windows, near)
    levels = len(net.upsample)
    return extract(channels, cube_coords(xyz, levels), config.grid << levels)


@torch.no_grad()
def decode_gaussians(networks: Networks, textured: Textured) -> Gaussians:
    """Gaussians of one object in its cube [-0.5, 0.5]^3, z up."""
    net, device = networks.gaussian_decoder, networks.device
    xyz = torch.from_numpy(textured.coords[:, 1:]).long().to(device)
    windows = window_pair(textured.coords, net.config.trunk.window, device)
    return net.gaussians(net(textured.slat, xyz, windows), xyz)


def _generator(seed: Seed, device: torch.device) -> torch.Generator:
    """The generator itself, or a fresh one of that seed."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator(device).manual_seed(seed)


def _filled(b: int, value: float, device: torch.device) -> Tensor:
    """A time or step size for every object."""
    return torch.full((b,), value, dtype=torch.float32, device=device)
