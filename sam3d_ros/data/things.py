"""Fruit, tools and toys in real sizes. Each function draws one design of its category from an rng."""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import HALF_TURN, SEGMENTS, Design, hollow, rod, rounded_box, tube
from sam3d_ros.types import Bool, Float

APPLES = ((0.72, 0.12, 0.12), (0.55, 0.68, 0.22), (0.85, 0.72, 0.28), (0.80, 0.30, 0.18))


def banana(rng: np.random.Generator) -> Design:
    """16-21 cm, lying on its side; black ends."""
    length, thick = rng.uniform(0.16, 0.21), rng.uniform(0.015, 0.019)
    opening = rng.uniform(1.2, 1.9)
    angle = np.linspace(-opening / 2, opening / 2, 41)
    radius = length / opening
    curve = np.stack([radius * np.sin(angle), radius * (1 - np.cos(angle)), np.zeros(41)], axis=1)
    s = np.linspace(0, 1, 41)
    radii = thick * np.clip(np.minimum(np.minimum(0.35 + 4.0 * s, 1.0), 0.22 + 4.5 * (1 - s)), 0.2, 1.0)
    ripe = tx.mottled(rng, np.array([0.90, 0.76, 0.20]) * rng.uniform(0.9, 1.05), 0.04, 0.05)
    spots = tx.speckled(rng, np.array([0.88, 0.74, 0.22]), np.array([0.40, 0.27, 0.10]), 0.01)
    end = float(curve[-1, 0]) - 0.008
    dark, skin = tx.plain(np.array([0.22, 0.17, 0.1])), (ripe, spots)[rng.integers(2)]
    texture = tx.where(lambda p: np.abs(p[:, 0]) > end, dark, skin)
    return Design(tube(curve, radii), texture, gloss=0.2)


def apple(rng: np.random.Generator) -> Design:
    """6-9 cm, with dimples and a stalk; the surface a little uneven."""
    radius, squash = rng.uniform(0.032, 0.043), rng.uniform(0.82, 0.98)
    uneven, tilt = tx.noise(rng, 0.09), rng.uniform(-0.003, 0.003)

    def shape(v: Float) -> Float:
        unit = v / np.linalg.norm(v, axis=1, keepdims=True)
        flat = np.hypot(unit[:, 0], unit[:, 1])
        # A cardioid-like dimple at both poles.
        r = radius * (0.62 + 0.38 * np.clip(flat * 1.5, 0, 1) ** 0.7) + 0.0006 * uneven(unit * radius)
        placed: Float = unit * r[:, None] * np.array([1.0, 1.0, squash])
        return placed

    flesh = Manifold.sphere(radius, SEGMENTS).warp_batch(shape)
    stalk_at = np.array([[0.0, 0.0, 0.4 * radius], [tilt, tilt / 2, radius * 0.95]])
    stalk = rod(stalk_at, np.array([0.0015, 0.002]), 8)
    skin, blush = tx.one_of(rng, APPLES), tx.one_of(rng, APPLES)
    field = tx.noise(rng, 0.08)

    def peel(p: Float) -> Float:
        return tx.mix(skin, blush, np.clip(0.5 + 0.5 * field(p), 0, 1))

    brown = tx.plain(np.array([0.35, 0.24, 0.13]))
    texture = tx.where(lambda p: (np.hypot(p[:, 0], p[:, 1]) < 0.004) & (p[:, 2] > 0.5 * radius), brown, peel)
    return Design(flesh + stalk, texture, gloss=0.35)


def hammer(rng: np.random.Generator) -> Design:
    """22-32 cm, lying flat: handle along x, head along y."""
    length, grip = rng.uniform(0.22, 0.32), rng.uniform(0.011, 0.015)
    stations = np.linspace(0, 1, 6)[:, None]
    points = np.concatenate([stations * length, np.zeros((6, 2))], axis=1)
    handle = rod(points, grip * np.array([0.95, 1.0, 0.9, 0.75, 0.72, 0.75]), 16).scale((1.0, 1.0, 0.8))
    across, face = rng.uniform(0.085, 0.12), rng.uniform(0.012, 0.016)
    head = Manifold.cylinder(across * 0.62, face * 0.85, face, 32).rotate((-90.0, 0.0, 0.0))
    tip = across * 0.45
    claw = CrossSection([[(-face * 0.8, 0.0), (face * 0.8, 0.0), (face * 0.25, tip), (-face * 0.2, tip)]])
    peen = Manifold.extrude(claw, face * 1.5).translate((0.0, 0.0, -face * 0.75)).rotate((180.0, 0.0, 0.0))
    solid = handle + (head + peen).translate((length - face, 0.0, 0.0))
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.02, 0.05)
    shaft = (
        tx.wood(rng, tx.one_of(rng, tx.WOODS), 0) if rng.random() < 0.6 else tx.plain(tx.color(rng, 0.7, 0.5))
    )
    rubber = tx.plain(tx.color(rng, 0.5, 0.3))
    levels = [length * rng.uniform(0.3, 0.45), length - 2 * face]
    return Design(solid, tx.bands(0, levels, [rubber, shaft, steel]), gloss=0.3)


def pan(rng: np.random.Generator) -> Design:
    """A frying pan of 14-20 cm with a handle along +x."""
    radius, height, wall = rng.uniform(0.07, 0.1), rng.uniform(0.03, 0.045), rng.uniform(0.003, 0.004)
    dish, cavity = hollow([(radius * 0.85, 0.0), (radius, height)], wall, wall)
    reach = rng.uniform(0.12, 0.16)
    points = np.array([[radius - 0.004, 0, height * 0.75], [radius + reach * 0.4, 0, height * 0.95],
                       [radius + reach, 0, height]])  # fmt: skip
    handle = rod(points, np.array([0.006, 0.008, 0.010]), 16)
    iron = tx.mottled(
        rng, tx.one_of(rng, ((0.16, 0.16, 0.17), (0.3, 0.3, 0.32), (0.45, 0.16, 0.13))), 0.04, 0.06
    )
    grip = tx.wood(rng, tx.one_of(rng, tx.WOODS), 0) if rng.random() < 0.5 else tx.plain(np.full(3, 0.12))
    texture = tx.where(lambda p: p[:, 0] > radius + 0.02, grip, iron)
    return Design(dish + (handle - cavity), texture, gloss=0.4)


def spoon(rng: np.random.Generator) -> Design:
    """A serving or wooden spoon of 18-28 cm, lying with the bowl up."""
    length, width = rng.uniform(0.18, 0.28), rng.uniform(0.02, 0.03)
    rest = 0.006
    joint = length - width * 2.3
    points = np.array([[0, 0, rest * 1.6], [joint * 0.5, 0, rest * 2.2], [joint, 0, rest * 1.9]])
    handle = rod(points, np.array([0.006, 0.0045, 0.0045]), 12)
    middle = (length - width * 1.25, 0.0, rest * 1.9)
    ball = Manifold.sphere(1.0, SEGMENTS)
    scoop = ball.scale((width * 1.3, width, rest * 1.9)).translate(middle)
    hole = ball.scale((width * 1.15, width * 0.86, rest * 1.7)).translate(
        (middle[0], 0.0, middle[2] + rest * 0.6)
    )
    top = Manifold.cube((1.0, 1.0, 1.0), True).translate((0.0, 0.0, 0.5 + middle[2] + rest * 0.25))
    solid = handle + (scoop - hole - top)
    wooden = rng.random() < 0.6
    c = tx.one_of(rng, tx.WOODS) if wooden else tx.color(rng, 0.4, 0.7)
    return Design(solid, tx.wood(rng, c, 0) if wooden else tx.mottled(rng, c), gloss=0.1 if wooden else 0.5)


def blocks(rng: np.random.Generator) -> Design:
    """Wooden toy blocks glued into a little building: a long base, blocks and a roof or a column on it."""
    unit = rng.uniform(0.026, 0.034)
    wide = int(rng.integers(2, 4))
    base = rounded_box((unit * wide, unit, unit), 0.002, 2).translate((0.0, 0.0, unit / 2))
    solid, levels = base, unit
    for column in range(wide):
        x = (column - (wide - 1) / 2) * unit
        kind = rng.integers(4) if column else rng.integers(3)
        if kind == 0:
            piece = rounded_box((unit, unit, unit * 1.5), 0.002, 2).translate((x, 0.0, unit * 1.7))
        elif kind == 1:
            piece = Manifold.cylinder(unit * 1.3, unit * 0.42, -1.0, 32).translate((x, 0.0, unit * 0.98))
        elif kind == 2:
            roof = CrossSection([[(-unit / 2, 0.0), (unit / 2, 0.0), (0.0, unit * 0.8)]])
            piece = (
                Manifold.extrude(roof, unit).rotate((90.0, 0.0, 0.0)).translate((x, unit / 2, unit * 0.98))
            )
        else:
            continue
        solid = solid + piece
    painted = [tx.mottled(rng, tx.color(rng, 0.8, 0.8), 0.03, 0.03) for _ in range(wide)]
    edges = [(i + 1 - wide / 2) * unit for i in range(wide - 1)]
    return Design(
        solid, tx.bands(2, [levels], [tx.wood(rng, tx.one_of(rng, tx.WOODS), 0), tx.bands(0, edges, painted)])
    )


def car(rng: np.random.Generator) -> Design:
    """A toy car of 8-13 cm on four wheels, driving along x."""
    length, width, body = rng.uniform(0.08, 0.13), rng.uniform(0.035, 0.05), rng.uniform(0.02, 0.026)
    wheel, tyre = rng.uniform(0.01, 0.013), 0.008
    hull = rounded_box((length, width, body), 0.004, 3).translate((0.0, 0.0, wheel + body * 0.3))
    side = [(-0.38, 0.0), (0.22, 0.0), (0.08, body * 0.75), (-0.3, body * 0.75)]
    roof = CrossSection([[(x * length, z) for x, z in side]])
    cabin = Manifold.extrude(roof, width * 0.86).rotate((90.0, 0.0, 0.0))
    cabin = cabin.translate((0.0, width * 0.43, wheel + body * 0.7))
    disc = Manifold.cylinder(tyre, wheel, -1.0, 32, True).rotate((90.0, 0.0, 0.0))
    solid = hull + cabin
    places = [(x * length * 0.3, y * width / 2) for x in (-1, 1) for y in (-1, 1)]
    for x, y in places:
        solid = solid + disc.translate((x, y, wheel))

    def is_wheel(p: Float) -> Bool:
        near = [np.hypot(p[:, 0] - x, p[:, 2] - wheel) < wheel + 0.0002 for x, y in places[::2]]
        inside: Bool = (near[0] | near[1]) & (np.abs(p[:, 1]) > width / 2 - tyre / 2)
        return inside

    body_paint, windows = tx.plain(tx.color(rng, 0.8, 0.8)), tx.mottled(rng, tx.color(rng, 0.2, 0.4))
    paint = tx.bands(2, [wheel + body * 0.8], [body_paint, windows])
    return Design(solid, tx.where(is_wheel, tx.plain(np.full(3, 0.1)), paint), gloss=0.5)


def brush(rng: np.random.Generator) -> Design:
    """A scrubbing brush: a waisted wooden back with a block of bristles under it."""
    length, width = rng.uniform(0.12, 0.18), rng.uniform(0.045, 0.06)
    hair, back = rng.uniform(0.018, 0.03), rng.uniform(0.014, 0.02)
    bristles = rounded_box((length * 0.92, width * 0.8, hair), 0.003, 2).translate((0.0, 0.0, hair / 2))
    waist = rng.uniform(0.7, 0.85)
    plank = rounded_box((length, width, back), 0.005, 3).refine_to_length(0.006)

    def narrow(v: Float) -> Float:
        share = 1 - (1 - waist) * np.cos(np.clip(v[:, 0] / length * 2, -1, 1) * np.pi / 2) ** 2
        waisted: Float = v * np.stack([np.ones(len(v)), share, np.ones(len(v))], axis=1)
        return waisted

    solid = bristles + plank.warp_batch(narrow).translate((0.0, 0.0, hair + back * 0.4))
    hairs = tx.stripes(tx.color(rng, 0.3, 0.8), tx.color(rng, 0.3, 0.7), np.array([1.0, 0.3, 0.0]), 0.012)
    level = hair + back * 0.4 - back / 2 + 0.0005
    return Design(solid, tx.bands(2, [level], [hairs, tx.wood(rng, tx.one_of(rng, tx.WOODS), 0)]), HALF_TURN)
