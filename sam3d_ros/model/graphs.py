"""The networks cut into the graphs that engines run: tensors in, tensors out, nothing nested.

A graph ends where its result is used more than once (the condition's keys and values, by every step), where tables are
made from it (the occupied voxels), or where objects share it (the full picture's tokens). `runtime.networks` holds the
same graphs as data: names, dtypes and shapes of inputs and outputs, in the order of these signatures.

Letters: B objects, N voxels, M coarse voxels, T tokens, C channels.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .condition import ConditionEmbedder
from .config import LAYOUT_LATENTS
from .decode_gaussian import GaussianDecoder
from .decode_mesh import MeshDecoder
from .geometry import GeometryContext, GeometryFlow
from .occupancy import OccupancyDecoder
from .slat_trunk import WindowPair
from .texture import TextureFlow, TextureTables


class Graph(nn.Module):
    """A network and the function that is one of its graphs."""

    def __init__(self, name: str, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.call = CALLS[name]

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The function on the network."""
        return self.call(self.net, *inputs)


def view_tokens(net: ConditionEmbedder, view: Tensor, place: Tensor, encoder: str) -> Tensor:
    """Pictures, masks or pointmaps (V, 1 or 3, S, S), place (V,) int64, 0 crop or 1 full frame -> (V, T, C)."""
    return net.encode(encoder, view) + net.positions[place][:, None]


def joined(image: Tensor, rgb_image: Tensor, *others: Tensor) -> Tensor:
    """Tokens of all views in the order of `condition.VIEWS`, (B, T_view, C) each, as one condition (B, T, C).

    rgb_image (1, T_view, C) is the full picture, which all objects of a frame share.
    """
    return torch.cat([image, rgb_image.expand(image.shape[0], -1, -1), *others], dim=1)


def geometry_prepare(net: GeometryFlow, *views: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of the six views -> shape_kv and layout of GeometryContext."""
    shape_kv, layout = net.prepare(joined(*views))
    return shape_kv, layout


def geometry_step(net: GeometryFlow, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Shape and layout latents, t, d and dt (B,), shape_kv, condition -> the velocity of every latent, then every
    latent one Euler step on: x + dt v."""
    names = ("shape", *LAYOUT_LATENTS)
    latents, (t, d, dt, *context) = inputs[: len(names)], inputs[len(names) :]
    v = net(dict(zip(names, latents, strict=True)), t, d, GeometryContext(*context))
    ahead = (x + dt[:, None, None] * v[name] for name, x in zip(names, latents, strict=True))
    return (*(v[name] for name in names), *ahead)


def geometry_unconditional(net: GeometryFlow, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Latents, t and d (B,) -> velocities in the order of the latents: the guidance's second pass."""
    names = ("shape", *LAYOUT_LATENTS)
    v = net(dict(zip(names, inputs, strict=False)), *inputs[len(names) :], None)
    return tuple(v[name] for name in names)


def occupancy(net: OccupancyDecoder, shape: Tensor) -> Tensor:
    """Shape latent (B, grid^3, 8) -> logits (B, 1, R, R, R)."""
    return net.from_tokens(shape)


def texture_prepare(net: TextureFlow, *views: Tensor) -> Tensor:
    """Tokens of the four views -> keys and values (depth, 2, B, H, T, D)."""
    return net.prepare(joined(*views))


def texture_step(
    net: TextureFlow, slat: Tensor, t: Tensor, dt: Tensor, *inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """One object: slat (N, 8), t and dt (1,), its five tables, kv -> velocity (N, 8) and slat + dt velocity."""
    *tables, kv = inputs
    v = net(slat, t, TextureTables(*tables), kv)
    return v, slat + dt * v


def texture_unconditional(net: TextureFlow, slat: Tensor, t: Tensor, *tables: Tensor) -> Tensor:
    """One object: slat (N, 8), t (1,), its five tables -> velocity (N, 8): the guidance's second pass."""
    return net(slat, t, TextureTables(*tables), None)


def mesh_trunk(net: MeshDecoder, slat: Tensor, xyz: Tensor, *windows: Tensor) -> Tensor:
    """slat (N, 8), xyz (N, 3), the four tables of WindowPair -> features (N, C)."""
    return net.trunk(slat, xyz, WindowPair(*windows))


def mesh_heads(net: MeshDecoder, features: Tensor, neighbours: Tensor) -> Tensor:
    """features (N, C), neighbours (N, 27) -> cubes (64 N, 101)."""
    return net.heads(features, neighbours)


def gaussians(net: GaussianDecoder, slat: Tensor, xyz: Tensor, *windows: Tensor) -> Tensor:
    """slat (N, 8), xyz (N, 3), windows -> raw output (N, 14 n), which `GaussianDecoder.gaussians` reads."""
    return net(slat, xyz, WindowPair(*windows))


CALLS: dict[str, Callable[..., Any]] = {
    "geometry_image": partial(view_tokens, encoder="image"),
    "geometry_mask": partial(view_tokens, encoder="mask"),
    "geometry_point": partial(view_tokens, encoder="point"),
    "geometry_prepare": geometry_prepare,
    "geometry_step": geometry_step,
    "geometry_unconditional": geometry_unconditional,
    "occupancy": occupancy,
    "texture_image": partial(view_tokens, encoder="image"),
    "texture_mask": partial(view_tokens, encoder="mask"),
    "texture_prepare": texture_prepare,
    "texture_step": texture_step,
    "texture_unconditional": texture_unconditional,
    "mesh_trunk": mesh_trunk,
    "mesh_heads": mesh_heads,
    "gaussians": gaussians,
}
"""Graph -> its function; the first argument is the network."""
