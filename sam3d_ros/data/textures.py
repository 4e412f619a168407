"""Procedural textures: functions from points (N, 3), metres in the object frame, to sRGB colours (N, 3) in
0..1.

Being defined in space they need no texture coordinates, and give a colour to any vertex, voxel or Gaussian.
Each builder takes what it draws from an rng once, so the texture it returns is a plain function.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from sam3d_ros.types import Bool, Float

Texture: TypeAlias = Callable[[Float], Float]
Region: TypeAlias = Callable[[Float], Bool]
Field: TypeAlias = Callable[[Float], Float]
Poster: TypeAlias = Callable[[Float, Float], Float]

WOODS = ((0.76, 0.60, 0.42), (0.55, 0.38, 0.22), (0.83, 0.71, 0.53), (0.40, 0.27, 0.17))
METALS = ((0.72, 0.72, 0.74), (0.55, 0.56, 0.58), (0.80, 0.78, 0.72), (0.30, 0.31, 0.33))


def color(rng: np.random.Generator, saturation: float = 0.6, value: float = 0.75) -> Float:
    """(3,) a random hue around the given saturation and value."""
    s = float(np.clip(rng.normal(saturation, 0.2), 0, 1))
    v = float(np.clip(rng.normal(value, 0.15), 0.12, 0.97))
    return np.array(colorsys.hsv_to_rgb(float(rng.random()), s, v))


def one_of(rng: np.random.Generator, colors: tuple[tuple[float, float, float], ...]) -> Float:
    """(3,) one colour of a list, a little varied in brightness."""
    chosen: Float = np.clip(np.array(colors[rng.integers(len(colors))]) * rng.uniform(0.85, 1.1), 0, 1)
    return chosen


def noise(rng: np.random.Generator, wavelength: float, waves: int = 12) -> Field:
    """A smooth random field (N, 3) -> (N,) of mean 0 and variance 1: a sum of plane waves of random
    direction."""
    directions = rng.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    k = directions * (2 * np.pi / (wavelength * rng.uniform(0.6, 1.8, (waves, 1))))
    phase = rng.uniform(0, 2 * np.pi, waves)

    def field(points: Float) -> Float:
        total: Float = np.cos(points @ k.T + phase).sum(axis=1) * np.sqrt(2 / waves)
        return total

    return field


def plain(c: Float) -> Texture:
    return lambda points: np.broadcast_to(c, (len(points), 3))


def mottled(rng: np.random.Generator, c: Float, wavelength: float = 0.03, strength: float = 0.06) -> Texture:
    """One colour with soft variations of brightness: clay, fruit, painted metal."""
    field = noise(rng, wavelength)
    return lambda points: np.clip(c * (1 + strength * field(points)[:, None]), 0, 1)


def speckled(rng: np.random.Generator, c: Float, spot: Float, size: float = 0.008) -> Texture:
    """Spots of a second colour: glazed stoneware, granite."""
    field = noise(rng, size, waves=24)
    level = rng.uniform(0.9, 1.6)
    return lambda points: np.where((field(points) > level)[:, None], spot, c)


def marble(rng: np.random.Generator, c: Float, vein: Float, scale: float = 0.06) -> Texture:
    """Thin veins where a smooth field passes zero."""
    field = noise(rng, scale)
    return lambda points: mix(c, vein, np.exp(-((field(points) / 0.18) ** 2)))


def wood(rng: np.random.Generator, c: Float, axis: int = 0, ring: float = 0.006) -> Texture:
    """Growth rings around an axis that runs outside of the object, bent by noise."""
    off = rng.uniform(0.02, 0.06, 2)
    bend = noise(rng, 0.08)
    fibre = noise(rng, 0.004)
    across = [i for i in range(3) if i != axis]

    def texture(points: Float) -> Float:
        radius = np.linalg.norm(points[:, across] - off, axis=1) + 0.002 * bend(points)
        grain = 0.5 + 0.5 * np.sin(2 * np.pi * radius / ring) + 0.12 * fibre(points)
        return mix(c, c * 0.68, np.clip(grain, 0, 1))

    return texture


def stripes(a: Float, b: Float, direction: Float, period: float, phase: float = 0.0) -> Texture:
    """Two colours in turn along a direction (3,)."""
    return lambda points: np.where((np.mod(points @ direction / period + phase, 1) < 0.5)[:, None], a, b)


def checker(a: Float, b: Float, size: float) -> Texture:
    """Cubes of two colours."""
    return lambda points: np.where((np.floor(points / size).sum(axis=1) % 2 == 0)[:, None], a, b)


def any_texture(rng: np.random.Generator, size_m: float) -> Texture:
    """One of all kinds, with details that suit an object of that size."""
    a, b = color(rng), color(rng, 0.5, 0.5)
    direction = rng.normal(size=3)
    return [
        plain(a),
        mottled(rng, a, size_m / 4, 0.1),
        speckled(rng, a, b, size_m / 12),
        marble(rng, a, b, size_m / 2),
        wood(rng, one_of(rng, WOODS), int(rng.integers(3)), size_m / 15),
        stripes(a, b, direction / np.linalg.norm(direction), size_m * rng.uniform(0.1, 0.4), rng.random()),
        checker(a, b, size_m * rng.uniform(0.1, 0.3)),
    ][rng.integers(7)]


def mix(a: Float, b: Float, share: Float) -> Float:
    """Between two colours (or arrays of colours): `share` (N,) of b."""
    mixed: Float = a + (b - a) * share[:, None]
    return mixed


def where(inside: Region, then: Texture, otherwise: Texture) -> Texture:
    """One texture inside a region, another outside; `inside` (N, 3) -> (N,) bool."""
    return lambda points: np.where(inside(points)[:, None], then(points), otherwise(points))


def bands(axis: int, levels: list[float], textures: list[Texture]) -> Texture:
    """Layers along an axis: textures[i] below levels[i], the last one above all."""

    def texture(points: Float) -> Float:
        layer = np.searchsorted(levels, points[:, axis])
        return np.select([(layer == i)[:, None] for i in range(len(textures))], [t(points) for t in textures])

    return texture


def poster(rng: np.random.Generator, c: Float) -> Poster:
    """Print as packaging has it, on (u, v) in 0..1: blocks of colour, a picture, lines of text."""
    blocks = []
    for _ in range(int(rng.integers(2, 5))):
        u, v = rng.uniform(0, 0.7, 2)
        blocks.append((u, v, u + rng.uniform(0.15, 0.6), v + rng.uniform(0.08, 0.35), color(rng)))
    disc_u, disc_v, disc_r = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.75), rng.uniform(0.12, 0.28)
    disc, ink = color(rng, 0.7), np.full(3, 0.1 if c.mean() > 0.45 else 0.95)
    text_low, text_high, words = rng.uniform(0.05, 0.5), rng.uniform(0.6, 0.95), rng.uniform(9, 17)

    def print_at(u: Float, v: Float) -> Float:
        out = np.broadcast_to(c, (len(u), 3)).copy()
        for u0, v0, u1, v1, fill in blocks:
            out[(u > u0) & (u < u1) & (v > v0) & (v < v1)] = fill
        out[np.hypot(u - disc_u, v - disc_v) < disc_r] = disc
        line = (np.mod(v * 14, 1) < 0.45) & (np.sin(u * words * 6 + 5 * np.floor(v * 14)) > -0.5)
        out[line & (u > 0.12) & (u < 0.88) & (v > text_low) & (v < min(text_low + 0.2, text_high))] = ink
        return out

    return print_at


def around(print_at: Poster, low: float, high: float) -> Texture:
    """A poster wrapped twice around the z axis between two heights."""

    def texture(points: Float) -> Float:
        u = np.mod(np.arctan2(points[:, 1], points[:, 0]) / np.pi + 1, 1)
        return print_at(u, (points[:, 2] - low) / (high - low))

    return texture


def on_sides(print_at: list[Poster], low: Float, high: Float) -> Texture:
    """Posters on the faces of the box from `low` to `high` (3,): print_at[axis] on both faces across that
    axis."""

    def texture(points: Float) -> Float:
        unit = (points - low) / (high - low)
        side = np.argmax(np.abs(unit - 0.5), axis=1)
        out = np.empty((len(points), 3))
        for axis, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
            chosen = side == axis
            out[chosen] = print_at[axis](unit[chosen, a], unit[chosen, b])
        return out

    return texture
