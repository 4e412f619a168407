"""Hand tools: long things that lie along x. `hand_tool` draws one design of any kind (`objects.FORMS`)."""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.solids import UNKNOWN, Design, rod, rounded_box, turned


def hand_tool(rng: np.random.Generator) -> Design:
    """12-30 cm: screwdrivers, spanners, pliers, spatulas, torches, pens, tongs; a handle of plastic or wood."""
    length = rng.uniform(0.12, 0.3)
    kind = (_screwdriver, _spanner, _spatula, _torch, _pliers)[rng.integers(5)]
    solid = kind(rng, length)
    cut = float(rng.uniform(0.3, 0.6)) * length
    low = solid.bounding_box()[0]
    handle = [tx.plain(tx.color(rng, 0.8, 0.7)), tx.wood(rng, tx.one_of(rng, tx.WOODS), 0)][rng.integers(2)]
    steel = tx.mottled(rng, tx.one_of(rng, tx.METALS), 0.02, 0.04)
    return Design(solid, tx.bands(0, [low + cut], [handle, steel]), UNKNOWN, gloss=0.4)


def _screwdriver(rng: np.random.Generator, length: float) -> Manifold:
    """A turned handle and a shaft: chisels and awls too."""
    grip = length * rng.uniform(0.3, 0.5)
    thick, shaft = rng.uniform(0.009, 0.017), rng.uniform(0.003, 0.006)
    profile = [(thick * 0.7, 0.0), (thick, grip * 0.15), (thick * rng.uniform(0.6, 1.0), grip * 0.5),
               (thick * rng.uniform(0.7, 1.0), grip * 0.85), (shaft * 1.2, grip), (shaft, length - 0.012),
               (shaft * rng.uniform(0.5, 1.8), length)]  # fmt: skip
    return turned([(0.0, 0.0), *profile, (0.0, length)]).rotate((0.0, 90.0, 0.0))


def _spanner(rng: np.random.Generator, length: float) -> Manifold:
    """Flat, with a ring or a jaw at each end."""
    bar, thick, eye = rng.uniform(0.006, 0.011), rng.uniform(0.005, 0.009), rng.uniform(0.011, 0.018)
    flat = CrossSection.square((length, 2 * bar), True)
    for side, open_end in ((-1, rng.random() < 0.5), (1, rng.random() < 0.5)):
        x = side * length / 2
        flat = flat + CrossSection.circle(eye, 32).translate((x, 0.0))
        hole = CrossSection.circle(eye * 0.55, 24).translate((x, 0.0))
        jaw = CrossSection.square((2 * eye, eye), True).translate((x + side * eye, 0.0))
        flat = flat - (jaw + hole if open_end else hole)
    return Manifold.extrude(flat, thick)


def _spatula(rng: np.random.Generator, length: float) -> Manifold:
    """A handle and a blade: trowels and scrapers too."""
    wide, reach = rng.uniform(0.03, 0.09), rng.uniform(0.05, 0.1)
    points = np.array([[0.0, 0, 0.012], [length * 0.5, 0, 0.02], [length, 0, 0.006]])
    blade = rounded_box((reach, wide, rng.uniform(0.004, 0.008)), 0.0018, 2)
    handle = rod(points, np.array([0.008, 0.007, 0.004]), 16)
    return handle + blade.translate((length + reach * 0.45, 0.0, 0.004))


def _torch(rng: np.random.Generator, length: float) -> Manifold:
    """Pieces of different thickness on one axis: pens and rolls too."""
    radii = rng.uniform(0.006, 0.02) * rng.uniform(0.7, 1.0, 4)
    levels = np.sort(rng.uniform(0.15, 0.85, 3)) * length
    at, outline = [0.0, *levels, length], []
    for r, low, high in zip(radii, at[:-1], at[1:], strict=True):
        outline += [(float(r), float(low) + 1e-4), (float(r), float(high))]
    return turned([(0.0, 0.0001), *outline, (0.0, length)]).rotate((0.0, 90.0, 0.0))


def _pliers(rng: np.random.Generator, length: float) -> Manifold:
    """Two arms with a joint between or at the end of them: tongs, tweezers, pegs too."""
    opening, thick = rng.uniform(0.008, 0.04), rng.uniform(0.0045, 0.008)
    arm = np.array(
        [[0.0, 0, 0], [length * 0.4, opening * 0.6, 0], [length * 0.72, 0.006, 0], [length, 0.002, 0]]
    )
    radii = thick * np.array([1.0, 1.1, 1.0, 0.7])
    joint = Manifold.cylinder(2.4 * thick, 0.014, -1.0, 24, True)
    x = length * 0.72 if rng.random() < 0.6 else 0.0
    arms = rod(arm, radii, 14) + rod(arm * np.array([1, -1, 1]), radii, 14)
    return arms + joint.translate((x, 0.0, 0.0))
