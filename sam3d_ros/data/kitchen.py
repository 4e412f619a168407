"""More of the kitchen: cutlery, lids, screw threads, thin stems. Each function draws one design from an rng."""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import (
    HALF_TURN,
    ROUND,
    SEGMENTS,
    Design,
    arc,
    hollow,
    rod,
    rounded_box,
    threaded,
    turned,
)


def fork(rng: np.random.Generator) -> Design:
    """17-21 cm, lying with the tines up; 3 or 4 tines."""
    length, width, thick = rng.uniform(0.17, 0.21), rng.uniform(0.022, 0.027), 0.0028
    tines, tine = int(rng.integers(3, 5)), rng.uniform(0.04, 0.05)
    head = length - rng.uniform(0.065, 0.075)
    handle = rod(
        np.array([[0, 0, 0.004], [head * 0.55, 0, 0.006], [head, 0, 0.004]]), np.array([0.006, 0.004, 0.0035])
    )
    palm = rounded_box((length - tine - head + 0.006, width, thick), 0.0012, 2)
    solid = handle.scale((1.0, 1.0, 0.5)) + palm.translate(((head + length - tine) / 2, 0.0, 0.003))
    for y in np.linspace(-1, 1, tines) * (width / 2 - 0.002):
        points = np.array(
            [[length - tine - 0.004, y, 0.003], [length - tine / 2, y, 0.002], [length, y, 0.006]]
        )
        solid = solid + rod(points, np.array([0.0019, 0.0017, 0.0011]), 8)
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS[:3]), 0.02, 0.03)
    grip = steel if rng.random() < 0.6 else tx.plain(tx.color(rng))
    return Design(solid, tx.bands(0, [head * 0.6], [grip, steel]), gloss=0.7)


def knife(rng: np.random.Generator) -> Design:
    """A table or kitchen knife of 19-30 cm, lying on its side: handle, then a blade along +x."""
    length, grip = rng.uniform(0.19, 0.3), rng.uniform(0.085, 0.11)
    wide, belly = rng.uniform(0.017, 0.034), rng.uniform(0.6, 0.9)
    half = wide / 2
    outline = [(grip - 0.01, -half), (length * 0.85, -half), (length, half * 0.6), (length * belly, half),
               (grip - 0.01, half)]  # fmt: skip
    blade = Manifold.extrude(CrossSection([outline]), 0.0022).translate((0.0, 0.0, 0.005))
    handle = rounded_box((grip, min(wide, 0.024), 0.014), 0.005, 3).translate((grip / 2, 0.0, 0.007))
    wooden = rng.random() < 0.5
    hilt = tx.wood(rng, tx.one_of(rng, tx.WOODS), 0) if wooden else tx.mottled(rng, tx.color(rng, 0.4, 0.4))
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS[:3]), 0.03, 0.03)
    return Design(handle + blade, tx.bands(0, [grip], [hilt, steel]), gloss=0.6)


def teapot(rng: np.random.Generator) -> Design:
    """13-20 cm from spout to handle, with a lid and a knob; the spout towards +x."""
    radius, height = rng.uniform(0.05, 0.07), rng.uniform(0.08, 0.11)
    mouth, lid = radius * rng.uniform(0.45, 0.6), rng.uniform(0.008, 0.016)
    side = arc((radius * 0.65, 0.0), (mouth, height), radius * rng.uniform(0.35, 0.5), 14)
    dome = arc((mouth * 1.06, height + 0.003), (0.006, height + lid), lid * 0.3, 5)
    body = turned([(0.0, 0.0), *side, (mouth * 1.06, height), *dome, (0.0, height + lid)])
    knob = Manifold.sphere(rng.uniform(0.008, 0.012), 24).translate((0.0, 0.0, height + lid + 0.004))
    tip = np.array([radius * 1.65, 0.0, height * 0.95])
    spout = rod(
        np.array([[radius * 0.7, 0, height * 0.3], [radius * 1.35, 0, height * 0.55], tip]),
        np.array([0.016, 0.011, 0.008]),
    )
    bore = rod(np.array([tip * [0.93, 1, 0.86], tip * [1.06, 1, 1.12]]), np.array([0.005, 0.0055]), 16)
    reach, thick = radius * rng.uniform(0.5, 0.65), rng.uniform(0.005, 0.007)
    ring = Manifold.revolve(CrossSection.circle(thick, 12).translate((reach, 0.0)), SEGMENTS)
    handle = ring.rotate((90.0, 0.0, 0.0)).translate((-radius * 1.05, 0.0, height * 0.52))
    glaze, other = tx.speckled(rng, tx.color(rng), tx.color(rng, 0.4, 0.4)), tx.plain(tx.color(rng))
    texture = tx.bands(2, [height - 0.001], [glaze, other if rng.random() < 0.5 else glaze])
    return Design(body + knob + (spout - bore) + handle, texture, gloss=0.5)


def pot(rng: np.random.Generator) -> Design:
    """A cooking pot of 14-20 cm with two handles, open or with its lid on."""
    radius, height, wall = rng.uniform(0.07, 0.1), rng.uniform(0.07, 0.12), rng.uniform(0.0035, 0.005)
    vessel, cavity = hollow([(radius * 0.96, 0.0), (radius, 0.008), (radius, height)], wall, wall)
    ring = Manifold.revolve(CrossSection.circle(0.005, 12).translate((0.022, 0.0)), 32).scale((1.0, 1.5, 1.0))
    handles = Manifold.compose([ring.translate((x * (radius + 0.004), 0.0, height * 0.8)) for x in (-1, 1)])
    enamel = tx.mottled(rng, tx.color(rng, 0.5, 0.5), 0.05, 0.05)
    if rng.random() < 0.5:
        inside = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.03, 0.03)
        texture = tx.where(lambda p: np.hypot(p[:, 0], p[:, 1]) < radius * 0.96 - wall, inside, enamel)
        return Design(vessel + (handles - cavity), texture, HALF_TURN, gloss=0.5)
    rise = rng.uniform(0.012, 0.025)
    dome = arc((radius + 0.002, height + 0.003), (0.012, height + rise), rise * 0.25, 8)
    knob = [(0.012, height + rise + 0.01), (0.018, height + rise + 0.015), (0.014, height + rise + 0.022)]
    side = [(radius * 0.96, 0.0), (radius, 0.008), (radius, height), (radius + 0.002, height)]
    # With the lid on there is no way in: what a camera can never see is filled.
    filled = turned([(0.0, 0.0), *side, *dome, *knob, (0.0, height + rise + 0.022)])
    cover = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.03, 0.03)
    return Design(filled + handles, tx.bands(2, [height - 0.0006], [enamel, cover]), HALF_TURN, gloss=0.5)


def screw_jar(rng: np.random.Generator) -> Design:
    """An open preserving jar with the thread for its lid showing, 8-14 cm high."""
    radius, height, wall = rng.uniform(0.032, 0.045), rng.uniform(0.08, 0.14), rng.uniform(0.003, 0.0045)
    neck, thread = radius * rng.uniform(0.78, 0.92), rng.uniform(0.016, 0.022)
    shoulder = height - thread - 0.012
    outline = [
        (radius * 0.93, 0.0),
        (radius, 0.005),
        (radius, shoulder),
        (neck, shoulder + 0.01),
        (neck, height),
    ]
    vessel, cavity = hollow(outline, wall, wall)
    screw = threaded(neck + 0.0006, 0.0012, thread, rng.uniform(0.005, 0.007), 24)
    solid = vessel + (screw.translate((0.0, 0.0, height - thread - 0.002)) - cavity)
    glass = tx.mottled(rng, tx.color(rng, 0.3, 0.7), 0.06, 0.04)
    label = tx.around(tx.poster(rng, tx.color(rng, 0.2, 0.9)), shoulder * 0.2, shoulder * 0.8)
    texture = tx.bands(2, [shoulder * 0.2, shoulder * 0.8], [glass, label, glass])
    return Design(solid, texture, ROUND, gloss=0.6)


def goblet(rng: np.random.Generator) -> Design:
    """A wine glass or egg cup, of pottery or metal so that a depth camera sees it: 9-20 cm on a thin stem."""
    radius, height = rng.uniform(0.025, 0.042), rng.uniform(0.09, 0.2)
    stem, foot, wall = rng.uniform(0.004, 0.006), radius * rng.uniform(0.75, 1.0), rng.uniform(0.0022, 0.003)
    low, rim = height * rng.uniform(0.4, 0.55), radius * rng.uniform(0.8, 1.0)
    base = [(foot, 0.0), (foot, 0.003), (stem, 0.011), (stem, low)]
    outside = arc((stem, low), (rim, height), radius * rng.uniform(0.2, 0.4), 12)[1:]
    inside = [(max(r - wall, 0.002), max(z, low + 2 * wall)) for r, z in reversed(outside)]
    kept = [p for i, p in enumerate(inside) if i == 0 or p[1] < inside[i - 1][1]]
    solid = turned([(0.0, 0.0), *base, *outside, *kept, (0.0, kept[-1][1])])
    c = tx.color(rng, 0.4, 0.7)
    skin = [
        tx.mottled(rng, c),
        tx.marble(rng, c, tx.color(rng, 0.5, 0.5)),
        tx.plain(tx.one_of(rng, tx.METALS)),
    ]
    return Design(solid, skin[rng.integers(3)], ROUND, gloss=0.5)
