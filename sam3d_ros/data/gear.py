"""More of what stands and lies about: packs, tubes, devices, dolls, plants. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from manifold3d import Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    HALF_TURN,
    MIRROR_ONLY,
    SEGMENTS,
    UNKNOWN,
    Design,
    displaced,
    largest_body,
    rod,
    rounded_box,
    superquadric,
    tube,
    turned,
)
from sam3d_ros.types import Float


def pouch(rng: np.random.Generator) -> Design:
    """A filled bag of 8-24 cm: crisps and sweets (lying, all edges sealed), coffee and soup (standing on a foot)."""
    wide, high, thick = rng.uniform(0.07, 0.16), rng.uniform(0.08, 0.24), rng.uniform(0.02, 0.06)
    standing, uneven = rng.random() < 0.5, tx.noise(rng, 0.05)

    def fill(v: Float) -> Float:
        s, u = v[:, 2] / high * 2, v[:, 0] / wide * 2  # -1 .. 1
        across = np.sqrt(np.clip(1 - np.abs(u) ** 2.5, 0.0, 1.0))
        along = np.clip(1 - s, 0, 2) / 2 if standing else np.sqrt(np.clip(1 - np.abs(s) ** 3, 0.0, 1.0))
        full = np.maximum(across * np.clip(along, 0, 1) ** 0.7, 0.06) * (1 + 0.06 * np.asarray(uneven(v)))
        filled: Float = np.stack([v[:, 0] * (1 - 0.06 * full), v[:, 1] * full, v[:, 2]], axis=1)
        return filled

    sheet = Manifold.cube((wide, thick, high), True).refine_to_length(0.006)
    solid = sheet.warp_batch(fill)
    c = tx.color(rng, 0.6, 0.8)
    low = np.array([-wide / 2, -thick / 2, -high / 2])
    texture = tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, -low)
    upright = Design(solid, texture, UNKNOWN, gloss=0.4)
    return upright if standing else _lying(upright)


def _lying(upright: Design) -> Design:
    """Turned by 90 degrees about x, texture and all. Without a symmetry that has an axis: it would turn too."""

    def texture(p: Float) -> Float:
        return upright.texture(np.stack([p[:, 0], p[:, 2], -p[:, 1]], axis=1))

    return replace(upright, solid=upright.solid.rotate((90.0, 0.0, 0.0)), texture=texture)


def squeeze_tube(rng: np.random.Generator) -> Design:
    """Toothpaste, cream, glue: round at the cap, flat at the other end, 9-20 cm, standing on the cap or lying."""
    length, radius = rng.uniform(0.07, 0.16), rng.uniform(0.014, 0.028)
    cap, cap_radius = rng.uniform(0.012, 0.035), radius * rng.uniform(0.4, 1.02)
    base = Manifold.cylinder(0.004, radius, -1.0, SEGMENTS)
    seam = Manifold.cube((radius * 2.6, 0.003, 0.012), True).translate((0.0, 0.0, length))
    body = Manifold.batch_hull([base, seam])
    solid = body + Manifold.cylinder(cap + 0.001, cap_radius, cap_radius * 1.05, SEGMENTS).translate(
        (0.0, 0.0, -cap)
    )
    wrap = tx.around(tx.poster(rng, tx.color(rng, 0.4, 0.9)), 0.005, length - 0.01)
    texture = tx.bands(2, [0.0, length - 0.01], [tx.plain(tx.color(rng)), wrap, tx.plain(tx.color(rng))])
    if rng.random() < 0.5:
        return _lying(Design(solid, texture, UNKNOWN, gloss=0.4))
    return Design(solid, texture, HALF_TURN, gloss=0.4)


def pack(rng: np.random.Generator) -> Design:
    """A box with something on it or at it: a lid, a pump, a screw cap, a second box, 8-30 cm."""
    size = rng.uniform([0.04, 0.03, 0.05], [0.16, 0.1, 0.2])
    solid = rounded_box(size, 0.1 * rng.random() * size.min() + 0.001, 3).translate((0.0, 0.0, size[2] / 2))
    kind = rng.integers(4)
    if kind == 0:  # lid, a little larger or smaller
        lid = size * np.array([rng.uniform(0.7, 1.06), rng.uniform(0.7, 1.06), rng.uniform(0.08, 0.3)])
        solid = solid + rounded_box(lid, 0.002, 2).translate((0.0, 0.0, size[2] + 0.3 * lid[2]))
        symmetry = HALF_TURN
    elif kind == 1:  # pump or spray head
        neck, up = 0.25 * size[:2].min(), rng.uniform(0.02, 0.05)
        solid = solid + Manifold.cylinder(up + 0.004, neck, -1.0, 24).translate((0.0, 0.0, size[2] - 0.004))
        head = rounded_box((rng.uniform(0.03, 0.06), 1.6 * neck, 0.014), 0.003, 3)
        solid = solid + head.translate((0.012, 0.0, size[2] + up))
        symmetry = MIRROR_ONLY
    elif kind == 2:  # screw cap, in the middle or at a corner
        radius, x = rng.uniform(0.15, 0.45) * size[:2].min(), rng.choice([0.0, 0.25]) * size[0]
        solid = solid + Manifold.cylinder(rng.uniform(0.01, 0.03), radius, -1.0, 32).translate(
            (x, 0.0, size[2] - 0.001)
        )
        symmetry = HALF_TURN if x == 0 else MIRROR_ONLY
    else:  # two boxes
        other = size * rng.uniform(0.4, 1.0, 3)
        shift = 0.5 * (size - other) * rng.uniform(-1, 1, 3)
        solid = solid + rounded_box(other, 0.002, 2).translate(
            (shift[0], shift[1], size[2] + 0.48 * other[2])
        )
        symmetry = UNKNOWN
    low = np.array([-size[0] / 2, -size[1] / 2, 0.0])
    c = tx.color(rng)
    printed = tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, low + size)
    texture = tx.bands(2, [size[2] + 0.0005], [printed, tx.plain(tx.color(rng))])
    return Design(solid, texture, symmetry, gloss=0.2)


def power_tool(rng: np.random.Generator) -> Design:
    """A barrel and a grip at an angle, often with a foot or a battery: drills, glue guns, hair dryers, 14-26 cm.

    Two in three lie on their side.
    """
    length, thick = rng.uniform(0.11, 0.2), rng.uniform(0.022, 0.04)
    barrel = superquadric(
        (length * 0.36, thick, thick * rng.uniform(0.8, 1.2)), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)
    )
    nose = Manifold.cylinder(length * 0.4, thick * 0.75, thick * rng.uniform(0.2, 0.6), 32).rotate(
        (0.0, 90.0, 0.0)
    )
    solid = barrel + nose.translate((length * 0.25, 0.0, 0.0))
    down, lean = rng.uniform(0.09, 0.15), rng.uniform(-0.02, 0.045)
    x = -length * rng.uniform(0.05, 0.25)
    ends = np.array([[x, 0.0, -thick * 0.4], [x - lean, 0.0, -down]])
    solid = solid + rod(ends, thick * np.array([0.62, 0.55]), 20).scale((1.0, 0.85, 1.0))
    if rng.random() < 0.7:
        foot = rounded_box((rng.uniform(0.05, 0.1), thick * 1.7, rng.uniform(0.02, 0.045)), 0.005, 3)
        solid = solid + foot.translate((x - lean, 0.0, -down))
    if rng.random() < 0.5:
        trigger = rounded_box((0.014, 0.012, 0.03), 0.004, 3)
        solid = solid + trigger.translate((x + thick * 0.6, 0.0, -thick - 0.008))
    a, b = tx.color(rng, 0.8, 0.7), tx.plain(np.full(3, rng.uniform(0.08, 0.25)))
    texture = tx.bands(0, [length * 0.25], [tx.bands(2, [-down * 0.6], [b, tx.mottled(rng, a)]), b])
    upright = Design(solid, texture, MIRROR_ONLY, gloss=0.3)
    return _lying(upright) if rng.random() < 0.65 else upright


def device(rng: np.random.Generator) -> Design:
    """A rounded slab of 6-22 cm with a lens, grips, aerials, a stand: cameras, clocks, controllers, mice, routers."""
    size = rng.uniform([0.06, 0.04, 0.015], [0.2, 0.12, 0.07])
    solid = (
        rounded_box(size, 0.3 * size.min() * rng.uniform(0.2, 1.0), 4)
        if rng.random() < 0.6
        else superquadric(list(size / 2), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9))
    )
    if rng.random() < 0.5:  # a lens, a knob or a dial on the top
        radius = size[:2].min() * rng.uniform(0.15, 0.42)
        lens = Manifold.cylinder(
            rng.uniform(0.006, 0.05) + 0.3 * size[2], radius, radius * rng.uniform(0.8, 1.0), 36
        )
        solid = solid + lens.translate((rng.uniform(-0.25, 0.25) * size[0], 0.0, 0.2 * size[2]))
    if rng.random() < 0.35:  # grips
        for side in (-1, 1):
            grip = rod(
                np.array([[0.36 * size[0], 0, 0], [0.46 * size[0], -0.75 * size[1], -0.1 * size[2]]]),
                0.45 * size[2] * np.array([1.0, 0.8]),
                18,
            )
            solid = solid + (grip if side > 0 else grip.mirror((1.0, 0.0, 0.0)))
    if rng.random() < 0.3:  # aerials or bells
        for side in (-1, 1):
            foot = np.array([side * 0.35 * size[0], 0.3 * size[1], 0.0])
            tip = foot + np.array([side * 0.02, rng.uniform(0.0, 0.12), rng.uniform(0.0, 0.03)])
            solid = solid + rod(np.stack([foot, tip]), np.full(2, rng.uniform(0.004, 0.008)), 12)
    if rng.random() < 0.4:  # a stand
        stand = rounded_box((size[0] * 0.5, size[1] * 0.3, size[2] * 0.8), 0.003, 2)
        solid = solid + stand.translate((0.0, -0.45 * size[1], -0.45 * size[2]))
    dark = tx.mottled(rng, tx.color(rng, 0.3, 0.35), 0.04, 0.04)
    c = tx.color(rng, 0.4, 0.7)
    face = tx.on_sides([tx.poster(rng, c) for _ in range(3)], -size / 2, size / 2)
    texture = tx.bands(2, [0.3 * size[2]], [dark, face])
    upright = Design(solid, texture, UNKNOWN, gloss=0.3)
    return _lying(upright) if rng.random() < 0.5 else upright


def doll(rng: np.random.Generator) -> Design:
    """A figure of 8-22 cm that stands, sits or lies on its back: dolls, teddy bears, robots, figurines."""
    tall = rng.uniform(0.07, 0.18)
    wide, deep = tall * rng.uniform(0.15, 0.26), tall * rng.uniform(0.1, 0.2)
    e = rng.uniform(0.3, 1.0)
    solid = superquadric((deep, wide, tall * 0.26), e, e).translate((0.0, 0.0, tall * 0.5))
    head = tall * rng.uniform(0.12, 0.22)
    top = tall * 0.74 + head * 0.6
    solid = solid + superquadric((head, head * rng.uniform(0.9, 1.15), head), e, e).translate((0.0, 0.0, top))
    sits = rng.random() < 0.35
    limb, spread = tall * rng.uniform(0.05, 0.08), rng.uniform(0.0, 0.25) * tall
    hand = np.array([rng.uniform(-0.05, 0.25) * tall, wide + spread + limb, tall * rng.uniform(0.3, 0.75)])
    hip = np.array([0.0, wide * 0.5, tall * 0.3])
    foot = np.array([tall * 0.35, wide * 0.8, tall * 0.26]) if sits else np.array([0.0, wide * 0.6, limb])
    for side in (-1.0, 1.0):
        flip = np.array([1.0, side, 1.0])
        arm = np.stack([np.array([0.0, wide * 0.8, tall * 0.66]), hand]) * flip
        leg = np.stack([hip, foot]) * flip
        solid = solid + rod(arm, limb * np.array([0.9, 0.8]), 16) + rod(leg, limb * np.array([1.2, 1.0]), 16)
        if rng.random() < 0.9:
            shoe = Manifold.sphere(limb, 20).scale((1.7, 1.1, 0.9))
            solid = solid + shoe.translate(
                tuple(float(x) for x in foot * flip + np.array([0.5 * limb, 0.0, 0.0]))
            )
    if rng.random() < 0.5:  # ears or a hat
        for side in (-1.0, 1.0):
            ear = Manifold.sphere(head * 0.4, 20).scale((0.6, 1.0, 1.0))
            solid = solid + ear.translate((0.0, side * head * 0.75, top + head * 0.8))
    else:
        hat = Manifold.cylinder(head * 0.9, head * 0.9, head * rng.uniform(0.2, 0.8), 28)
        solid = solid + hat.translate((0.0, 0.0, top + head * 0.55))
    levels = [tall * 0.33, tall * 0.73, top + head * 0.6]
    texture = tx.bands(2, levels, [tx.mottled(rng, tx.color(rng)) for _ in range(4)])
    if rng.random() < 0.3:
        return _lying(Design(solid, texture, UNKNOWN, gloss=0.15))
    return Design(solid, texture, MIRROR_ONLY, gloss=0.15)


def plant(rng: np.random.Generator) -> Design:
    """A pot with soil and something in it: a cactus, a bush, a candle, an ice cream: 7-24 cm."""
    radius, high = rng.uniform(0.03, 0.07), rng.uniform(0.04, 0.1)
    foot = radius * rng.uniform(0.6, 1.0)
    solid = turned([(0.0, 0.0), (foot, 0.0), (radius * 0.97, high * 0.85), (radius, high * 0.85), (radius, high),
                    (radius * 0.9, high), (radius * 0.88, high * 0.9), (0.0, high * 0.9)])  # fmt: skip
    green = radius * rng.uniform(0.6, 1.5)
    crown = np.array([green, green, green * rng.uniform(0.6, 1.8)])
    bush = displaced(rng, crown, [(0.9 * green, 0.1), (0.4 * green, rng.uniform(0.0, 0.08))])
    solid = solid + bush.translate((0.0, 0.0, high * 0.9 + 0.7 * crown[2]))
    leaf = tx.speckled(rng, tx.color(rng, 0.6, 0.5), tx.color(rng, 0.6, 0.7), 0.01)
    pot = [tx.mottled(rng, np.array([0.7, 0.38, 0.25])), tx.any_texture(rng, high)][rng.integers(2)]
    return Design(largest_body(solid), tx.bands(2, [high * 0.95], [pot, leaf]), UNKNOWN, gloss=0.2)


def carrier(rng: np.random.Generator) -> Design:
    """A case, a bag, a lantern or a can with a handle over the top, 10-26 cm; watering cans have a spout."""
    a, b, high = rng.uniform(0.08, 0.2), rng.uniform(0.04, 0.11), rng.uniform(0.06, 0.16)
    body = (
        rounded_box((a, b, high), 0.008, 3)
        if rng.random() < 0.6
        else Manifold.cylinder(high, a / 2, a / 2 * rng.uniform(0.7, 1.0), SEGMENTS, True).scale(
            (1.0, max(0.6, b / a), 1.0)
        )
    )
    solid = body.translate((0.0, 0.0, high / 2))
    opening, thick = rng.uniform(1.6, 3.0), rng.uniform(0.004, 0.008)
    angle = np.linspace(-opening / 2, opening / 2, 25)
    reach = a * rng.uniform(0.25, 0.45) / np.sin(min(opening / 2, np.pi / 2))
    curve = np.stack(
        [reach * np.sin(angle), reach * (np.cos(angle) - np.cos(opening / 2)), np.zeros(25)], axis=1
    )
    handle = tube(curve, np.full(25, thick), segments=14).rotate((90.0, 0.0, 0.0))
    solid = solid + handle.translate((0.0, 0.0, high - 0.5 * thick))
    if rng.random() < 0.25:
        spout = np.array([[a * 0.3, 0, high * 0.3], [a * 0.8, 0, high * rng.uniform(0.8, 1.2)]])
        solid = solid + rod(spout, np.array([0.012, 0.008]), 18)
    c = tx.color(rng)
    low = np.array([-a / 2, -b / 2, 0.0])
    printed = tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, low + np.array([a, b, high]))
    side = printed if rng.random() < 0.5 else tx.any_texture(rng, a)
    return Design(solid, tx.bands(2, [high - 0.004], [side, tx.plain(tx.color(rng))]), UNKNOWN, gloss=0.3)
