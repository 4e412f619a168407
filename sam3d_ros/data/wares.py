"""What pours, sprays and sieves. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold, OpType  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.hardware import arch, bar
from sam3d_ros.data.solids import (
    HALF_TURN,
    MIRROR_ONLY,
    UNKNOWN,
    Design,
    Symmetry,
    arc,
    hollow,
    largest_body,
    rod,
    rounded_box,
    superquadric,
    to_fit,
    turn_about_z,
)
from sam3d_ros.types import Float


def _belly(rng: np.random.Generator, radius: float, high: float) -> list[tuple[float, float]]:
    """The outline of a vessel from the bottom upwards: foot, widest place, shoulder, rim."""
    foot, rim = radius * rng.uniform(0.6, 1.0), radius * rng.uniform(0.5, 1.0)
    wide_at, neck_at = high * rng.uniform(0.15, 0.5), high * rng.uniform(0.6, 0.9)
    neck = min(rim, radius) * rng.uniform(0.75, 1.0)
    low = arc((foot, 0.0), (radius, wide_at), rng.uniform(0.0, 0.12) * wide_at, 3)
    shoulder = arc((radius, wide_at), (neck, neck_at), rng.uniform(0.0, 0.15) * (neck_at - wide_at), 4)
    return [*low, *shoulder[1:], (rim, high)]


def pourer(rng: np.random.Generator) -> Design:
    """A vessel of 7-30 cm with a lip or a spout towards +x and a handle: pitchers, kettles, cans for water."""
    high, slender = np.exp(rng.uniform(np.log(0.06), np.log(0.24))), rng.uniform(0.3, 0.95)
    radius = float(np.clip(high * slender, 0.03, 0.1))
    outline = _belly(rng, radius, high)
    rim, wall = outline[-1][0], float(rng.uniform(0.0025, 0.006))
    solid, cavity = hollow(outline, wall, 1.5 * wall)
    spouted = rng.random() < 0.5
    thick = float(rng.uniform(0.004, 0.011))
    if spouted:
        root = np.array([0.85 * radius, 0.0, high * rng.uniform(0.15, 0.5)])
        tip = np.array([radius + high * rng.uniform(0.25, 0.9), 0.0, high * rng.uniform(0.75, 1.15)])
        bend = 0.5 * (root + tip) + np.array([0.15, 0.0, -0.2]) * rng.uniform(0.0, 1.0) * high
        t = np.linspace(0, 1, 5)[:, None]
        way = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * tip
        wide = rng.uniform(0.009, 0.02)
        radii = np.linspace(wide, wide * rng.uniform(0.45, 0.8), 5)
        spout = rod(way, radii, 12) - cavity
        end = way[-1] - way[-2]
        beyond = np.concatenate([way[1:], [way[-1] + 3 * end]])
        spout = spout.trim_by_plane(
            tuple(-end / np.linalg.norm(end)), float(-way[-1] @ end / np.linalg.norm(end))
        )
        solid = solid + spout - rod(beyond, np.maximum(radii - 0.003, 0.002), 8)
        if rng.random() < 0.25:  # a rose
            rose = superquadric((0.01, 2.0 * wide, 2.0 * wide), 0.4, 1.0, 24)
            solid = solid + rose.rotate((0.0, -30.0, 0.0)).translate(tuple(float(x) for x in way[-1]))
    if rng.random() < (0.6 if spouted else 0.15):  # a lid with a knob
        dome = Manifold.sphere(1.0, 40).scale((1.02 * rim, 1.02 * rim, rng.uniform(0.1, 0.5) * rim))
        knob = Manifold.sphere(float(rng.uniform(0.12, 0.3)) * rim, 20)
        lid = dome.trim_by_plane((0.0, 0.0, 1.0), -0.002).translate((0.0, 0.0, high))
        solid = solid + lid + knob.translate((0.0, 0.0, float(lid.bounding_box()[5])))
    if rng.random() < (0.35 if spouted else 0.0):  # over the top
        curve = arch(0.9 * rim, high * rng.uniform(0.3, 0.8), 0.0, rng.uniform(1.8, 3.0))
        loop = bar(curve, thick, rng.uniform(1.0, 2.0)).rotate((90.0, 0.0, 0.0))
        solid = solid + (loop.translate((0.0, 0.0, high - thick)) - cavity)
    else:
        span, reach = high * rng.uniform(0.45, 0.85), rng.uniform(0.025, 0.055)
        curve = arch(span / 2, reach, 0.0, rng.uniform(1.8, 4.0))
        loop = bar(curve, thick, rng.uniform(0.9, 1.8)).rotate((90.0, 0.0, 0.0))
        loop = loop.rotate((0.0, -90.0, 0.0))
        inner = float(np.interp(high * 0.5, [z for _, z in outline], [r for r, _ in outline]))
        reach_in = inner - 0.7 * thick - (0.12 * inner if span > 0.6 * high else 0.0)
        middle = high * rng.uniform(0.45, 0.55)
        # Tapered vessels are far from the ends of the handle: legs lead back to the wall.
        for z in (middle - span / 2, middle + span / 2):
            leg = rod(np.array([[-reach_in, 0, z], [-0.5 * inner, 0, z]]), np.full(2, thick), 14)
            loop = loop + leg.translate((reach_in, 0.0, -middle))
        solid = solid + (loop.translate((-reach_in, 0.0, middle)) - cavity)
    lip, broad = (0.0 if spouted else rim * rng.uniform(0.1, 0.6)), rng.uniform(0.2, 0.6)
    squash = float(rng.uniform(0.65, 1.0)) if rng.random() < 0.3 else 1.0

    def pull(v: Float) -> Float:
        """The rim towards +x becomes the lip."""
        near = (
            np.exp(-((np.arctan2(v[:, 1], v[:, 0]) / broad) ** 2))
            * np.clip((v[:, 2] / high - 0.6) / 0.4, 0, 1) ** 2
        )
        moved: Float = (v + np.outer(lip * near, [1.0, 0.0, 0.25])) * [1.0, squash, 1.0]
        return moved

    if lip:
        solid = solid.simplify(1e-4).refine_to_length(max(0.012, 0.16 * high))
    if lip or squash < 1:
        solid = solid.warp_batch(pull)
    solid = largest_body(solid.simplify(1e-4))
    solid = solid.scale((to_fit(solid, 0.07, 0.3),) * 3)
    levels = sorted(float(z) for z in rng.uniform(0.1, 1.0, 2) * high)
    texture = tx.bands(
        2, levels, [tx.any_texture(rng, high), tx.any_texture(rng, high), tx.mottled(rng, tx.color(rng))]
    )
    if rng.random() < 0.5:
        texture = tx.mottled(
            rng, tx.one_of(rng, tx.METALS) if rng.random() < 0.4 else tx.color(rng), 0.04, 0.05
        )
    return Design(solid, texture, MIRROR_ONLY, gloss=float(rng.choice([0.1, 0.4, 0.7])))


def sprayer(rng: np.random.Generator) -> Design:
    """A bottle of 12-31 cm with a trigger, a pump or a nozzle on it: cleaners, soap, hair spray, detergent."""
    a, high = rng.uniform(0.022, 0.05), rng.uniform(0.08, 0.2)
    b, power = a * rng.uniform(0.45, 1.0), rng.uniform(0.3, 1.0)
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    flat = np.stack([a * np.sign(c) * np.abs(c) ** power, b * np.sign(s) * np.abs(s) ** power], axis=1)
    neck = min(a, b) * rng.uniform(0.3, 0.6)
    waist, waist_at, shoulder = rng.uniform(0.0, 0.25), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.5)

    def shape(v: Float) -> Float:
        t = v[:, 2] / high
        slim = 1 - waist * np.exp(-(((t - waist_at) / 0.2) ** 2))
        up = np.clip((t - 1 + shoulder) / shoulder, 0, 1)
        close = (np.sqrt(np.clip(1 - up**2, 0, 1)) * (1 - neck / a) + neck / a) * slim
        shaped: Float = v * np.stack([close, close, np.ones(len(v))], axis=1)
        return shaped

    body = Manifold.extrude(CrossSection([flat.tolist()]), high, 14).warp_batch(shape)
    if rng.random() < 0.25:  # a hole to grip
        hole = rounded_box((0.5 * a, 4 * b, 0.35 * high), 0.2 * a, 3)
        body = body - hole.translate((-0.5 * a, 0.0, 0.6 * high))
    collar = neck * rng.uniform(1.0, 1.4)
    solid = body + Manifold.cylinder(0.022, collar, -1.0, 28).translate((0.0, 0.0, high - 0.006))
    top = high + 0.014
    kind = rng.random()
    if kind < 0.5:  # a trigger
        long, tall = rng.uniform(0.03, 0.06), rng.uniform(0.018, 0.034)
        back = rounded_box((0.5 * long, 1.4 * neck, tall), 0.003, 2).translate((-0.3 * long, 0.0, 0.0))
        front = rounded_box((0.012, 0.9 * neck, tall * rng.uniform(0.4, 0.9)), 0.002, 2).translate(
            (long, 0.0, 0.1 * tall)
        )
        head = Manifold.batch_hull([back, front]) + Manifold.cylinder(0.012, 0.006, -1.0, 16).rotate(
            (0.0, 90.0, 0.0)
        ).translate((long, 0.0, 0.1 * tall))
        pull = np.array([[0.5, 0, -0.3], [0.65, 0, -0.9], [rng.uniform(0.6, 1.1), 0, -1.4]]) * [
            long,
            1.0,
            1.3 * tall,
        ]
        solid = solid + (head + rod(pull, np.array([0.005, 0.0045, 0.004]), 12)).translate(
            (0.0, 0.0, top + 0.4 * tall)
        )
    elif kind < 0.75:  # a pump
        up, reach = rng.uniform(0.015, 0.045), rng.uniform(0.02, 0.055)
        stem = Manifold.cylinder(up + 0.008, 0.005, -1.0, 18).translate((0.0, 0.0, top - 0.004))
        way = np.array(
            [[-0.006, 0, up], [0.4 * reach, 0, up + 0.002], [reach, 0, up - rng.uniform(0.0, 0.014)]]
        )
        solid = solid + stem + rod(way, np.array([0.008, 0.006, 0.004]), 16).translate((0.0, 0.0, top))
    else:  # a nozzle or a cap
        tall = rng.uniform(0.015, 0.07)
        cap = Manifold.cylinder(tall, collar * 0.9, collar * rng.uniform(0.15, 0.9), 32)
        solid = solid + cap.translate((0.0, 0.0, top - 0.002))
    wrap = tx.around(tx.poster(rng, tx.color(rng)), 0.1 * high, 0.75 * high)
    paints = [wrap if rng.random() < 0.7 else tx.plain(tx.color(rng)), tx.plain(tx.color(rng, 0.6, 0.8))]
    symmetry = MIRROR_ONLY if kind < 0.75 else UNKNOWN
    return Design(largest_body(solid), tx.bands(2, [high - 0.006], paints), symmetry, gloss=0.4)


def lattice(rng: np.random.Generator) -> Design:
    """A basket, a sieve, a crate, a pen cup of 7-30 cm with holes in its walls; some with a handle."""
    wall, flare = float(rng.uniform(0.003, 0.006)), float(rng.uniform(1.0, 1.35))
    high = float(np.exp(rng.uniform(np.log(0.04), np.log(0.16))))
    if rng.random() < 0.45:
        return _round_lattice(rng, wall, flare, high)
    a, b = (float(np.exp(rng.uniform(np.log(0.06), np.log(0.24)))) for _ in range(2))
    rounding = float(rng.uniform(0.05, 0.3)) * min(a, b)
    flat = CrossSection.square((a - 2 * rounding, b - 2 * rounding), True).offset(
        rounding, circular_segments=20
    )
    solid = Manifold.extrude(flat, high, 1, 0.0, (flare, flare))
    cavity = Manifold.extrude(flat.offset(-wall, circular_segments=20), high, 1, 0.0, (flare, flare))
    solid = solid - cavity.translate((0.0, 0.0, wall))
    rows, part = int(rng.integers(1, 5)), rng.uniform(0.5, 0.8)
    holes = []
    for axis, long, deep in ((0, a, b), (1, b, a)):
        columns = max(1, min(int(long / high * rows * rng.uniform(0.5, 2.0)), 16 // rows))
        step, rise = (long - 2 * rounding) / columns, 0.82 * high / rows
        hole = _hole(rng, part * step, part * rise, 2 * deep * flare)
        for i in range(columns):
            for j in range(rows):
                x, z = (i - (columns - 1) / 2) * step, 0.12 * high + (j + 0.5) * rise
                holes.append(hole.translate((float(x), 0.0, float(z))).rotate((0.0, 0.0, 90.0 * axis)))
    if rng.random() < 0.5:  # the floor too
        nx, ny = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        hole = _hole(rng, 0.6 * a / (nx + 1), 0.6 * b / (ny + 1), 4 * wall).rotate((90.0, 0.0, 0.0))
        holes += [hole.translate((float(x), float(y), 0.0)) for x in np.linspace(-0.38, 0.38, nx) * a
                  for y in np.linspace(-0.3, 0.3, ny) * b]  # fmt: skip
    solid = solid - Manifold.batch_boolean(holes, OpType.Add)
    if rng.random() < 0.3:  # a handle over the top
        thick = float(rng.uniform(0.004, 0.008))
        loop = bar(
            arch(a * flare / 2 - wall / 2, high * rng.uniform(0.5, 1.5), 0.0), thick, rng.uniform(1.0, 2.0)
        )
        solid = solid + loop.rotate((90.0, 0.0, 0.0)).translate((0.0, 0.0, high - thick))
    return Design(largest_body(solid), _paint(rng, high), HALF_TURN, gloss=float(rng.choice([0.1, 0.4])))


def _hole(rng: np.random.Generator, wide: float, high: float, deep: float) -> Manifold:
    """Along y through its middle: a rectangle, an ellipse, a diamond."""
    corners = int(rng.choice([4, 4, 4, 8, 12]))
    turn = 45.0 if corners == 4 and rng.random() < 0.75 else 0.0
    grow = np.sqrt(2) if turn else 1.0
    hole = Manifold.cylinder(deep, 0.5, -1.0, corners, True).rotate((0.0, 0.0, turn))
    return hole.scale((wide * grow, high * grow, 1.0)).rotate((90.0, 0.0, 0.0))


def _round_lattice(rng: np.random.Generator, wall: float, flare: float, high: float) -> Design:
    """Round: holes in rings around z."""
    radius = float(np.clip(high * rng.uniform(0.4, 1.8), 0.03, 0.12))
    bulge = rng.uniform(0.0, 0.2) * high
    outline = arc((radius / flare, 0.0), (radius, high), bulge, 6 if bulge > 0.02 * high else 1)
    solid, _ = hollow(outline, wall, wall)
    count, rows, part = int(rng.integers(6, 20)), int(rng.integers(1, 5)), rng.uniform(0.5, 0.75)
    count = min(count, 44 // rows)
    rise = 0.84 * high / rows
    hole = _hole(rng, part * 2 * np.pi * radius / flare / count, part * rise, 1.6 * radius).translate(
        (0.0, radius, 0.0)
    )
    holes = []
    for j in range(rows):
        level = hole.translate((0.0, 0.0, 0.12 * high + (j + 0.5) * rise))
        holes += [level.rotate((0.0, 0.0, 360.0 * (i + 0.5 * (j % 2)) / count)) for i in range(count)]
    solid = solid - Manifold.batch_boolean(holes, OpType.Add)
    symmetry = Symmetry(tuple(turn_about_z(i / count) for i in range(1, count)))
    if rng.random() < 0.3:  # a handle over the top
        thick = float(rng.uniform(0.003, 0.006))
        loop = bar(arch(radius - wall / 2, high * rng.uniform(0.5, 1.5), 0.0), thick).rotate((90.0, 0.0, 0.0))
        solid = solid + loop.translate((0.0, 0.0, high - thick))
        symmetry = HALF_TURN if count % 2 == 0 else MIRROR_ONLY
    return Design(largest_body(solid), _paint(rng, high), symmetry, gloss=float(rng.choice([0.1, 0.4])))


def _paint(rng: np.random.Generator, size: float) -> tx.Texture:
    """Plastic, wire or wood in one colour."""
    c = tx.color(rng) if rng.random() < 0.6 else tx.one_of(rng, tx.METALS)
    return [tx.mottled(rng, c), tx.plain(c), tx.any_texture(rng, size)][rng.integers(3)]
