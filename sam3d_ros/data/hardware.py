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
    largest_body,
    rod,
    rounded_box,
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
    angle = np.linspace(np.pi, 0, 19)
    c, s = np.cos(angle), np.sin(angle)
    curve = np.stack(
        [np.sign(c) * np.abs(c) ** (2 / power) * wide, np.abs(s) ** (2 / power) * high + legs], axis=1
    )
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
    """A frame of C shape and a screw with a bar or a knob, vices too; or two arms under a spring."""
    if rng.random() < 0.3:
        length, apart, thick = rng.uniform(0.06, 0.16), rng.uniform(0.01, 0.03), rng.uniform(0.004, 0.009)
        x = np.linspace(-0.5, 0.5, 13)
        lift = apart * (
            1.0 - rng.uniform(0.8, 1.6) * (x + 0.5) + rng.uniform(0.0, 1.0) * np.cos(2 * np.pi * x) / 3
        )
        arm = bar(np.stack([x * length, lift + thick], axis=1), thick, rng.uniform(1.0, 2.5))
        roll = Manifold.cylinder(4 * thick, 0.5 * apart + thick, -1.0, 28, True)
        return arm + arm.mirror((0.0, 1.0, 0.0)) + roll, -0.15 * length, 0
    wide, high, thick = rng.uniform(0.03, 0.09), rng.uniform(0.03, 0.14), rng.uniform(0.004, 0.01)
    corner = arch(high / 2, wide, 0.0, rng.uniform(2.2, 6.0))[:, ::-1] * [-1.0, 1.0]
    frame = bar(corner, thick, rng.uniform(0.8, 1.8))
    screw = threaded(0.8 * thick, 0.12 * thick, high * rng.uniform(0.7, 1.1), 1.2 * thick, 12)
    screw = screw.rotate((90.0, 0.0, 0.0)).translate((0.0, 0.1 * high, 0.0))
    end = 0.1 * high - (screw.bounding_box()[4] - screw.bounding_box()[1])
    if rng.random() < 0.6:
        grip = rod(
            np.array([[-1.0, 0, 0], [1.0, 0, 0]]) * wide * rng.uniform(0.2, 0.5), np.full(2, 0.45 * thick), 12
        )
    else:
        grip = Manifold.cylinder(2 * thick, 2.2 * thick, -1.0, int(rng.choice([4, 6, 24])), True).rotate(
            (90.0, 0.0, 0.0)
        )
    foot = Manifold.cylinder(0.8 * thick, 1.5 * thick, -1.0, 24, True).rotate((90.0, 0.0, 0.0))
    solid = frame + screw + grip.translate((0.0, end, 0.0)) + foot.translate((0.0, 0.1 * high, 0.0))
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
    power = rng.uniform(1.8, 4.0)
    c, s = np.cos(angle), np.sin(angle)
    pear = 1 + rng.uniform(0.0, 0.35) * s
    loop = np.stack(
        [np.sign(c) * np.abs(c) ** (2 / power) * wide * pear, np.sign(s) * np.abs(s) ** (2 / power) * high],
        axis=1,
    )
    solid = bar(loop, min(thick, 0.3 * wide), rng.uniform(0.6, 1.5))
    if rng.random() < 0.4:
        eye = Manifold.revolve(CrossSection.circle(thick, 12).translate((2.2 * thick, 0.0)), 24)
        solid = solid + eye.translate((0.0, -high - 1.5 * thick, 0.0))
    return solid, float(rng.uniform(-high, high)), 1


def _bracket(rng: np.random.Generator) -> Bent:
    """A strip or a bar bent three to six times, with holes in it: brackets, stands, hangers, handles."""
    bends, thick = int(rng.integers(2, 7)), rng.uniform(0.002, 0.006)
    wide, symmetric = rng.uniform(1.5, 12.0) * thick, rng.random() < 0.5
    headings = (
        np.cumsum(rng.choice([-90.0, 90.0, 45.0, -45.0, rng.uniform(-120, 120)], bends + 1)) * np.pi / 180
    )
    steps = rng.uniform(0.02, 0.06, bends + 1)[:, None] * np.stack(
        [np.cos(headings), np.sin(headings)], axis=1
    )
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    if symmetric:
        line[:, 0] -= line[0, 0]
        line = np.concatenate([line[:0:-1] * [-1.0, 1.0], line])
    solid = Manifold()
    for a, b in pairwise(line):
        ends = [
            Manifold.cylinder(2 * wide, thick, -1.0, 14, True).translate((float(p[0]), float(p[1]), 0.0))
            for p in (a, b)
        ]
        piece = Manifold.batch_hull(ends)
        if wide > 2.5 * thick and rng.random() < 0.4:
            bore = Manifold.cylinder(6 * thick, 0.45 * wide, -1.0, 16, True).rotate((90.0, 0.0, 0.0))
            turn = float(np.degrees(np.arctan2(b[1] - a[1], b[0] - a[0])))
            piece = piece - bore.rotate((0.0, 0.0, turn)).translate((*((a + b) / 2).tolist(), 0.0))
        solid = solid + piece
    return solid.rotate((90.0, 0.0, 0.0)), 1.0, 2


def brick(rng: np.random.Generator) -> Design:
    """Building bricks of 2-24 cm: with studs, hollow below, bored through, sloped, arched, stacked."""
    unit = float(np.exp(rng.uniform(np.log(0.016), np.log(0.045))))
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
    if kind < 0.25:  # bored through, from side to side
        bore = Manifold.cylinder(1.2 * size[1], min(0.32 * unit, 0.36 * high), -1.0, 20, True).rotate(
            (90.0, 0.0, 0.0)
        )
        for x in np.arange(nx) - (nx - 1) / 2:
            solid = solid - bore.translate((float(x) * unit, 0.0, high / 2))
        symmetry = HALF_TURN
    elif kind < 0.4 and nx > 1:  # a slope
        foot, lip = 0.5 * size[0] * rng.uniform(0.0, 0.5), rng.uniform(0.15, 0.4) * high
        cut = CrossSection(
            [[(foot, high), (size[0] * 0.51, lip), (size[0] * 0.51, 2 * high), (foot, 2 * high)]]
        )
        wedge = Manifold.extrude(cut, 2 * size[1]).rotate((90.0, 0.0, 0.0)).translate((0.0, size[1], 0.0))
        solid, symmetry = solid - wedge, MIRROR_ONLY
    elif kind < 0.5 and nx > 2:  # an arch
        vault = Manifold.cylinder(1.2 * size[1], 0.3 * size[0], -1.0, 40, True).rotate((90.0, 0.0, 0.0))
        vault = vault.scale((1.0, 1.0, min(1.0, 0.75 * high / (0.3 * size[0]))))
        solid, symmetry = solid - vault, HALF_TURN
    elif kind < 0.75:  # more on top
        z = high
        at: Float = np.zeros(2)
        for _ in range(int(rng.integers(1, 4))):
            mx, my = int(rng.integers(1, nx + 1)), int(rng.integers(1, ny + 1))
            step: Float = unit * rng.integers([-nx + 1, -ny + 1], [nx, ny]) / 2
            at = np.clip(at + step, -size[:2] / 2, size[:2] / 2)
            more = float(rng.choice([0.5, 1.2])) * unit
            solid = solid + _one_brick(rng, unit, mx, my, more, studs).translate((*at.tolist(), z - 0.0005))
            z += more
        symmetry = UNKNOWN
    paints = [tx.plain(tx.color(rng, 0.85, 0.8)) for _ in range(3)]
    texture = tx.bands(2, [high + 0.0005, high * 2], paints) if kind >= 0.5 else paints[0]
    if rng.random() < 0.2:
        texture = tx.wood(rng, tx.one_of(rng, tx.WOODS), 0)
    return Design(largest_body(solid), texture, symmetry, gloss=0.4)


def _one_brick(rng: np.random.Generator, unit: float, nx: int, ny: int, high: float, studs: bool) -> Manifold:
    """nx by ny units on z = 0, `high` m high."""
    size = np.array([nx * unit, ny * unit, high])
    solid = rounded_box(size - 0.0002, 0.02 * unit, 1).translate((0.0, 0.0, high / 2))
    if rng.random() < 0.5:  # hollow below
        wall = 0.15 * unit
        hollow = Manifold.cube((size[0] - 2 * wall, size[1] - 2 * wall, 2 * (high - wall)), True)
        solid = solid - hollow
    if studs:
        radius, tall = unit * 0.3, unit * 0.22
        stud = Manifold.cylinder(tall + 0.05 * unit, radius, radius * 0.97, 14)
        for x in np.arange(nx) - (nx - 1) / 2:
            for y in np.arange(ny) - (ny - 1) / 2:
                solid = solid + stud.translate((float(x) * unit, float(y) * unit, high - 0.05 * unit))
    return solid
