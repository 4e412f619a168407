"""Solids of a few numbers, seen by an orthographic camera: data for trying out stages without any data.

Ellipsoids, cylinders and boxes in the object frame of the published model (cube [-0.5, 0.5]^3), posed and seen in its
camera frame (x left, y up, z forward). Everything is a pure function of the sample's number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation  # type: ignore[import-untyped]

from sam3d_ros.model.pose_codec import Layout, encode, matrix_from_quaternion
from sam3d_ros.model.texture import texture_tables
from sam3d_ros.train.objective import Batch
from sam3d_ros.train.preference import best_and_worse

Array = NDArray[np.floating]
SIDE = 28
"""Pixels of a view."""
GRID = 4
"""Tokens of the shape along an axis; each stands for 2^3 samples of the solid (its 8 channels)."""
POWERS = (2.0, 4.0, 16.0)
"""Ellipsoid, something between, almost a box."""


@dataclass(frozen=True)
class Solid:
    """half (3,): half axes in the object frame; power: of the norm whose ball it is; rgb (3,) in [0, 1]."""

    half: Array
    power: float
    rgb: Array
    layout: Layout

    @classmethod
    def draw(cls, number: int) -> Solid:
        rng = np.random.default_rng([number, 77])
        half = rng.uniform(0.2, 0.5, 3)
        half *= 0.5 / half.max()
        yaw = Rotation.from_euler("y", rng.uniform(-0.6, 0.6)).as_quat()[[3, 0, 1, 2]]
        layout = Layout(yaw, rng.uniform(-0.5, 0.5, 3), float(rng.uniform(0.6, 1.2)))
        return cls(half, POWERS[int(rng.integers(3))], rng.uniform(0.2, 1, 3), layout)

    def level(self, points: Array) -> Array:
        """Positive inside, at points (..., 3) of the object frame."""
        inside: Array = 1 - (np.abs(points / self.half) ** self.power).sum(-1) ** (1 / self.power)
        return inside

    def view(self, centre: Array, half_width: float) -> tuple[Array, Array, Array]:
        """Picture (3, S, S), mask (1, S, S), pointmap (3, S, S) of a square around (x, y), NaN beside the solid."""
        axis = np.linspace(half_width, -half_width, SIDE)
        depth = np.linspace(-0.9, 0.9, 36) * self.layout.scale
        y, x, z = np.meshgrid(
            axis + centre[1], axis + centre[0], depth + self.layout.translation[2], indexing="ij"
        )
        points = np.stack([x, y, z], axis=-1)
        R = matrix_from_quaternion(self.layout.rotation)
        level = self.level((points - self.layout.translation) @ R.T / self.layout.scale)
        inside = np.asarray(level > 0)
        hit, first = np.asarray(inside.any(-1)), np.asarray(inside.argmax(-1))
        seen = np.take_along_axis(points, first[..., None, None], axis=2)[:, :, 0]
        shade = 1 - 0.5 * first / inside.shape[-1]
        picture = np.where(hit, shade * self.rgb[:, None, None], 0.5)
        pointmap = np.where(hit, np.moveaxis(seen, -1, 0), np.nan)
        return picture, hit[None].astype(np.float64), pointmap

    def views(self) -> tuple[dict[str, Array], Array]:
        """Views by the condition embedder's names, and the shift (3,) that the pointmap was centred with."""
        crop = self.view(self.layout.translation[:2], 0.9 * self.layout.scale)
        full = self.view(np.zeros(2), 1.5)
        shift = np.nanmedian(crop[2].reshape(3, -1), axis=1)
        names = ("image", "mask", "pointmap", "rgb_image", "rgb_image_mask", "rgb_pointmap")
        views = dict(zip(names, (*crop, *full), strict=True))
        for name in ("pointmap", "rgb_pointmap"):
            views[name] = views[name] - shift[:, None, None]
        return views, shift

    def shape(self) -> Array:
        """(GRID^3, 8) the level at 8^3 points, clipped to [-1, 1], 2^3 of them to a token."""
        n = 2 * GRID
        axis = (np.arange(n) + 0.5) / n - 0.5
        level = self.level(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1))
        blocks = np.clip(3 * level, -1, 1).reshape(GRID, 2, GRID, 2, GRID, 2)
        return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(GRID**3, 8)

    def voxels(self) -> tuple[NDArray[np.int64], Array]:
        """Coordinates (N, 3) of its voxels at 8^3 and their latents (N, 8): its colour with stripes."""
        n = 2 * GRID
        coords = np.argwhere(occupancy(self.shape()))
        stripes = np.cos(np.pi * coords[:, :1])
        colour = np.broadcast_to(2 * self.rgb - 1, (len(coords), 3))
        return coords, np.concatenate([colour, colour, stripes, coords[:, 1:2] / n], axis=1)


def occupancy(shape: Array) -> NDArray[np.bool_]:
    """(GRID^3, 8) latent -> (8, 8, 8) which points are inside."""
    blocks = shape.reshape(GRID, GRID, GRID, 2, 2, 2)
    inside: NDArray[np.bool_] = blocks.transpose(0, 3, 1, 4, 2, 5).reshape(2 * GRID, 2 * GRID, 2 * GRID) > 0
    return inside


@dataclass(frozen=True)
class ToyBatches:
    """Micro-batch by number, of `size` samples. solids: how many there are, None for a new one every time."""

    texture: bool
    pairs: bool
    size: int
    solids: int | None = None

    def __call__(self, number: int) -> Batch:
        numbers = [number * self.size + i for i in range(self.size)]
        return (texture_batch if self.texture else geometry_batch)(
            [n if self.solids is None else n % self.solids for n in numbers], self.pairs
        )


def geometry_batch(numbers: list[int], pairs: bool = False) -> Batch:
    """Samples by number; every fourth has a shape alone, no pose."""
    latents: dict[str, list[Array]] = {}
    losers, views = [], []
    for number in numbers:
        solid = Solid.draw(number)
        seen, shift = solid.views()
        own: dict[str, Array] = {"shape": solid.shape()}
        own |= {n: v[None] for n, v in encode(solid.layout, np.ones(3), shift).items()}
        if number % 4 == 3:
            own |= {n: np.full_like(v, np.nan) for n, v in own.items() if n != "shape"}
        for name, value in own.items():
            latents.setdefault(name, []).append(value)
        views.append(seen)
        losers.append(worse(own["shape"], number))
    posed = torch.tensor([n % 4 != 3 for n in numbers])
    stacked = {name: stack(values) for name, values in latents.items()}
    labels = {name: posed for name in latents if name != "shape"}
    inputs = {name: stack([v[name] for v in views]) for name in views[0]}
    loser = {**stacked, "shape": stack(losers)} if pairs else None
    return Batch(stacked, labels, inputs, loser)


def texture_batch(numbers: list[int], pairs: bool = False) -> Batch:
    """Samples by number: all voxels one after the other."""
    coords, slat, losers, owner, views = [], [], [], [], []
    for i, number in enumerate(numbers):
        solid = Solid.draw(number)
        xyz, latent = solid.voxels()
        coords.append(np.concatenate([np.full((len(xyz), 1), i), xyz], axis=1))
        slat.append(latent)
        losers.append(worse(latent, number))
        owner.append(np.full(len(xyz), i))
        views.append(solid.views()[0])
    flat = np.concatenate
    inputs = {name: stack([v[name] for v in views]) for name in views[0] if "pointmap" not in name}
    return Batch(
        latents={"slat": torch.from_numpy(flat(slat)).float()},
        labels={},
        inputs=inputs,
        loser={"slat": torch.from_numpy(flat(losers)).float()} if pairs else None,
        rows=("slat",),
        owner=torch.from_numpy(flat(owner)),
        beside=texture_tables(flat(coords)),
    )


def worse(latent: Array, number: int) -> Array:
    """What a judge would put behind this latent: of four spoilt copies the least good one."""
    rng = np.random.default_rng([number, 78])
    candidates = [latent + s * rng.normal(size=latent.shape) for s in (0.0, 0.3, 0.6, 0.9)]
    pairs = best_and_worse([-float(np.square(c - latent).mean()) for c in candidates], margin=0.5)
    return candidates[pairs[0].loser]


def stack(values: list[Array]) -> torch.Tensor:
    """Arrays of one shape -> (B, ...) float32."""
    return torch.from_numpy(np.stack(values)).float()
