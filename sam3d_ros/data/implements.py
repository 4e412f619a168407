"""What lies in the hand: handles with a broad head, and rounded wedges. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold, OpType  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    MIRROR_ONLY,
    UNKNOWN,
    Design,
    axle,
    largest_body,
    rod,
    rounded_box,
    superquadric,
    to_fit,
    tube,
)
from sam3d_ros.types import Float


def broad_head(rng: np.random.Generator) -> Design:
    """A handle and a head broader than it, 7-32 cm: brushes of all kinds, rollers, squeegees, mirrors, bats, rakes.

    The head lies along the handle, across it or under it; bristles are one block, tufts or a flare.
    """
    length, thick = rng.uniform(0.05, 0.2), rng.uniform(0.004, 0.011)
    wide, broad, deep = rng.uniform(0.022, 0.11), rng.uniform(0.025, 0.1), rng.uniform(0.006, 0.02)
    kind = rng.random()
    handle = _handle(rng, length, thick)
    if kind < 0.2:
        head = _roller(rng, length)
        return _brush(rng, handle + head, -0.4 * deep)
    plate = _plate(rng, wide, broad, deep)
    tall = rng.uniform(0.006, 0.035) if rng.random() < 0.75 else 0.0
    head = plate + _bristles(rng, wide, broad, 0.3 * deep, tall) if tall else plate
    if kind < 0.35:  # the grip is a knob or a bow above the head
        grip = superquadric((0.25 * wide + 0.008, 0.25 * broad + 0.006, 0.012), 0.8, 1.0, 24)
        stem = Manifold.cylinder(0.03, 0.012, 0.008, 20)
        return _brush(rng, head + stem + grip.translate((0.0, 0.0, 0.03)), 0.4 * deep)
    if kind < 0.55 and tall:  # bristles go on along the handle, as of a paint brush
        flat = head.scale((min(1.0, 0.025 / wide), 1.0, 1.5)).rotate((0.0, -90.0, 0.0))
        return _brush(rng, handle + flat.translate((0.5 * deep, 0.0, 0.0)), 0.9 * deep, axis=0)
    head = head.translate((0.44 * wide, 0.0, 0.0)).rotate((0.0, rng.uniform(-12, 25), 0.0))
    return _brush(rng, handle + head, -0.4 * deep)


def _roller(rng: np.random.Generator, length: float) -> Manifold:
    """A drum across the end of a handle of `length` m, on a wire that leads around to its far side."""
    radius, across = rng.uniform(0.012, 0.03), rng.uniform(0.05, 0.16)
    out, x = across / 2 + 0.008, length * 0.4
    end = x * 1.2 + radius
    way = np.array([[-0.02, 0, 0], [x * 0.5, 0, 0], [x * 0.7, out, 0], [end, out, 0], [end, 0, 0]])
    drum = axle(across, radius, 36)
    return rod(way, np.full(5, rng.uniform(0.003, 0.005)), 12) + drum.translate((end, 0.0, 0.0))


def _plate(rng: np.random.Generator, wide: float, broad: float, deep: float) -> Manifold:
    """What holds the bristles, `wide` m along the handle and `broad` m across: a box, an oval, a trapezium."""
    shape = rng.random()
    if shape < 0.45:
        return rounded_box((wide, broad, deep), 0.45 * deep, 3)
    if shape < 0.8:
        half = (wide / 2, broad / 2, deep / 2)
        return superquadric(half, rng.uniform(0.3, 1.0), rng.uniform(0.5, 1.0), 32)
    near = rounded_box((0.4 * wide, broad * rng.uniform(0.15, 0.9), deep), 0.4 * deep, 2)
    far = rounded_box((0.4 * wide, broad, deep), 0.4 * deep, 2)
    ends = [near.translate((-0.3 * wide, 0.0, 0.0)), far.translate((0.3 * wide, 0.0, 0.0))]
    return Manifold.batch_hull(ends)


def _handle(rng: np.random.Generator, length: float, thick: float) -> Manifold:
    """From x = -length to a little beyond the origin, of varying thickness, bent upwards or straight."""
    t = np.linspace(0, 1, 13)
    curve = np.stack([(t - 1) * length, rng.uniform(-0.12, 0.12) * length * np.sin(np.pi * t)], axis=1)
    knots = thick * rng.uniform(0.6, 1.3, 5)
    knots[-1] = min(knots[-1], 0.007)  # slender at the head, which would vanish in it
    radii = np.interp(t, np.linspace(0, 1, 5), knots) * np.where(t == 0, 0.6, 1.0)
    flat = np.column_stack([curve, np.zeros(13)])
    squash = float(np.exp(rng.uniform(-0.6, 0.5)))
    solid = tube(flat, radii, squash, 14)
    if rng.random() < 0.3 and thick > 0.006:  # a hole to hang it up
        bore = Manifold.cylinder(0.1, 0.45 * float(radii[1]), -1.0, 16, True)
        solid = solid - bore.translate((float(curve[1, 0]), float(curve[1, 1]), 0.0))
    return solid.rotate((90.0, 0.0, 0.0))


def _bristles(rng: np.random.Generator, wide: float, broad: float, foot: float, tall: float) -> Manifold:
    """Below z = 0: a block that flares or narrows, a rubber lip, or up to 42 tufts.

    `tall` m seen, `foot` m more in the plate of `wide` by `broad` m.
    """
    kind, long = rng.random(), tall + foot
    if kind < 0.5:
        flare = float(rng.uniform(0.7, 1.4))
        flat = CrossSection.square((0.8 * wide, 0.8 * broad), True).offset(0.04 * min(wide, broad))
        if rng.random() < 0.4:
            flat = CrossSection.circle(0.5, 32).scale((0.85 * wide, 0.85 * broad))
        return Manifold.extrude(flat, long, 1, 0.0, (flare, flare)).mirror((0.0, 0.0, 1.0))
    if kind < 0.65:
        return rounded_box((0.006, 0.9 * broad, long), 0.002, 2).translate((0.0, 0.0, -0.5 * long))
    nx, ny = int(np.clip(wide / 0.012, 1, 6)), int(np.clip(broad / 0.012, 2, 7))
    radius = 0.3 * min(0.7 * wide / nx, 0.7 * broad / ny)
    tuft = Manifold.cylinder(long, radius, radius * rng.uniform(0.7, 1.3), 7).mirror((0.0, 0.0, 1.0))
    xs = (np.arange(nx) - (nx - 1) / 2) * 0.7 * wide / nx
    ys = (np.arange(ny) - (ny - 1) / 2) * 0.7 * broad / ny
    tufts = [tuft.translate((float(x), float(y), 0.0)) for x in xs for y in ys]
    return Manifold.batch_boolean(tufts, OpType.Add)


def _brush(rng: np.random.Generator, solid: Manifold, cut: float, axis: int = 2) -> Design:
    """One colour below `cut` m along an axis, another above."""
    solid = largest_body(solid)
    factor = to_fit(solid, 0.07, 0.32)
    hair = tx.speckled(rng, tx.color(rng, 0.4, 0.6), tx.color(rng, 0.3, 0.4), 0.004)
    texture = tx.bands(axis, [cut * factor], [hair, tx.any_texture(rng, 0.1)])
    return Design(solid.scale((factor,) * 3), texture, UNKNOWN, gloss=0.2)


def wedge(rng: np.random.Generator) -> Design:
    """A rounded wedge of 5-25 cm, thicker at one end: mice, staplers, tape dispensers, irons, punches, doorstops."""
    kind = rng.random()
    if kind < 0.45:
        return _mouse(rng)
    return _stapler(rng) if kind < 0.7 else _dispenser(rng)


def _mouse(rng: np.random.Generator) -> Design:
    """A back that rises and falls on a flat foot, with a groove, a wheel or a bow: mice, irons, shavers."""
    length = rng.uniform(0.06, 0.16)
    wide, high = length * rng.uniform(0.45, 0.8), length * rng.uniform(0.25, 0.55)
    solid = _back(rng, length, wide, high)
    if rng.random() < 0.4:  # the line between two keys
        line = Manifold.cube((length, 0.0025, 2 * high), True)
        solid = solid - line.translate((0.62 * length, 0.0, 0.3 * high + high))
    if rng.random() < 0.45:
        wheel = axle(0.1 * wide, 0.25 * high, 24)
        solid = solid + wheel.translate((0.25 * length, 0.0, 0.62 * high))
    elif rng.random() < 0.5:  # a bow to hold
        t = np.linspace(-1, 1, 9)
        tall = high * rng.uniform(1.3, 1.9)
        way = np.stack([0.33 * length * t, 0 * t, tall - (tall - 0.4 * high) * t**4], axis=1)
        solid = solid + rod(way, np.full(9, rng.uniform(0.07, 0.12) * length), 14)
    a, b = tx.mottled(rng, tx.color(rng, 0.4, 0.5), 0.04, 0.05), tx.plain(tx.color(rng, 0.5, 0.6))
    level = float(rng.uniform(0.0, 0.6)) * high
    return Design(largest_body(solid), tx.bands(2, [level], [a, b]), MIRROR_ONLY, gloss=0.3)


def _back(rng: np.random.Generator, length: float, wide: float, high: float) -> Manifold:
    """A hump of these sizes in m on a flat foot: highest, broadest and leaning where chance has it."""
    top, narrow, lean = rng.uniform(-0.5, 0.5), rng.uniform(-0.4, 0.4), rng.uniform(-0.25, 0.25)
    waist, sharp = rng.uniform(0.0, 0.2), rng.uniform(0.3, 0.9)
    ball = superquadric((1.0, 1.0, 1.0), rng.uniform(0.5, 1.0), sharp, 40)

    def shape(v: Float) -> Float:
        x, up = v[:, 0], v[:, 2]
        hump = 1 - 0.75 * np.clip(np.abs(x - top) / (1 + abs(top)), 0, 1) ** 2
        side = (1 + narrow * x) * (1 - waist * np.cos(0.5 * np.pi * x) ** 2)
        across = v[:, 1] * side + lean * np.clip(up, 0, 1)
        shaped: Float = np.stack([0.5 * length * x, 0.5 * wide * across, high * up * hump], axis=1)
        return shaped

    return ball.trim_by_plane((0.0, 0.0, 1.0), -0.12).warp_batch(shape)


def _stapler(rng: np.random.Generator) -> Design:
    """Two long pieces that open at an angle from a common end: staplers, punches, nutcrackers, pegs."""
    length, wide = rng.uniform(0.07, 0.2), rng.uniform(0.016, 0.045)
    low, high, gape = rng.uniform(0.006, 0.016), rng.uniform(0.012, 0.03), float(rng.uniform(4, 22))
    foot = rounded_box((length, wide * rng.uniform(0.9, 1.5), low), 0.4 * low, 3)
    foot = foot.translate((length / 2, 0.0, low / 2))
    at, tall = rng.uniform([0.75, 0.6, 0.5], [0.95, 1.0, 1.2]), rng.uniform(0.8, 1.5)
    back = superquadric((0.12 * length, wide / 2, tall * high / 2), 0.5, 0.6, 24)
    front = superquadric((0.12 * length, at[1] * wide / 2, at[2] * high / 2), 0.5, 0.6, 24)
    ends = [back.translate((0.12 * length, 0.0, 0.0)), front.translate((float(at[0]) * length, 0.0, 0.0))]
    arm = Manifold.batch_hull(ends)
    lift = (0.0, 0.0, low + 0.35 * high)
    solid = foot + arm.rotate((0.0, -gape, 0.0)).translate(lift)
    if rng.random() < 0.6:  # a rail between
        rail = rounded_box((0.85 * length, 0.55 * wide, 0.4 * high), 0.002, 2)
        rail = rail.translate((0.45 * length, 0.0, 0.0)).rotate((0.0, -0.5 * gape, 0.0))
        solid = solid + rail.translate(lift)
    hinge = axle(1.1 * wide, 0.6 * (low + high), 24)
    solid = solid + hinge.translate((0.08 * length, 0.0, low + 0.1 * high))
    a, b = tx.plain(tx.color(rng, 0.6, 0.6)), tx.mottled(rng, tx.one_of(rng, tx.METALS))
    return Design(largest_body(solid), tx.bands(2, [1.2 * low], [b, a]), MIRROR_ONLY, gloss=0.4)


def _dispenser(rng: np.random.Generator) -> Design:
    """A side view with soft corners made broad, hollowed for a roll or not: tape dispensers, phone rests, doorstops."""
    length, wide = rng.uniform(0.05, 0.2), rng.uniform(0.02, 0.08)
    tops = length * rng.uniform(0.1, 0.65, int(rng.integers(2, 6)))
    tops[-1] = min(tops[-1], length * rng.uniform(0.05, 0.4))
    side = _side_view(tops, length, length * rng.uniform(0.01, 0.05))
    solid = _with_roll(rng, _swollen(rng, side, length, wide), tops, length, wide)
    if rng.random() < 0.3:  # a bore from side to side
        lowest = float(tops.min())
        bore = axle(2 * wide, 0.18 * lowest + 0.002, 24)
        solid = solid - bore.translate((0.5 * length, 0.0, 0.45 * lowest))
    paint = tx.any_texture(rng, length) if rng.random() < 0.5 else tx.plain(tx.color(rng))
    return Design(largest_body(solid), paint, UNKNOWN, gloss=0.3)


def _side_view(tops: Float, length: float, corner: float) -> CrossSection:
    """A profile on y = 0 under the heights `tops` (N,) m, corners in and out rounded by `corner` m if they can be."""
    xs = np.linspace(0.0, length, len(tops))
    back = zip(xs[::-1].tolist(), tops[::-1].tolist(), strict=True)
    side = CrossSection([[(0.0, 0.0), (float(length), 0.0), *back]])
    soft = side
    for step in (-corner, 2 * corner, -corner):
        soft = soft.offset(step, circular_segments=16)
    return side if soft.is_empty() else soft


def _swollen(rng: np.random.Generator, side: CrossSection, length: float, wide: float) -> Manifold:
    """A side view `length` m long made `wide` m broad, smaller towards its sides and narrower at one end."""
    bulge, squeeze = rng.uniform(0.0, 0.12), rng.uniform(-0.3, 0.3)
    middle = np.array([0.5 * length, 0.2 * length])

    def swell(v: Float) -> Float:
        z = v[:, 2] / wide - 0.5  # -0.5 .. 0.5
        rim = 1 - bulge * (2 * z) ** 4
        flat = middle + (v[:, :2] - middle) * rim[:, None]
        moved: Float = np.column_stack([flat, wide * z * (1 + squeeze * (v[:, 0] / length - 0.5))])
        return moved

    return Manifold.extrude(side, wide, 6).warp_batch(swell).rotate((90.0, 0.0, 0.0))


def _with_roll(
    rng: np.random.Generator, solid: Manifold, tops: Float, length: float, wide: float
) -> Manifold:
    """A body with a roll in its highest place, or the hollow for one, or neither; all lengths in m."""
    i = int(np.argmax(tops))
    x = float(np.clip(np.linspace(0.0, length, len(tops))[i], 0.25 * length, 0.75 * length))
    top = float(tops[i])
    place, radius = (x, 0.0, top * 0.95), float(rng.uniform(0.4, 0.7)) * top
    disc = axle(0.7 * wide, radius, 36).translate(place)
    style = rng.random()
    if style < 0.35:
        return solid + (disc - axle(wide, 0.6 * radius, 36).translate(place))
    return solid - disc if style < 0.65 else solid
