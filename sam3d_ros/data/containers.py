"""Things that hold something: turned and boxed household containers in real sizes.

Each function draws one design of its category from an rng.
"""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    BOX_SYMMETRY,
    HALF_TURN,
    ROUND,
    ROUND_BOTH_ENDS,
    SEGMENTS,
    Design,
    arc,
    hollow,
    rounded_box,
    turned,
)


def _glaze(rng: np.random.Generator) -> tx.Texture:
    """What pottery looks like."""
    c = tx.color(rng, 0.4, 0.8)
    return [
        tx.mottled(rng, c),
        tx.speckled(rng, c, tx.color(rng, 0.5, 0.4)),
        tx.stripes(c, tx.color(rng), np.array([0.0, 0.0, 1.0]), rng.uniform(0.02, 0.05), rng.random()),
        tx.marble(rng, c, tx.color(rng, 0.5, 0.4)),
    ][rng.integers(4)]


def mug(rng: np.random.Generator) -> Design:
    """8-11 cm high, one handle on the +x side."""
    radius, height = rng.uniform(0.036, 0.048), rng.uniform(0.08, 0.11)
    foot, wall = radius * rng.uniform(0.8, 1.0), rng.uniform(0.0035, 0.005)
    outline = arc((foot, 0.0), (radius, height), rng.uniform(0.0, 0.004))
    thick, reach, span = rng.uniform(0.005, 0.007), rng.uniform(0.022, 0.03), height * rng.uniform(0.27, 0.33)
    ring = Manifold.revolve(CrossSection.circle(thick, 16).translate((reach, 0.0)), SEGMENTS)
    ring = ring.scale((1.0, 1.0, 1.2)).rotate((90.0, 0.0, 0.0)).scale((1.0, 1.0, span / reach))
    handle = ring.translate(((foot + radius) / 2, 0.0, height * 0.52))
    shell, cavity = hollow(outline, wall, wall * 1.3)
    inside = tx.plain(tx.color(rng, 0.15, 0.9))
    texture = tx.where(lambda p: np.hypot(p[:, 0], p[:, 1]) < foot - 0.6 * wall, inside, _glaze(rng))
    return Design(shell + (handle - cavity), texture, gloss=0.5)


def bowl(rng: np.random.Generator) -> Design:
    """11-20 cm wide."""
    radius, height = rng.uniform(0.055, 0.1), rng.uniform(0.045, 0.075)
    outline = arc(
        (radius * rng.uniform(0.4, 0.55), 0.0), (radius, height), radius * rng.uniform(0.1, 0.2), 12
    )
    return Design(hollow(outline, rng.uniform(0.004, 0.006), 0.006)[0], _glaze(rng), ROUND, gloss=0.4)


def plate(rng: np.random.Generator) -> Design:
    """16-26 cm wide, 2-3 cm high."""
    radius, height, thick = rng.uniform(0.08, 0.13), rng.uniform(0.016, 0.028), rng.uniform(0.005, 0.007)
    foot = radius * rng.uniform(0.55, 0.7)
    under = [(foot, 0.0), (foot * 1.05, 0.004), (radius, height - thick * 0.5)]
    over = [(radius, height), (foot * 1.02, 0.004 + thick), (0.0, 0.003 + thick)]
    rim = rng.uniform(0.75, 0.92) * radius
    rim_color, middle = tx.plain(tx.color(rng)), tx.mottled(rng, tx.color(rng, 0.1, 0.9))
    texture = tx.where(lambda p: np.hypot(p[:, 0], p[:, 1]) > rim, rim_color, middle)
    return Design(turned([(0.0, 0.0), *under, *over]), texture, ROUND, gloss=0.5)


def bottle(rng: np.random.Generator) -> Design:
    """17-27 cm high, closed, with a cap."""
    radius, height = rng.uniform(0.027, 0.042), rng.uniform(0.17, 0.27)
    neck, shoulder = rng.uniform(0.011, 0.016), height * rng.uniform(0.55, 0.7)
    cap = height - rng.uniform(0.015, 0.025)
    cap_radius = neck + rng.uniform(0.001, 0.004)
    side = [(radius * 0.93, 0.0), (radius, 0.004), (radius, shoulder)]
    sloping = arc((radius, shoulder), (neck, cap - 0.02), rng.uniform(-0.002, 0.006))[1:]
    top = [(neck, cap), (cap_radius, cap), (cap_radius, height - 0.002), (cap_radius - 0.002, height)]
    low, high = shoulder * rng.uniform(0.1, 0.25), shoulder * rng.uniform(0.75, 0.95)
    glass = tx.mottled(rng, tx.color(rng, 0.6, 0.5), 0.08, 0.05)
    label = tx.around(tx.poster(rng, tx.color(rng, 0.3, 0.85)), low, high)
    texture = tx.bands(2, [low, high, cap - 0.001], [glass, label, glass, tx.plain(tx.color(rng))])
    return Design(turned([(0.0, 0.0), *side, *sloping, *top, (0.0, height)]), texture, ROUND, gloss=0.6)


def can(rng: np.random.Generator) -> Design:
    """Food and drink cans, 8-17 cm high, with a recessed lid at both ends."""
    radius = rng.uniform(0.026, 0.043)
    height = radius * rng.uniform(2.3, 4.0) if radius < 0.034 else radius * rng.uniform(2.3, 3.0)
    rim, deep = rng.uniform(0.002, 0.003), rng.uniform(0.002, 0.004)
    half = [
        (radius - rim, deep),
        (radius - rim, 0.0),
        (radius, 0.0),
        (radius, 0.003),
        (radius - 0.001, 0.004),
    ]
    upper = [(r, height - z) for r, z in reversed(half)]
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS[:3]), 0.02, 0.03)
    wrap = tx.around(tx.poster(rng, tx.color(rng)), 0.005, height - 0.005)
    texture = tx.bands(2, [0.0045, height - 0.0045], [steel, wrap, steel])
    solid = turned([(0.0, deep), *half, *upper, (0.0, height - deep)])
    return Design(solid, texture, ROUND_BOTH_ENDS, gloss=0.7)


def jar(rng: np.random.Generator) -> Design:
    """A closed jar with a wider or narrower lid, 7-15 cm high."""
    radius, body = rng.uniform(0.03, 0.045), rng.uniform(0.06, 0.11)
    lid_radius, lid = radius * rng.uniform(0.8, 1.03), rng.uniform(0.012, 0.022)
    side = [(radius * 0.92, 0.0), (radius, 0.005), (radius, body - 0.012), (lid_radius * 0.95, body)]
    cover = [(lid_radius, body), (lid_radius, body + lid - 0.002), (lid_radius - 0.002, body + lid)]
    low, high = body * rng.uniform(0.15, 0.25), body * rng.uniform(0.7, 0.85)
    content = tx.speckled(rng, tx.color(rng, 0.7, 0.55), tx.color(rng, 0.7, 0.4), 0.012)
    label = tx.around(tx.poster(rng, tx.color(rng, 0.2, 0.9)), low, high)
    cap = (
        tx.checker(tx.color(rng), tx.color(rng, 0.2, 0.9), 0.012)
        if rng.random() < 0.4
        else tx.plain(tx.color(rng))
    )
    texture = tx.bands(2, [low, high, body - 0.0005], [content, label, content, cap])
    return Design(turned([(0.0, 0.0), *side, *cover, (0.0, body + lid)]), texture, ROUND, gloss=0.5)


def box(rng: np.random.Generator) -> Design:
    """Cardboard boxes of 5 to 26 cm: tea, cereal, sugar; printed on every side."""
    size = np.sort(rng.uniform([0.035, 0.06, 0.09], [0.075, 0.17, 0.26]))
    size[:2] = size[rng.permutation(2)]
    solid = rounded_box(size, 0.0015, 2).translate((0.0, 0.0, size[2] / 2))
    low = np.array([-size[0] / 2, -size[1] / 2, 0.0])
    c = tx.color(rng)
    texture = tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, low + size)
    return Design(solid, texture, BOX_SYMMETRY, gloss=0.15)


def carton(rng: np.random.Generator) -> Design:
    """A gable-top milk carton, 16-24 cm high."""
    side, body, roof, fin = rng.uniform(0.06, 0.09), rng.uniform(0.12, 0.17), rng.uniform(0.03, 0.045), 0.018
    half, thin = side / 2, 0.003
    gable = CrossSection([[(-half, 0.0), (half, 0.0), (half, body), (thin, body + roof), (thin, body + roof
    + fin),
                           (-thin, body + roof + fin), (-thin, body + roof), (-half, body)]])  # fmt: skip
    solid = Manifold.extrude(gable, side).rotate((90.0, 0.0, 0.0)).translate((0.0, half, 0.0))
    low = np.array([-half, -half, 0.0])
    c = tx.color(rng, 0.4, 0.9)
    printed = tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, low + np.array([side, side, body]))
    top = tx.stripes(tx.color(rng), c, np.array([0.0, 0.0, 1.0]), roof, rng.random())
    return Design(solid, tx.bands(2, [body], [printed, top]), HALF_TURN, gloss=0.2)
