"""Hard things with bends, studs and holes. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    HALF_TURN,
    MIRROR_ONLY,
    UNKNOWN,
    Design,
    Symmetry,
    axle,
    largest_body,
    log_uniform,
    rod,
    rounded_box,
    superellipse,
    superquadric,
    threaded,
    to_fit,
    tube,
    turn_about_z,
)
from sam3d_ros.types import Float


def bar(curve: Float, thick: float, squash: float = 1.0) -> Manifold:
    """A bar of radius `thick` m along a curve (N, 2) in the xy plane, with round ends."""
    flat = np.column_stack([curve, np.zeros(len(curve))])
    solid = tube(flat, np.full(len(curve), thick), squash, 12)
    for end in (flat[0], flat[-1]):
        cap = Manifold.sphere(thick, 12).scale((1.0, 1.0, squash))
        solid = solid + cap.translate(tuple(float(x) for x in end))
    return solid


def arch(wide: float, high: float, legs: float, power: float = 2.0) -> Float:
    """(N, 2) an arch over x from -wide to wide, `high` m above its straight legs of `legs` m; foot at y = 0.

    power: 2 an ellipse, more is squarer.
    """
    curve = superellipse(np.linspace(np.pi, 0, 19), 2 / power) * [wide, high] + [0.0, legs]
    return np.concatenate([[[-wide, 0.0]], curve, [[wide, 0.0]]]) if legs > 0 else curve


def bent_bar(rng: np.random.Generator) -> Design:
    """4-26 cm of bent bar: padlocks, clamps, hooks on a plate, brackets, snap hooks, horseshoes, hangers."""
    kind = (_padlock, _clamp, _hook, _snap_hook, _bracket)[rng.integers(5)]
    solid, cut, axis = kind(rng)
    factor = to_fit(solid, 0.04, 0.26)
    solid, cut = solid.scale((factor,) * 3), cut * factor
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.02, 0.04)
    other = [tx.plain(tx.color(rng, 0.8, 0.7)), tx.any_texture(rng, 0.1), steel][rng.integers(3)]
    return Design(largest_body(solid), tx.bands(axis, [cut], [other, steel]), UNKNOWN, gloss=0.5)


Bent = tuple[Manifold, float, int]
"""A solid, and where along which axis its second material begins."""


def _padlock(rng: np.random.Generator) -> Bent:
    """A block and a shackle in it."""
    a, b, c = rng.uniform(0.025, 0.08), rng.uniform(0.025, 0.08), rng.uniform(0.01, 0.03)
    if rng.random() < 0.6:
        body = rounded_box((a, b, c), 0.3 * c * rng.uniform(0.2, 1.0), 3)
    else:
        body = superquadric((a / 2, b / 2, c / 2), rng.uniform(0.2, 0.9), rng.uniform(0.3, 1.0), 32)
    thick, wide = c * rng.uniform(0.14, 0.3), a * rng.uniform(0.25, 0.4)
    shackle = bar(arch(wide, wide * rng.uniform(0.8, 1.4), b * rng.uniform(0.15, 1.2)), thick)
    return body + shackle.translate((0.0, b * 0.3, 0.0)), 0.5 * b, 1


def _clamp(rng: np.random.Generator) -> Bent:
    """What squeezes: by a spring or by a screw."""
    return _spring_clamp(rng) if rng.random() < 0.3 else _screw_clamp(rng)


def _spring_clamp(rng: np.random.Generator) -> Bent:
    """Two arms that cross or nearly touch, around a roll for the spring."""
    length, apart, thick = rng.uniform(0.06, 0.16), rng.uniform(0.01, 0.03), rng.uniform(0.004, 0.009)
    x = np.linspace(-0.5, 0.5, 13)
    closing = rng.uniform(0.8, 1.6) * (x + 0.5)
    curved = rng.uniform(0.0, 1.0) * np.cos(2 * np.pi * x) / 3
    lift = apart * (1.0 - closing + curved)
    arm = bar(np.stack([x * length, lift + thick], axis=1), thick, rng.uniform(1.0, 2.5))
    roll = Manifold.cylinder(4 * thick, 0.5 * apart + thick, -1.0, 28, True)
    return arm + arm.mirror((0.0, 1.0, 0.0)) + roll, -0.15 * length, 0


def _screw_clamp(rng: np.random.Generator) -> Bent:
    """A frame of C shape and a screw with a bar or a knob, vices too."""
    wide, high, thick = rng.uniform(0.03, 0.09), rng.uniform(0.03, 0.14), rng.uniform(0.004, 0.01)
    corner = arch(high / 2, wide, 0.0, rng.uniform(2.2, 6.0))[:, ::-1] * [-1.0, 1.0]
    frame = bar(corner, thick, rng.uniform(0.8, 1.8))
    screw = threaded(0.8 * thick, 0.12 * thick, high * rng.uniform(0.7, 1.1), 1.2 * thick, 12)
    top = 0.1 * high
    screw = screw.rotate((90.0, 0.0, 0.0)).translate((0.0, top, 0.0))
    bottom = top - (screw.bounding_box()[4] - screw.bounding_box()[1])
    if rng.random() < 0.6:
        way = np.array([[-1.0, 0, 0], [1.0, 0, 0]]) * wide * rng.uniform(0.2, 0.5)
        grip = rod(way, np.full(2, 0.45 * thick), 12)
    else:
        knob = Manifold.cylinder(2 * thick, 2.2 * thick, -1.0, int(rng.choice([4, 6, 24])), True)
        grip = knob.rotate((90.0, 0.0, 0.0))
    foot = Manifold.cylinder(0.8 * thick, 1.5 * thick, -1.0, 24, True).rotate((90.0, 0.0, 0.0))
    solid = frame + screw + grip.translate((0.0, bottom, 0.0)) + foot.translate((0.0, top, 0.0))
    solid = solid + foot.translate((0.0, 0.5 * high - thick, 0.0))
    return solid, -0.4 * high, 1


def _hook(rng: np.random.Generator) -> Bent:
    """One to four hooks on a plate: coat hooks, racks for keys, wall brackets."""
    count, thick = int(rng.choice([1, 1, 2, 3, 4])), rng.uniform(0.003, 0.008)
    reach, drop, up = rng.uniform(0.015, 0.06), rng.uniform(0.0, 0.05), rng.uniform(0.3, 2.0)
    s = np.linspace(0, np.pi, 15)
    curl = np.stack([reach * 0.5 * (1 - np.cos(s)), -drop - reach * 0.5 * np.sin(s)], axis=1)
    line = np.concatenate([[[0.0, 0.5 * drop + thick]], curl, [[reach * 1.05, -drop + up * thick * 2]]])
    hook = bar(line, thick, rng.uniform(1.0, 1.8))
    gap = rng.uniform(0.025, 0.06)
    solid = Manifold()
    for i in range(count):
        solid = solid + hook.translate((0.0, 0.0, (i - (count - 1) / 2) * gap))
    high, wide = drop + reach * rng.uniform(0.6, 1.5), (count - 1) * gap + rng.uniform(3, 8) * thick
    plate = rounded_box((2.2 * thick, high, wide), 0.8 * thick, 2)
    return solid + plate.translate((-0.5 * thick, -0.5 * drop, 0.0)), float(0.8 * thick), 0


def _snap_hook(rng: np.random.Generator) -> Bent:
    """A closed or nearly closed loop: snap hooks, shackles, links, horseshoes, key rings."""
    wide, high, thick = rng.uniform(0.018, 0.05), rng.uniform(0.025, 0.08), rng.uniform(0.0035, 0.009)
    gap = rng.choice([0.0, rng.uniform(0.1, 1.5)])
    angle = np.linspace(0.02 + gap / 2, 2 * np.pi - 0.02 - gap / 2, 48)
    loop = superellipse(angle, 2 / rng.uniform(1.8, 4.0)) * [wide, high]
    loop[:, 0] *= 1 + rng.uniform(0.0, 0.35) * np.sin(angle)  # broader above: a pear
    solid = bar(loop, min(thick, 0.3 * wide), rng.uniform(0.6, 1.5))
    if rng.random() < 0.4:
        eye = Manifold.revolve(CrossSection.circle(thick, 12).translate((2.2 * thick, 0.0)), 24)
        solid = solid + eye.translate((0.0, -high - 1.5 * thick, 0.0))
    return solid, float(rng.uniform(-high, high)), 1


def _bracket(rng: np.random.Generator) -> Bent:
    """A strip or a bar bent three to six times, with holes in it: brackets, stands, hangers, handles."""
    bends, thick = int(rng.integers(2, 7)), rng.uniform(0.002, 0.006)
    wide, symmetric = rng.uniform(1.5, 12.0) * thick, rng.random() < 0.5
    turns = rng.choice([-90.0, 90.0, 45.0, -45.0, rng.uniform(-120, 120)], bends + 1)
    headings = np.cumsum(turns) * np.pi / 180
    lengths = rng.uniform(0.02, 0.06, bends + 1)[:, None]
    steps = lengths * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    if symmetric:
        line[:, 0] -= line[0, 0]
        line = np.concatenate([line[:0:-1] * [-1.0, 1.0], line])
    post = Manifold.cylinder(2 * wide, thick, -1.0, 14, True)
    solid = Manifold()
    for a, b in pairwise(line):
        piece = Manifold.batch_hull([post.translate((float(x), float(y), 0.0)) for x, y in (a, b)])
        if wide > 2.5 * thick and rng.random() < 0.4:
            turn = float(np.degrees(np.arctan2(b[1] - a[1], b[0] - a[0])))
            bore = axle(6 * thick, 0.45 * wide, 16).rotate((0.0, 0.0, turn))
            piece = piece - bore.translate((*((a + b) / 2).tolist(), 0.0))
        solid = solid + piece
    return solid.rotate((90.0, 0.0, 0.0)), 1.0, 2


def brick(rng: np.random.Generator) -> Design:
    """Building bricks of 2-24 cm: with studs, hollow below, bored through, sloped, arched, stacked."""
    unit = log_uniform(rng, 0.016, 0.045)
    longest = max(1, int(0.24 / unit))
    nx, ny = min(int(rng.integers(1, 9)), longest), min(int(rng.integers(1, 5)), longest)
    high = float(rng.choice([0.4, 1.2, 1.2, 0.6, 2.0]) * rng.uniform(0.8, 1.2)) * unit
    if nx * ny == 1:
        high = max(high, unit)
    size = np.array([nx * unit, ny * unit, high])
    studs = rng.random() < 0.8
    solid, symmetry = _one_brick(rng, unit, nx, ny, high, studs), HALF_TURN
    if nx == ny:
        symmetry = Symmetry(tuple(turn_about_z(i / 4) for i in range(1, 4)))
    kind = rng.random()
    if kind < 0.25:
        solid, symmetry = _bored(solid, unit, nx, size), HALF_TURN
    elif kind < 0.4 and nx > 1:
        solid, symmetry = _sloped(rng, solid, size), MIRROR_ONLY
    elif kind < 0.5 and nx > 2:
        solid, symmetry = _arched(solid, size), HALF_TURN
    elif kind < 0.75:
        solid, symmetry = _stacked(rng, solid, unit, nx, ny, high, studs), UNKNOWN
    paints = [tx.plain(tx.color(rng, 0.85, 0.8)) for _ in range(3)]
    texture = tx.bands(2, [high + 0.0005, high * 2], paints) if kind >= 0.5 else paints[0]
    if rng.random() < 0.2:
        texture = tx.wood(rng, tx.one_of(rng, tx.WOODS), 0)
    return Design(largest_body(solid), texture, symmetry, gloss=0.4)


def _centred(count: int) -> Float:
    """(count,) places one unit apart around 0."""
    return np.arange(count) - (count - 1) / 2


def _bored(solid: Manifold, unit: float, nx: int, size: Float) -> Manifold:
    """A brick of `size` (3,) m with a bore from side to side through each of its `nx` units of `unit` m."""
    bore = axle(1.2 * size[1], min(0.32 * unit, 0.36 * size[2]), 20)
    for x in _centred(nx):
        solid = solid - bore.translate((float(x) * unit, 0.0, size[2] / 2))
    return solid


def _sloped(rng: np.random.Generator, solid: Manifold, size: Float) -> Manifold:
    """A brick of `size` (3,) m that falls towards +x to a low lip."""
    long, broad, high = size
    foot, lip = 0.5 * long * rng.uniform(0.0, 0.5), rng.uniform(0.15, 0.4) * high
    cut = CrossSection([[(foot, high), (long * 0.51, lip), (long * 0.51, 2 * high), (foot, 2 * high)]])
    return solid - Manifold.extrude(cut, 2 * broad).rotate((90.0, 0.0, 0.0)).translate((0.0, broad, 0.0))


def _arched(solid: Manifold, size: Float) -> Manifold:
    """A brick of `size` (3,) m with a vault below, from side to side."""
    long, broad, high = size
    vault = axle(1.2 * broad, 0.3 * long, 40)
    return solid - vault.scale((1.0, 1.0, min(1.0, 0.75 * high / (0.3 * long))))


def _stacked(
    rng: np.random.Generator, solid: Manifold, unit: float, nx: int, ny: int, high: float, studs: bool
) -> Manifold:
    """A brick of nx by ny units of `unit` m, `high` m high, with one to three smaller ones on top."""
    half = unit * np.array([nx, ny]) / 2
    at: Float = np.zeros(2)
    for _ in range(int(rng.integers(1, 4))):
        mx, my = int(rng.integers(1, nx + 1)), int(rng.integers(1, ny + 1))
        step: Float = unit * rng.integers([-nx + 1, -ny + 1], [nx, ny]) / 2
        at = np.clip(at + step, -half, half)
        more = float(rng.choice([0.5, 1.2])) * unit
        # Half a millimetre into the one below: two bricks that only touch would be two bodies.
        upper = _one_brick(rng, unit, mx, my, more, studs).translate((*at.tolist(), high - 0.0005))
        solid, high = solid + upper, high + more
    return solid


def _one_brick(rng: np.random.Generator, unit: float, nx: int, ny: int, high: float, studs: bool) -> Manifold:
    """nx by ny units of `unit` m on z = 0, `high` m high."""
    size = np.array([nx * unit, ny * unit, high])
    solid = rounded_box(size - 0.0002, 0.02 * unit, 1).translate((0.0, 0.0, high / 2))
    if rng.random() < 0.5:  # hollow below
        wall = 0.15 * unit
        hollow = Manifold.cube((size[0] - 2 * wall, size[1] - 2 * wall, 2 * (high - wall)), True)
        solid = solid - hollow
    if studs:
        radius, tall, sunk = unit * 0.3, unit * 0.22, 0.05 * unit
        stud = Manifold.cylinder(tall + sunk, radius, radius * 0.97, 14)
        for x in _centred(nx):
            for y in _centred(ny):
                solid = solid + stud.translate((float(x) * unit, float(y) * unit, high - sunk))
    return solid
