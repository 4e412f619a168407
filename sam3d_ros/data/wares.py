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
    Profile,
    Symmetry,
    arc,
    hollow,
    largest_body,
    log_uniform,
    rod,
    rounded_box,
    superellipse,
    superquadric,
    to_fit,
    turn_about_z,
)
from sam3d_ros.types import Float


def _belly(rng: np.random.Generator, radius: float, high: float) -> Profile:
    """The outline of a vessel from the bottom upwards: foot, widest place, shoulder, rim."""
    foot, rim = radius * rng.uniform(0.6, 1.0), radius * rng.uniform(0.5, 1.0)
    wide_at, neck_at = high * rng.uniform(0.15, 0.5), high * rng.uniform(0.6, 0.9)
    neck = min(rim, radius) * rng.uniform(0.75, 1.0)
    low = arc((foot, 0.0), (radius, wide_at), rng.uniform(0.0, 0.12) * wide_at, 3)
    shoulder = arc((radius, wide_at), (neck, neck_at), rng.uniform(0.0, 0.15) * (neck_at - wide_at), 4)
    return [*low, *shoulder[1:], (rim, high)]


def _bail(curve: Float, thick: float, squash: float, high: float) -> Manifold:
    """A handle over the top: a bar of radius `thick` m along an arch (N, 2) that stands on a rim at z = `high`."""
    return bar(curve, thick, squash).rotate((90.0, 0.0, 0.0)).translate((0.0, 0.0, high - thick))


def pourer(rng: np.random.Generator) -> Design:
    """A vessel of 7-30 cm with a lip or a spout towards +x and a handle: pitchers, kettles, cans for water."""
    high, slender = log_uniform(rng, 0.06, 0.24), rng.uniform(0.3, 0.95)
    radius = float(np.clip(high * slender, 0.03, 0.1))
    outline = _belly(rng, radius, high)
    rim, wall = outline[-1][0], float(rng.uniform(0.0025, 0.006))
    solid, cavity = hollow(outline, wall, 1.5 * wall)
    spouted = rng.random() < 0.5
    thick = float(rng.uniform(0.004, 0.011))
    if spouted:
        solid = _with_spout(rng, solid, cavity, radius, high)
    if rng.random() < (0.6 if spouted else 0.15):
        solid = _with_lid(rng, solid, rim, high)
    if rng.random() < (0.35 if spouted else 0.0):
        curve = arch(0.9 * rim, high * rng.uniform(0.3, 0.8), 0.0, rng.uniform(1.8, 3.0))
        handle = _bail(curve, thick, rng.uniform(1.0, 2.0), high)
    else:
        handle = _side_handle(rng, outline, thick)
    solid = solid + (handle - cavity)
    solid = _drawn(rng, solid, 0.0 if spouted else rim, high)
    solid = largest_body(solid.simplify(1e-4))
    solid = solid.scale((to_fit(solid, 0.07, 0.3),) * 3)
    return Design(solid, _glaze(rng, high), MIRROR_ONLY, gloss=float(rng.choice([0.1, 0.4, 0.7])))


def _with_spout(
    rng: np.random.Generator, vessel: Manifold, cavity: Manifold, radius: float, high: float
) -> Manifold:
    """A vessel of these sizes in m with a hollow spout, straight or curved, cut off square; seldom with a rose."""
    root = np.array([0.85 * radius, 0.0, high * rng.uniform(0.15, 0.5)])
    tip = np.array([radius + high * rng.uniform(0.25, 0.9), 0.0, high * rng.uniform(0.75, 1.15)])
    bend = 0.5 * (root + tip) + np.array([0.15, 0.0, -0.2]) * rng.uniform(0.0, 1.0) * high
    t = np.linspace(0, 1, 5)[:, None]
    way = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * tip
    wide = rng.uniform(0.009, 0.02)
    radii = np.linspace(wide, wide * rng.uniform(0.45, 0.8), 5)
    last = way[-1] - way[-2]
    long = np.linalg.norm(last)
    spout = rod(way, radii, 12) - cavity
    spout = spout.trim_by_plane(tuple(-last / long), float(-way[-1] @ last / long))
    # The bore begins inside the vessel and goes on beyond the end.
    beyond = np.concatenate([way[1:], [way[-1] + 3 * last]])
    solid = vessel + spout - rod(beyond, np.maximum(radii - 0.003, 0.002), 8)
    if rng.random() < 0.25:
        rose = superquadric((0.01, 2.0 * wide, 2.0 * wide), 0.4, 1.0, 24)
        solid = solid + rose.rotate((0.0, -30.0, 0.0)).translate(tuple(float(x) for x in way[-1]))
    return solid


def _with_lid(rng: np.random.Generator, vessel: Manifold, rim: float, high: float) -> Manifold:
    """A vessel with a domed lid and a knob on its rim, `rim` m in radius and at z = `high`."""
    dome = Manifold.sphere(1.0, 40).scale((1.02 * rim, 1.02 * rim, rng.uniform(0.1, 0.5) * rim))
    knob = Manifold.sphere(float(rng.uniform(0.12, 0.3)) * rim, 20)
    lid = dome.trim_by_plane((0.0, 0.0, 1.0), -0.002).translate((0.0, 0.0, high))
    return vessel + lid + knob.translate((0.0, 0.0, float(lid.bounding_box()[5])))


def _side_handle(rng: np.random.Generator, outline: Profile, thick: float) -> Manifold:
    """A loop of radius `thick` m at the back, towards -x, of a vessel with this outline."""
    high = outline[-1][1]
    span, reach = high * rng.uniform(0.45, 0.85), rng.uniform(0.025, 0.055)
    curve = arch(span / 2, reach, 0.0, rng.uniform(1.8, 4.0))
    loop = bar(curve, thick, rng.uniform(0.9, 1.8)).rotate((90.0, 0.0, 0.0)).rotate((0.0, -90.0, 0.0))
    inner = float(np.interp(high * 0.5, [z for _, z in outline], [r for r, _ in outline]))
    reach_in = inner - 0.7 * thick - (0.12 * inner if span > 0.6 * high else 0.0)
    middle = high * rng.uniform(0.45, 0.55)
    # Tapered vessels are far from the ends of the handle: legs lead back to the wall.
    for z in (middle - span / 2, middle + span / 2):
        leg = rod(np.array([[-reach_in, 0, z], [-0.5 * inner, 0, z]]), np.full(2, thick), 14)
        loop = loop + leg.translate((reach_in, 0.0, -middle))
    return loop.translate((-reach_in, 0.0, middle))


def _drawn(rng: np.random.Generator, solid: Manifold, rim: float, high: float) -> Manifold:
    """A vessel `high` m high, its rim of `rim` m in radius drawn out towards +x to a lip, seldom made oval.

    rim: 0 for a vessel without a lip.
    """
    lip, broad = rim * rng.uniform(0.1, 0.6) if rim else 0.0, rng.uniform(0.2, 0.6)
    squash = float(rng.uniform(0.65, 1.0)) if rng.random() < 0.3 else 1.0

    def pull(v: Float) -> Float:
        ahead = np.exp(-((np.arctan2(v[:, 1], v[:, 0]) / broad) ** 2))
        near = ahead * np.clip((v[:, 2] / high - 0.6) / 0.4, 0, 1) ** 2
        moved: Float = (v + np.outer(lip * near, [1.0, 0.0, 0.25])) * [1.0, squash, 1.0]
        return moved

    if lip:
        solid = solid.simplify(1e-4).refine_to_length(max(0.012, 0.16 * high))
    return solid.warp_batch(pull) if lip or squash < 1 else solid


def _glaze(rng: np.random.Generator, high: float) -> tx.Texture:
    """Of a vessel `high` m high: three bands, or all of one colour or metal."""
    levels = sorted(float(z) for z in rng.uniform(0.1, 1.0, 2) * high)
    paints = [tx.any_texture(rng, high), tx.any_texture(rng, high), tx.mottled(rng, tx.color(rng))]
    if rng.random() >= 0.5:
        return tx.bands(2, levels, paints)
    c = tx.one_of(rng, tx.METALS) if rng.random() < 0.4 else tx.color(rng)
    return tx.mottled(rng, c, 0.04, 0.05)


def sprayer(rng: np.random.Generator) -> Design:
    """A bottle of 12-31 cm with a trigger, a pump or a nozzle on it: cleaners, soap, hair spray, detergent."""
    a, high = rng.uniform(0.022, 0.05), rng.uniform(0.08, 0.2)
    b, power = a * rng.uniform(0.45, 1.0), rng.uniform(0.3, 1.0)
    neck = min(a, b) * rng.uniform(0.3, 0.6)
    body = _bottle(rng, (a, b, high), power, neck / a)
    if rng.random() < 0.25:  # a hole to grip
        hole = rounded_box((0.5 * a, 4 * b, 0.35 * high), 0.2 * a, 3)
        body = body - hole.translate((-0.5 * a, 0.0, 0.6 * high))
    collar = neck * rng.uniform(1.0, 1.4)
    solid = body + Manifold.cylinder(0.022, collar, -1.0, 28).translate((0.0, 0.0, high - 0.006))
    top = high + 0.014
    kind = rng.random()
    if kind < 0.5:
        long, tall = rng.uniform(0.03, 0.06), rng.uniform(0.018, 0.034)
        head = _spray_head(rng, neck, long, tall)
        solid = solid + (head + _trigger(rng, long, tall)).translate((0.0, 0.0, top + 0.4 * tall))
    elif kind < 0.75:
        solid = _with_pump(rng, solid, top)
    else:
        solid = _with_cap(rng, solid, collar, top)
    wrap = tx.around(tx.poster(rng, tx.color(rng)), 0.1 * high, 0.75 * high)
    paints = [wrap if rng.random() < 0.7 else tx.plain(tx.color(rng)), tx.plain(tx.color(rng, 0.6, 0.8))]
    symmetry = MIRROR_ONLY if kind < 0.75 else UNKNOWN
    return Design(largest_body(solid), tx.bands(2, [high - 0.006], paints), symmetry, gloss=0.4)


def _bottle(
    rng: np.random.Generator, size: tuple[float, float, float], power: float, neck: float
) -> Manifold:
    """A body with half axes and height `size` m that closes to the share `neck` of its width, with a waist or not.

    power: of the superellipse it stands on.
    """
    a, b, high = size
    waist, waist_at, shoulder = rng.uniform(0.0, 0.25), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.5)
    foot = superellipse(np.linspace(0, 2 * np.pi, 36, endpoint=False), power) * [a, b]

    def shape(v: Float) -> Float:
        t = v[:, 2] / high
        slim = 1 - waist * np.exp(-(((t - waist_at) / 0.2) ** 2))
        up = np.clip((t - 1 + shoulder) / shoulder, 0, 1)
        close = (np.sqrt(np.clip(1 - up**2, 0, 1)) * (1 - neck) + neck) * slim
        shaped: Float = v * np.stack([close, close, np.ones(len(v))], axis=1)
        return shaped

    return Manifold.extrude(CrossSection([foot.tolist()]), high, 14).warp_batch(shape)


def _spray_head(rng: np.random.Generator, neck: float, long: float, tall: float) -> Manifold:
    """A block `long` by `tall` m that narrows from a neck of `neck` m in radius to a nozzle towards +x."""
    at_nozzle = (long, 0.0, 0.1 * tall)
    back = rounded_box((0.5 * long, 1.4 * neck, tall), 0.003, 2).translate((-0.3 * long, 0.0, 0.0))
    front = rounded_box((0.012, 0.9 * neck, tall * rng.uniform(0.4, 0.9)), 0.002, 2).translate(at_nozzle)
    block = Manifold.batch_hull([back, front])
    nozzle = Manifold.cylinder(0.012, 0.006, -1.0, 16).rotate((0.0, 90.0, 0.0))
    return block + nozzle.translate(at_nozzle)


def _trigger(rng: np.random.Generator, long: float, tall: float) -> Manifold:
    """The lever below a spray head of `long` by `tall` m."""
    way = np.array([[0.5, 0, -0.3], [0.65, 0, -0.9], [rng.uniform(0.6, 1.1), 0, -1.4]])
    return rod(way * [long, 1.0, 1.3 * tall], np.array([0.005, 0.0045, 0.004]), 12)


def _with_pump(rng: np.random.Generator, bottle: Manifold, top: float) -> Manifold:
    """A bottle with a pump at z = `top` m: a stem and a beak that hangs down a little."""
    up, reach = rng.uniform(0.015, 0.045), rng.uniform(0.02, 0.055)
    stem = Manifold.cylinder(up + 0.008, 0.005, -1.0, 18).translate((0.0, 0.0, top - 0.004))
    drop = rng.uniform(0.0, 0.014)
    way = np.array([[-0.006, 0, up], [0.4 * reach, 0, up + 0.002], [reach, 0, up - drop]])
    return bottle + stem + rod(way, np.array([0.008, 0.006, 0.004]), 16).translate((0.0, 0.0, top))


def _with_cap(rng: np.random.Generator, bottle: Manifold, collar: float, top: float) -> Manifold:
    """A bottle with a nozzle or a cap at z = `top` m on a collar of `collar` m."""
    tall = rng.uniform(0.015, 0.07)
    cap = Manifold.cylinder(tall, collar * 0.9, collar * rng.uniform(0.15, 0.9), 32)
    return bottle + cap.translate((0.0, 0.0, top - 0.002))


def lattice(rng: np.random.Generator) -> Design:
    """A basket, a sieve, a crate, a pen cup of 7-30 cm with holes in its walls; some with a handle."""
    wall, flare = float(rng.uniform(0.003, 0.006)), float(rng.uniform(1.0, 1.35))
    high = log_uniform(rng, 0.04, 0.16)
    build = _round_lattice if rng.random() < 0.45 else _square_lattice
    return build(rng, wall, flare, high)


def _square_lattice(rng: np.random.Generator, wall: float, flare: float, high: float) -> Design:
    """Four walls `wall` m thick and `high` m high that lean outwards by the factor `flare`."""
    a, b = log_uniform(rng, 0.06, 0.24), log_uniform(rng, 0.06, 0.24)
    rounding = float(rng.uniform(0.05, 0.3)) * min(a, b)
    flat = CrossSection.square((a - 2 * rounding, b - 2 * rounding), True)
    flat = flat.offset(rounding, circular_segments=20)
    solid = Manifold.extrude(flat, high, 1, 0.0, (flare, flare))
    cavity = Manifold.extrude(flat.offset(-wall, circular_segments=20), high, 1, 0.0, (flare, flare))
    solid = solid - cavity.translate((0.0, 0.0, wall))
    rows, part = int(rng.integers(1, 5)), rng.uniform(0.5, 0.8)
    holes = []
    for turn, long, deep in ((0.0, a, b), (90.0, b, a)):
        grid = _grid_of_holes(rng, long, long - 2 * rounding, 2 * deep * flare, high, rows, part)
        holes += [hole.rotate((0.0, 0.0, turn)) for hole in grid]
    if rng.random() < 0.5:
        holes += _floor_holes(rng, a, b, 4 * wall)
    solid = solid - Manifold.batch_boolean(holes, OpType.Add)
    if rng.random() < 0.3:
        thick = float(rng.uniform(0.004, 0.008))
        curve = arch(a * flare / 2 - wall / 2, high * rng.uniform(0.5, 1.5), 0.0)
        handle = _bail(curve, thick, rng.uniform(1.0, 2.0), high)
        solid = solid + handle
    return Design(largest_body(solid), _paint(rng, high), HALF_TURN, gloss=float(rng.choice([0.1, 0.4])))


def _grid_of_holes(
    rng: np.random.Generator, wide: float, span: float, deep: float, high: float, rows: int, part: float
) -> list[Manifold]:
    """Holes along y, `deep` m, in the flat `span` m of a wall `wide` by `high` m: the share `part` of it is open."""
    columns = max(1, min(int(wide / high * rows * rng.uniform(0.5, 2.0)), 16 // rows))
    step, rise = span / columns, 0.82 * high / rows
    hole = _hole(rng, part * step, part * rise, deep)
    xs = [(i - (columns - 1) / 2) * step for i in range(columns)]
    zs = [0.12 * high + (j + 0.5) * rise for j in range(rows)]
    return [hole.translate((x, 0.0, z)) for x in xs for z in zs]


def _floor_holes(rng: np.random.Generator, a: float, b: float, deep: float) -> list[Manifold]:
    """Holes along z, `deep` m, in a floor of `a` by `b` m."""
    nx, ny = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    hole = _hole(rng, 0.6 * a / (nx + 1), 0.6 * b / (ny + 1), deep).rotate((90.0, 0.0, 0.0))
    xs, ys = np.linspace(-0.38, 0.38, nx) * a, np.linspace(-0.3, 0.3, ny) * b
    return [hole.translate((float(x), float(y), 0.0)) for x in xs for y in ys]


def _hole(rng: np.random.Generator, wide: float, high: float, deep: float) -> Manifold:
    """Along y through its middle: a rectangle, an ellipse, a diamond."""
    corners = int(rng.choice([4, 4, 4, 8, 12]))
    turn = 45.0 if corners == 4 and rng.random() < 0.75 else 0.0
    grow = np.sqrt(2) if turn else 1.0
    hole = Manifold.cylinder(deep, 0.5, -1.0, corners, True).rotate((0.0, 0.0, turn))
    return hole.scale((wide * grow, high * grow, 1.0)).rotate((90.0, 0.0, 0.0))


def _round_lattice(rng: np.random.Generator, wall: float, flare: float, high: float) -> Design:
    """A wall `wall` m thick and `high` m high around z, wider above by the factor `flare`: holes in rings."""
    radius = float(np.clip(high * rng.uniform(0.4, 1.8), 0.03, 0.12))
    bulge = rng.uniform(0.0, 0.2) * high
    outline = arc((radius / flare, 0.0), (radius, high), bulge, 6 if bulge > 0.02 * high else 1)
    solid, _ = hollow(outline, wall, wall)
    count, rows, part = int(rng.integers(6, 20)), int(rng.integers(1, 5)), rng.uniform(0.5, 0.75)
    count = min(count, 44 // rows)
    rise = 0.84 * high / rows
    hole = _hole(rng, part * 2 * np.pi * radius / flare / count, part * rise, 1.6 * radius)
    hole = hole.translate((0.0, radius, 0.0))
    holes = []
    for j in range(rows):
        level = hole.translate((0.0, 0.0, 0.12 * high + (j + 0.5) * rise))
        # Every other ring is turned by half a step, as bricks are laid.
        holes += [level.rotate((0.0, 0.0, 360.0 * (i + 0.5 * (j % 2)) / count)) for i in range(count)]
    solid = solid - Manifold.batch_boolean(holes, OpType.Add)
    symmetry = Symmetry(tuple(turn_about_z(i / count) for i in range(1, count)))
    if rng.random() < 0.3:
        thick = float(rng.uniform(0.003, 0.006))
        curve = arch(radius - wall / 2, high * rng.uniform(0.5, 1.5), 0.0)
        handle = _bail(curve, thick, 1.0, high)
        solid = solid + handle
        symmetry = HALF_TURN if count % 2 == 0 else MIRROR_ONLY
    return Design(largest_body(solid), _paint(rng, high), symmetry, gloss=float(rng.choice([0.1, 0.4])))


def _paint(rng: np.random.Generator, size: float) -> tx.Texture:
    """Plastic, wire or wood in one colour."""
    c = tx.color(rng) if rng.random() < 0.6 else tx.one_of(rng, tx.METALS)
    return [tx.mottled(rng, c), tx.plain(c), tx.any_texture(rng, size)][rng.integers(3)]
