"""What lies about in a flat or a workshop: shoes, books, scissors, bolts. Each function draws one design."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import SEGMENTS, Design, Symmetry, rod, rounded_box, threaded
from sam3d_ros.data.solids import turn_about_z as turns
from sam3d_ros.types import Bool, Float


def shoe(rng: np.random.Generator) -> Design:
    """A hollow low shoe of 22-29 cm on a sole, toe towards +x."""
    length, wide = rng.uniform(0.22, 0.29), rng.uniform(0.08, 0.1)
    sole, high, ankle = rng.uniform(0.015, 0.028), rng.uniform(0.075, 0.1), rng.uniform(0.028, 0.034)
    toe, heel, bend = wide / 2, wide * 0.36, rng.uniform(-0.012, 0.012)
    ends = [Manifold.cylinder(sole, r, -1.0, 32).translate((x, y, 0.0))
            for x, y, r in ((length - toe, bend, toe), (heel, 0.0, heel), (length * 0.5, -bend, heel))]  # fmt: skip

    def upper(shrink: float) -> Manifold:
        balls = [(length - toe, bend, sole * 0.8, toe, 0.5), (heel, 0.0, sole, heel, 0.8),
                 (length * 0.5, 0.0, sole + high * 0.3, heel, 0.8), (heel, 0.0, high, ankle, 0.4)]  # fmt: skip
        pieces = [Manifold.sphere(r - shrink, 28).scale((1.0, 1.0, flat)).translate((x, y, z))
                  for x, y, z, r, flat in balls]  # fmt: skip
        return Manifold.batch_hull(pieces[:3]) + Manifold.batch_hull(pieces[1:])

    bottom = Manifold.batch_hull(ends)
    opening = Manifold.cylinder(high, ankle - 0.005, ankle, 28).scale((1.25, 1.0, 1.0))
    inside = upper(0.004).trim_by_plane((0.0, 0.0, 1.0), sole) + opening.translate((heel, 0.0, high * 0.6))
    shell = upper(0.0).trim_by_plane((0.0, 0.0, 1.0), sole * 0.5) - inside
    cloth = tx.mottled(rng, tx.color(rng, 0.5, 0.5), 0.03, 0.08)
    stripe = tx.stripes(tx.color(rng, 0.3, 0.8), tx.color(rng, 0.5, 0.5), np.array([1.0, 0.0, 0.4]), 0.03)
    middle = tx.where(lambda p: np.abs(p[:, 0] - length * 0.5) < length * 0.12, stripe, cloth)
    texture = tx.bands(2, [sole], [tx.plain(np.full(3, rng.choice([0.15, 0.9]))), middle])
    return Design(bottom + shell, texture, gloss=0.15)


def book(rng: np.random.Generator) -> Design:
    """A bound book of 15-26 cm, lying; the boards stand out over the pages, the spine is on -x."""
    deep, high, thick = rng.uniform(0.1, 0.18), rng.uniform(0.15, 0.26), rng.uniform(0.012, 0.045)
    board, edge = rng.uniform(0.0018, 0.003), rng.uniform(0.002, 0.004)
    cover = Manifold.cube((deep, high, board))
    spine = Manifold.cube((board, high, thick))
    pages = Manifold.cube((deep - edge, high - 2 * edge, thick - board)).translate((0.0005, edge, board / 2))
    solid = cover + cover.translate((0.0, 0.0, thick - board)) + spine + pages
    c = tx.color(rng, 0.6, 0.6)
    size = np.array([deep, high, thick])
    printed = tx.on_sides([tx.poster(rng, c) for _ in range(3)], np.zeros(3), size)
    paper = tx.stripes(np.full(3, 0.9), np.full(3, 0.78), np.array([0.0, 0.0, 1.0]), 0.0015)

    def leaves(p: Float) -> Bool:
        between = np.abs(p[:, 2] - thick / 2) < thick / 2 - board * 0.9
        inner: Bool = between & (p[:, 0] > board * 1.5)
        return inner

    return Design(solid, tx.where(leaves, paper, printed), gloss=0.2)


def remote(rng: np.random.Generator) -> Design:
    """A remote control of 13-21 cm with rows of buttons."""
    length, wide, thick = rng.uniform(0.13, 0.21), rng.uniform(0.038, 0.052), rng.uniform(0.014, 0.022)
    solid = rounded_box((length, wide, thick), 0.005, 3).translate((0.0, 0.0, thick / 2))
    rows, columns = int(rng.integers(4, 8)), int(rng.integers(2, 4))
    button = Manifold.cylinder(0.004, rng.uniform(0.003, 0.0045), -1.0, 16)
    for x in np.linspace(-0.38, 0.25, rows) * length:
        for y in np.linspace(-0.27, 0.27, columns) * wide:
            solid = solid + button.translate((float(x), float(y), thick - 0.002))
    round_pad = Manifold.cylinder(0.003, wide * 0.3, -1.0, 32).translate((length * 0.38, 0.0, thick - 0.001))
    body, keys = tx.mottled(rng, tx.color(rng, 0.2, 0.3), 0.05, 0.04), tx.plain(tx.color(rng, 0.4, 0.8))
    return Design(solid + round_pad, tx.bands(2, [thick + 0.0003], [body, keys]), gloss=0.3)


def scissors(rng: np.random.Generator) -> Design:
    """15-22 cm, a little open, lying flat: rings at -x, points at +x."""
    blade, ring, thick = rng.uniform(0.08, 0.12), rng.uniform(0.015, 0.02), 0.0035
    opening = float(rng.uniform(5, 22))
    edge = [(-0.02, -0.006), (blade * 0.4, -0.008), (blade, 0.003), (-0.02, 0.006)]
    solid = Manifold()
    for side in (-1, 1):
        one = Manifold.extrude(CrossSection([edge]), thick)
        shank = rod(np.array([[-0.018, 0, 0.003], [-0.055, -0.012, 0.003]]), np.array([0.0045, 0.005]), 12)
        torus = Manifold.revolve(CrossSection.circle(0.0042, 12).translate((ring, 0.0)), 36)
        grip = torus.scale((1.3, 1.0, 1.0)).translate((-0.055 - ring * 1.2, -0.012 - ring * 0.5, 0.003))
        half = one + shank + grip
        half = half if side > 0 else half.mirror((0.0, 1.0, 0.0)).translate((0.0, 0.0, thick * 0.9))
        solid = solid + half.rotate((0.0, 0.0, side * opening / 2))
    pivot = Manifold.cylinder(thick * 2.6, 0.0045, -1.0, 20).translate((0.0, 0.0, -0.0005))
    plastic, steel = (
        tx.plain(tx.color(rng, 0.7, 0.6)),
        tx.mottled(rng, tx.one_of(rng, tx.METALS[:3]), 0.02, 0.03),
    )
    return Design(solid + pivot, tx.bands(0, [-0.024], [plastic, steel]), gloss=0.5)


def basket(rng: np.random.Generator) -> Design:
    """A round basket of thick wire, 14-22 cm wide: mostly holes."""
    radius, height, wire = rng.uniform(0.07, 0.11), rng.uniform(0.06, 0.1), rng.uniform(0.0022, 0.003)
    foot, ribs = radius * rng.uniform(0.65, 0.95), int(rng.integers(8, 13))

    def hoop(r: float, z: float, thick: float) -> Manifold:
        return Manifold.revolve(CrossSection.circle(thick, 8).translate((r, 0.0)), 32).translate(
            (0.0, 0.0, z)
        )

    solid = hoop(foot, wire, wire * 1.2) + hoop(radius, height, wire * 1.4)
    solid = solid + hoop((foot + radius) / 2, height * 0.5 + wire / 2, wire)
    angles = 2 * np.pi * np.arange(ribs) / ribs
    for a in angles:
        along = np.array([np.cos(a), np.sin(a), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        points = np.stack([wire * up, foot * along + wire * up, radius * along + height * up])
        solid = solid + rod(points, np.full(3, wire), 8)
    c = tx.color(rng, 0.4, 0.5) if rng.random() < 0.5 else tx.one_of(rng, tx.METALS)
    symmetry = Symmetry(tuple(turns(i / ribs) for i in range(1, ribs)))
    return Design(solid, tx.mottled(rng, c), symmetry, gloss=0.4)


def bolt(rng: np.random.Generator) -> Design:
    """A hexagon bolt of 5-11 cm with its thread, standing on its head."""
    radius, length = rng.uniform(0.006, 0.012), rng.uniform(0.045, 0.085)
    head, across = radius * rng.uniform(1.2, 1.5), radius * rng.uniform(1.8, 2.1)
    hexagon = Manifold.cylinder(head, across, -1.0, 6)
    washer = Manifold.cylinder(0.002, across * rng.uniform(1.0, 1.3), -1.0, SEGMENTS)
    pitch = radius * rng.uniform(0.55, 0.75)
    plain = length * rng.uniform(0.1, 0.4)
    shank = Manifold.cylinder(plain + 0.001, radius * 1.04, -1.0, SEGMENTS)
    screw = threaded(radius * 0.94, radius * 0.1, length - plain, pitch, 24).translate((0.0, 0.0, plain))
    solid = hexagon + (washer + shank + screw).translate((0.0, 0.0, head - 0.001))
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.015, 0.05)
    # The thread turns its shape only by a hair, so the head decides.
    symmetry = Symmetry(tuple(turns(i / 6) for i in range(1, 6)))
    return Design(solid, steel, symmetry, gloss=0.6)


def phone_stand(rng: np.random.Generator) -> Design:
    """A bent strip that holds a phone, 8-12 cm: two thin legs and a lip."""
    wide, thick = rng.uniform(0.055, 0.08), rng.uniform(0.003, 0.005)
    back, lean = rng.uniform(0.08, 0.115), rng.uniform(0.3, 0.5)
    top = np.array([-back * np.sin(lean), back * np.cos(lean)])
    line = np.array([[0.035, 0.022], [0.035, 0.0], [0.0, 0.0], top, [top[0] - back * 0.45, 0.0]])
    solid = Manifold()
    for a, b in pairwise(line):
        ends = [
            Manifold.cylinder(wide, thick / 2, -1.0, 16).translate((float(p[0]), float(p[1]), 0.0))
            for p in (a, b)
        ]
        solid = solid + Manifold.batch_hull(ends)
    upright = solid.rotate((90.0, 0.0, 0.0)).translate((0.0, wide / 2, thick / 2))
    metal = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.03, 0.04)
    skin = metal if rng.random() < 0.5 else tx.wood(rng, tx.one_of(rng, tx.WOODS), 1)
    return Design(upright, skin, gloss=0.4)
