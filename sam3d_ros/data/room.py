"""The surroundings of a tabletop scene: table, floor and walls as textured quads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.data import textures as tx
from sam3d_ros.types import Float, UInt8

TABLE = np.array([1.2, 0.9, 0.03])
"""Width, depth and thickness of the table top, m; every object of a scene of moderate size has room on it."""
FLOOR = -0.74
TEXELS = 512


@dataclass(frozen=True)
class Quad:
    """A flat rectangle: corner (3,), two edges (3,) and an image (H, W, 3) uint8 sRGB with its columns
    along `u`.

    It faces to u x v.
    """

    corner: Float
    u: Float
    v: Float
    image: UInt8

    @property
    def normal(self) -> Float:
        """(3,) unit vector."""
        n = np.cross(self.u, self.v)
        unit: Float = n / np.linalg.norm(n)
        return unit


def room(rng: np.random.Generator, texels: int = TEXELS) -> tuple[Quad, ...]:
    """A table top with its edges, a floor of 5 x 5 m and four walls; `texels` along the table."""
    x, y, thick = TABLE[0] / 2, TABLE[1] / 2, TABLE[2]
    wood = tx.wood(rng, tx.one_of(rng, tx.WOODS), 0, rng.uniform(0.01, 0.02))
    top = [
        wood,
        tx.checker(tx.color(rng, 0.2, 0.85), tx.color(rng, 0.2, 0.6), rng.uniform(0.03, 0.08)),
        tx.mottled(rng, tx.color(rng, 0.25, 0.75), 0.1, 0.04),
        tx.marble(rng, tx.color(rng, 0.1, 0.85), tx.color(rng, 0.2, 0.5), 0.12),
    ][rng.integers(4)]
    tiles = tx.checker(tx.color(rng, 0.2, 0.6), tx.color(rng, 0.2, 0.5), 0.25)
    paint = tx.mottled(rng, tx.color(rng, 0.15, 0.8), 0.4, 0.03)

    def quad(corner: list[float], u: list[float], v: list[float], texture: tx.Texture, texels: int) -> Quad:
        return _baked(np.array(corner), np.array(u), np.array(v), texture, texels)

    big, high = 2.5, 3.0
    return (
        quad([-x, -y, 0], [2 * x, 0, 0], [0, 2 * y, 0], top, texels),
        quad([-x, -y, -thick], [2 * x, 0, 0], [0, 0, thick], wood, texels // 4),
        quad([x, y, -thick], [-2 * x, 0, 0], [0, 0, thick], wood, texels // 4),
        quad([x, -y, -thick], [0, 2 * y, 0], [0, 0, thick], wood, texels // 4),
        quad([-x, y, -thick], [0, -2 * y, 0], [0, 0, thick], wood, texels // 4),
        quad([-big, -big, FLOOR], [2 * big, 0, 0], [0, 2 * big, 0], tiles, texels // 2),
        quad([big, -big, FLOOR], [-2 * big, 0, 0], [0, 0, high], paint, texels // 8),
        quad([-big, big, FLOOR], [2 * big, 0, 0], [0, 0, high], paint, texels // 8),
        quad([-big, -big, FLOOR], [0, 2 * big, 0], [0, 0, high], paint, texels // 8),
        quad([big, big, FLOOR], [0, -2 * big, 0], [0, 0, high], paint, texels // 8),
    )


def _baked(corner: Float, u: Float, v: Float, texture: tx.Texture, texels: int) -> Quad:
    """The texture as an image, sampled at texel centres, `texels` along u."""
    rows = max(2, round(texels * float(np.linalg.norm(v) / np.linalg.norm(u))))
    a, b = np.meshgrid((np.arange(texels) + 0.5) / texels, (np.arange(rows) + 0.5) / rows)
    points = corner + a.reshape(-1, 1) * u + b.reshape(-1, 1) * v
    # A hair below the plane z = 0, so that a checker's cubes do not change within it by rounding.
    colors = texture(points - 1e-6)
    image = np.clip(np.rint(colors * 255), 0, 255).astype(np.uint8).reshape(rows, texels, 3)
    return Quad(corner.astype(np.float64), u.astype(np.float64), v.astype(np.float64), image)
