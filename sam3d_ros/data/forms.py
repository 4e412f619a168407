"""Forms without a name: what household things are made of, put together at random. Each function draws one design.

The categories of `objects.CATEGORIES` are things; a model that has seen only those takes everything for one of them.
These are drawn from wider families (turned, extruded, assembled), so that shape is learned beside kind.
"""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    HALF_TURN,
    MIRROR_ONLY,
    ROUND,
    ROUND_BOTH_ENDS,
    SEGMENTS,
    UNKNOWN,
    Design,
    Profile,
    arc,
    displaced,
    hollow,
    largest_body,
    log_uniform,
    rod,
    rounded_box,
    superquadric,
    turned,
)
from sam3d_ros.types import Float


def _outline(rng: np.random.Generator, radius: float, height: float) -> Profile:
    """An outer outline (radius, height) from the bottom upwards: 2 to 5 pieces, straight, bulging or with a step."""
    levels = np.sort(rng.uniform(0.08, 0.92, int(rng.integers(1, 5))))
    levels = levels[np.diff(levels, prepend=0.0) > 0.06]
    at = [0.0, *(float(level) * height for level in levels), height]
    radii = radius * np.clip(rng.normal(0.8, 0.22, len(at)), 0.3, 1.0)
    radii[int(rng.integers(len(at)))] = radius
    outline: Profile = [(float(radii[0]), 0.0)]
    for low, high, r in zip(at[:-1], at[1:], radii[1:], strict=True):
        start = outline[-1][0]
        if rng.random() < 0.25 and abs(float(r) - start) > 0.003:
            # A step: a lid, a rim, a shoulder. A little slanted, so that the outline goes on upwards.
            outline.append((start, high - 0.002))
            outline.append((float(r), high))
            continue
        bulge = rng.uniform(-0.12, 0.2) * (high - low) if rng.random() < 0.6 else 0.0
        pieces = arc((start, low), (float(r), high), bulge, 8 if bulge else 1)[1:]
        outline += [(max(x, 0.2 * radius), z) for x, z in pieces]
    heights = np.maximum.accumulate([z for _, z in outline])
    return [(r, float(z) + 1e-5 * i) for i, ((r, _), z) in enumerate(zip(outline, heights, strict=True))]


def turned_form(rng: np.random.Generator) -> Design:
    """A solid of revolution of 4-26 cm: six in ten closed (cans, candles, shakers, lamps), the others vessels.

    Some are oval, some have one or two handles.
    """
    height, slender = log_uniform(rng, 0.04, 0.26), rng.uniform(0.2, 0.9)
    radius = float(np.clip(height * slender / 1.2, 0.015, 0.09))
    outline = _outline(rng, radius, height)
    if rng.random() < 0.6:
        top = outline[-1][1]
        solid = turned([(0.0, 0.0), *outline, (0.0, top)])
        if rng.random() < 0.3:  # a knob, a nozzle, a finial
            knob = float(rng.uniform(0.15, 0.5)) * outline[-1][0]
            piece = (
                Manifold.sphere(knob, 24)
                if rng.random() < 0.5
                else Manifold.cylinder(2 * knob, knob, knob * 0.8, 24)
            )
            solid = solid + piece.translate((0.0, 0.0, top - 0.3 * knob))
        cavity = Manifold()
    else:
        wall = float(rng.uniform(0.003, 0.007))
        solid, cavity = hollow(outline, wall, float(rng.uniform(wall, 0.2 * height)))
    handles = int(rng.choice(3, p=[0.7, 0.18, 0.12]))
    if handles:
        reach, span = rng.uniform(0.02, 0.035), height * rng.uniform(0.2, 0.35)
        thick = float(rng.uniform(0.004, 0.007))
        ring = Manifold.revolve(CrossSection.circle(thick, 14).translate((reach, 0.0)), 32)
        ring = ring.rotate((90.0, 0.0, 0.0)).scale((1.0, 1.3, max(1.0, span / reach)))
        ring = ring.translate((float(np.mean([r for r, _ in outline])), 0.0, height * 0.5)) - cavity
        ring = ring.trim_by_plane((0.0, 0.0, 1.0), 0.0)
        for side in range(handles):
            solid = solid + ring.rotate((0.0, 0.0, 180.0 * side))
    if rng.random() < 0.25:
        solid = solid.scale((1.0, float(rng.uniform(0.5, 0.9)), 1.0))
        symmetry = HALF_TURN if handles != 1 else MIRROR_ONLY
    else:
        symmetry = (ROUND, MIRROR_ONLY, HALF_TURN)[handles]
    body = largest_body(solid)
    label = tx.around(tx.poster(rng, tx.color(rng)), height * 0.2, height * 0.7)
    paint = label if rng.random() < 0.4 else tx.any_texture(rng, height)
    levels = sorted(float(z) for z in rng.uniform(0.1, 0.9, 2) * height)
    texture = tx.bands(2, levels, [tx.any_texture(rng, height), paint, tx.plain(tx.color(rng))])
    return Design(body, texture, symmetry, gloss=float(rng.choice([0.1, 0.4, 0.7])))


def _cross_section(rng: np.random.Generator, half: float) -> CrossSection:
    """A flat shape within about `half` m of its middle: a polygon, a letter, a star, an oval, with rounded corners."""
    kind = rng.integers(5)
    if kind == 0:  # a convex or dented polygon
        corners = int(rng.integers(3, 9))
        angles: Float = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) / corners
        flat = _polar(angles, half * rng.uniform(0.6, 1.0, corners))
    elif kind == 1:  # L, T, U, cross: bars on a grid of three
        bar = half * rng.uniform(0.3, 0.6)
        flat = CrossSection.square((2 * half, bar), True).translate(
            (0.0, float(rng.uniform(-0.5, 0.5)) * half)
        )
        for x in rng.choice([-0.7, 0.0, 0.7], int(rng.integers(1, 3)), replace=False):
            flat = flat + CrossSection.square((bar, 2 * half * float(rng.uniform(0.6, 1.0))), True).translate(
                (float(x) * half, 0.0)
            )
    elif kind == 2:  # a star or a flower
        points, deep = int(rng.integers(3, 9)), rng.uniform(0.1, 0.45)
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        flat = _polar(angles, half * (1 - deep * (0.5 + 0.5 * np.cos(points * angles))))
    elif kind == 3:  # an oval
        flat = CrossSection.circle(half, SEGMENTS).scale((1.0, float(rng.uniform(0.4, 1.0))))
    else:  # a rectangle
        flat = CrossSection.square((2 * half, 2 * half * float(rng.uniform(0.15, 1.0))), True)
    rounding = half * float(rng.uniform(0.02, 0.2))
    rounded = _offset(_offset(_offset(flat, -rounding), 2 * rounding), -rounding)
    return flat if rounded.is_empty() else rounded


def _polar(angles: Float, radii: Float) -> CrossSection:
    """A polygon from its corners' angles and distances from the middle."""
    return CrossSection(
        [[(float(r * np.cos(a)), float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]]
    )


def prism(rng: np.random.Generator) -> Design:
    """A flat shape of 4-20 cm made high: soap, tins, letters, brackets, wedges, cases.

    Some taper, twist, are pierced or hollow like a tray.
    """
    half = log_uniform(rng, 0.02, 0.1)
    height = float(np.clip(half * log_uniform(rng, 0.15, 3.0), 0.012, 0.25))
    flat = _cross_section(rng, half)
    taper = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.35 else 1.0
    twist = float(rng.uniform(-60, 60)) if rng.random() < 0.12 else 0.0

    def raised(section: CrossSection) -> Manifold:
        return Manifold.extrude(section, height, 12 if twist else 1, twist, (taper, taper))

    solid = raised(flat)
    style = rng.random()
    wall = max(0.003, 0.08 * half)
    inner = _offset(flat, -wall)
    if style < 0.25 and not inner.is_empty():  # a tray or a bin
        floor = float(rng.uniform(0.003, 0.3 * height))
        solid = solid - raised(inner).translate((0.0, 0.0, floor))
    elif style < 0.4:  # pierced
        bore = Manifold.cylinder(height * 1.2, half * float(rng.uniform(0.12, 0.3)), -1.0, 32)
        solid = solid - bore.translate((float(rng.uniform(-0.3, 0.3)) * half, 0.0, -0.1 * height))
    solid = largest_body(solid)
    return Design(solid, _printed(rng, solid), UNKNOWN, gloss=float(rng.choice([0.1, 0.3, 0.5])))


def _piece(rng: np.random.Generator, size: float) -> Manifold:
    """One convex part of about `size` m, centred."""
    a, b, c = (size * float(rng.uniform(0.25, 1.0)) for _ in range(3))
    kind = rng.integers(6)
    if kind == 0:
        return rounded_box((a, b, c), 0.15 * min(a, b, c), 3)
    if kind == 1:
        return Manifold.cylinder(a, b / 2, b / 2 * float(rng.uniform(0.4, 1.0)), 32, True)
    if kind == 2:
        return superquadric(
            (a / 2, b / 2, c / 2), float(rng.uniform(0.3, 1.2)), float(rng.uniform(0.3, 1.2)), 28
        )
    if kind == 3:
        return rod(
            np.array([[-a / 2, 0, 0], [a / 2, 0, 0]]), np.array([b, b * rng.uniform(0.4, 1.0)]) / 4, 20
        )
    if kind == 4:
        return Manifold.sphere(1.0, 32).scale((a / 2, b / 2, c / 2))
    wedge = CrossSection([[(-a / 2, -c / 2), (a / 2, -c / 2), (float(rng.uniform(-0.5, 0.5)) * a, c / 2)]])
    return Manifold.extrude(wedge, b).translate((0.0, 0.0, -b / 2)).rotate((90.0, 0.0, 0.0))


def assembly(rng: np.random.Generator) -> Design:
    """Two to seven parts of boxes, cylinders, cones, balls grown onto each other, 5-25 cm; two in three are the same on
    both sides: toys, tools, appliances, figures."""
    size, mirrored = log_uniform(rng, 0.04, 0.12), rng.random() < 0.65
    solid = _piece(rng, size)
    for _ in range(int(rng.integers(1, 7))):
        part = _piece(rng, size * float(rng.uniform(0.25, 0.9)))
        turns = 90.0 * rng.integers(4, size=3) if rng.random() < 0.6 else rng.uniform(0, 360, 3)
        part = part.rotate(tuple(float(turn) for turn in turns))
        where = solid.to_mesh().vert_properties[:, :3]
        at = where[rng.integers(len(where))] * rng.uniform(0.7, 1.0)
        if mirrored and rng.random() < 0.4:
            at = at * np.array([1.0, 0.0, 1.0])
            part = part + part.mirror((0.0, 1.0, 0.0))
        part = part.translate(tuple(float(x) for x in at))
        solid = solid + part
        if mirrored:
            solid = solid + part.mirror((0.0, 1.0, 0.0))
    if rng.random() < 0.4:  # a flat foot to stand on
        low, high = solid.bounding_box()[2], solid.bounding_box()[5]
        solid = solid.trim_by_plane((0.0, 0.0, 1.0), low + float(rng.uniform(0.02, 0.2)) * (high - low))
    solid = largest_body(solid)
    return Design(solid, _printed(rng, solid), UNKNOWN, gloss=float(rng.choice([0.1, 0.3, 0.5])))


def tray(rng: np.random.Generator) -> Design:
    """An open box of 8-28 cm: trays, crates, drawers, bins; some with compartments or grips."""
    a, b = log_uniform(rng, 0.08, 0.26), log_uniform(rng, 0.06, 0.2)
    height, wall = (
        float(np.clip(log_uniform(rng, 0.02, 0.16), 0.015, 1.2 * min(a, b))),
        float(rng.uniform(0.003, 0.008)),
    )
    rounding, flare = float(rng.uniform(0.05, 0.35)) * min(a, b), float(rng.uniform(1.0, 1.25))
    flat = _offset(CrossSection.square((a - 2 * rounding, b - 2 * rounding), True), rounding)
    solid = Manifold.extrude(flat, height, 1, 0.0, (flare, flare))
    cavity = Manifold.extrude(_offset(flat, -wall), height, 1, 0.0, (flare, flare))
    cavity = cavity.translate((0.0, 0.0, wall))
    solid = solid - cavity
    for _ in range(int(rng.choice(3, p=[0.65, 0.25, 0.1]))):
        along = float(rng.uniform(-0.3, 0.3)) * a
        solid = solid + (Manifold.cube((wall, b, height * 0.8), True).translate((along, 0.0, height * 0.4 + wall / 2))
                         ^ cavity.hull())  # fmt: skip
    if rng.random() < 0.3:
        hole = rounded_box((a * 2, b * 0.3, height * 0.2), min(b * 0.3, height * 0.2) * 0.4, 3)
        solid = solid - hole.translate((0.0, 0.0, height * 0.75))
    solid = largest_body(solid)
    return Design(solid, _printed(rng, solid), UNKNOWN, gloss=0.2)


def ring(rng: np.random.Generator) -> Design:
    """Rolls of tape, tubes, doughnuts, bracelets, napkin rings: 4-16 cm wide, a hole through the middle."""
    outer = log_uniform(rng, 0.02, 0.08)
    inner = outer * float(rng.uniform(0.3, 0.85))
    if rng.random() < 0.4:
        thick = (outer - inner) / 2
        solid = Manifold.revolve(CrossSection.circle(thick, 24).translate((inner + thick, 0.0)), SEGMENTS)
        solid = solid.scale((1.0, 1.0, float(rng.uniform(0.7, 1.6))))
    else:
        height = log_uniform(rng, 0.01, 0.1)
        flat = CrossSection.square((outer - inner, height), True)
        rounding = 0.2 * min(outer - inner, height)
        flat = _offset(_offset(flat, -rounding), rounding)
        solid = Manifold.revolve(flat.translate(((outer + inner) / 2, 0.0)), SEGMENTS)
    solid = largest_body(solid)
    return Design(solid, _printed(rng, solid), ROUND_BOTH_ENDS, gloss=0.3)


def fruit(rng: np.random.Generator) -> Design:
    """Pears, lemons, eggs, avocados, aubergines, tomatoes: 4-20 cm, grown, lying or standing."""
    size, slim = log_uniform(rng, 0.02, 0.055), float(rng.uniform(0.8, 2.2))
    uneven = displaced(rng, np.array([size, size, size]), [(1.5 * size, 0.05), (0.5 * size, 0.01)])
    neck, shift, bend = (
        float(rng.uniform(-0.1, 0.45)),
        float(rng.uniform(0.0, 0.5)),
        float(rng.uniform(0.0, 0.35)),
    )

    def grow(v: Float) -> Float:
        s = v[:, 2] / size
        around = 1 - neck * (0.5 + 0.5 * np.tanh(3 * (s - shift)))
        grown: Float = np.stack(
            [v[:, 0] * around + bend * size * s**2, v[:, 1] * around, v[:, 2] * slim], axis=1
        )
        return grown

    solid = uneven.warp_batch(grow)
    if rng.random() < 0.5:
        solid = solid.rotate((0.0, 90.0, 0.0))
    skin = tx.mottled(rng, tx.color(rng, 0.7, 0.7), 0.03, 0.1)
    spots = tx.speckled(rng, tx.color(rng, 0.7, 0.7), tx.color(rng, 0.4, 0.4), 0.008)
    return Design(solid, (skin, spots)[rng.integers(2)], UNKNOWN, gloss=0.3)


def _offset(flat: CrossSection, by: float) -> CrossSection:
    """Grown (or shrunk, below 0) by so many m, with round corners."""
    return flat.offset(by, circular_segments=24)


def _printed(rng: np.random.Generator, solid: Manifold) -> tx.Texture:
    """Posters on all sides, bands, or one texture for the whole."""
    low, high = np.array(solid.bounding_box()[:3]), np.array(solid.bounding_box()[3:])
    size = float((high - low).max())
    kind = rng.random()
    if kind < 0.35:
        c = tx.color(rng)
        return tx.on_sides([tx.poster(rng, c) for _ in range(3)], low, high)
    if kind < 0.65:
        axis = int(rng.integers(3))
        levels = sorted(float(level) for level in rng.uniform(low[axis], high[axis], int(rng.integers(1, 4))))
        return tx.bands(axis, levels, [tx.any_texture(rng, size) for _ in range(len(levels) + 1)])
    return tx.any_texture(rng, size)
