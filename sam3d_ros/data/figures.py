"""Toys and grown things: superquadric animals, ring stackers, stones, peppers. Each function draws one design."""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import ROUND, SEGMENTS, Design, displaced, rod, superquadric
from sam3d_ros.types import Float

PEPPERS = ((0.75, 0.10, 0.08), (0.90, 0.72, 0.10), (0.90, 0.45, 0.08), (0.22, 0.45, 0.13), (0.30, 0.12, 0.25))


def animal(rng: np.random.Generator) -> Design:
    """A toy animal of 7-14 cm on four legs, head towards +x; body and head are superquadrics."""
    length, wide, tall = rng.uniform(0.03, 0.05), rng.uniform(0.016, 0.026), rng.uniform(0.016, 0.026)
    leg, foot = rng.uniform(0.018, 0.04), rng.uniform(0.005, 0.008)
    body = superquadric((length, wide, tall), rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.0))
    solid = body.translate((0.0, 0.0, leg + tall * 0.8))
    for x in (-1, 1):
        for y in (-1, 1):
            post = Manifold.cylinder(leg + tall * 0.5, foot, -1.0, 20)
            solid = solid + post.translate((x * length * 0.6, y * wide * 0.55, 0.0))
    size, lift = rng.uniform(0.014, 0.021), rng.uniform(0.0, 0.03)
    at = np.array([length * 1.0, 0.0, leg + tall * 1.2 + lift])
    neck = rod(np.array([[length * 0.7, 0, leg + tall], at]), np.array([tall * 0.55, size * 0.6]), 16)
    head = superquadric((size * 1.3, size * 0.9, size), rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0))
    solid = solid + neck + head.translate(tuple(at + size * np.array([0.4, 0.0, 0.0])))
    ear = rng.uniform(0.008, 0.03)
    for y in (-1, 1):
        root = at + size * np.array([0.0, y * 0.5, 0.4])
        tip = at + np.array([-0.2 * size, y * size * 1.1, size * 0.6 + ear])
        solid = solid + rod(np.stack([root, tip]), np.array([0.005, 0.003]), 10)
    tail = np.array([[-length * 0.8, 0, leg + tall], [-length * 1.3, 0, leg + tall * rng.uniform(0.3, 2.2)]])
    solid = solid + rod(tail, np.array([0.005, 0.0035]), 10)
    c = tx.color(rng, 0.5, 0.7)
    coats = [tx.speckled(rng, c, tx.color(rng, 0.4, 0.4), 0.02), tx.mottled(rng, c, 0.02, 0.1),
             tx.stripes(c, tx.color(rng, 0.3, 0.3), np.array([1.0, 0.2, 0.0]), 0.015)]  # fmt: skip
    return Design(solid, coats[rng.integers(3)], gloss=0.2)


def stacker(rng: np.random.Generator) -> Design:
    """A toy tower of 4-7 rings that grow smaller, with a ball on top: 9-16 cm."""
    rings, radius, thick = int(rng.integers(4, 8)), rng.uniform(0.035, 0.05), rng.uniform(0.009, 0.012)
    solid = Manifold.cylinder(0.006, radius * 1.1, -1.0, SEGMENTS)
    levels, z = [0.006], 0.006
    top = radius * rng.uniform(0.5, 0.65)
    for r in np.linspace(radius, top, rings):
        torus = CrossSection.circle(thick, 16).translate((float(r) - thick, 0.0))
        solid = solid + Manifold.revolve(torus, 40).translate((0.0, 0.0, z + thick * 0.75))
        z += 1.85 * thick
        levels.append(z)
    solid = solid + Manifold.cylinder(z + 0.004, radius - thick * 0.7, top - thick * 0.7, 40)
    solid = solid + Manifold.sphere(thick * 1.4, 32).translate((0.0, 0.0, z + thick))
    paints = [tx.plain(tx.color(rng, 0.85, 0.85)) for _ in range(len(levels) + 1)]
    return Design(solid, tx.bands(2, levels, paints), ROUND, gloss=0.35)


def stone(rng: np.random.Generator) -> Design:
    """A pebble, a potato or a piece of bread of 6-14 cm: a ball displaced by three octaves of noise."""
    size = rng.uniform(0.03, 0.065)
    shape = size * np.array([1.0, rng.uniform(0.6, 0.95), rng.uniform(0.4, 0.8)])
    solid = displaced(rng, shape, [(1.4 * size, 0.14), (0.6 * size, 0.05), (0.25 * size, 0.015)])
    c = tx.one_of(rng, (*tx.WOODS, *tx.METALS, (0.6, 0.5, 0.42)))
    skins = [tx.mottled(rng, c, 0.02, 0.1), tx.speckled(rng, c, c * 0.6, 0.006),
             tx.marble(rng, c, np.clip(c * 1.35, 0, 1))]  # fmt: skip
    return Design(solid, skins[rng.integers(3)], gloss=0.1)


def pepper(rng: np.random.Generator) -> Design:
    """A bell pepper of 7-13 cm with 3 or 4 lobes and a stalk, standing."""
    radius, tall, lobes = rng.uniform(0.032, 0.045), rng.uniform(0.8, 1.35), int(rng.integers(3, 5))
    deep, turn, uneven = rng.uniform(0.06, 0.14), rng.uniform(0, 2 * np.pi), tx.noise(rng, 0.06)

    def grow(v: Float) -> Float:
        unit = v / np.linalg.norm(v, axis=1, keepdims=True)
        phi, flat = np.arctan2(unit[:, 1], unit[:, 0]), np.hypot(unit[:, 0], unit[:, 1])
        r = 1 + deep * flat * np.cos(lobes * phi + turn) + 0.03 * uneven(unit * radius)
        r *= 0.7 + 0.3 * np.clip(1.6 * flat, 0, 1) ** 0.8
        taper = 1 + 0.15 * unit[:, 2]
        grown: Float = radius * unit * r[:, None] * np.stack([taper, taper, np.full(len(v), tall)], axis=1)
        return grown

    flesh = Manifold.sphere(radius, 64).warp_batch(grow)
    top = radius * tall * 0.68
    bend = rng.uniform(-0.01, 0.01, 2)
    stalk = rod(
        np.array([[0, 0, top - 0.008], [0, 0, top + 0.008], [*bend, top + 0.025]]),
        np.array([0.008, 0.005, 0.006]),
        14,
    )
    skin = tx.mottled(rng, tx.one_of(rng, PEPPERS), 0.03, 0.08)
    green = tx.mottled(rng, np.array([0.25, 0.42, 0.16]), 0.01, 0.1)
    near_stalk = tx.where(
        lambda p: (np.hypot(p[:, 0], p[:, 1]) < 0.016) & (p[:, 2] > top - 0.001), green, skin
    )
    return Design(flesh + stalk, near_stalk, gloss=0.5)
