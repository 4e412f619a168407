"""What is worn, and what one leans on: arcs for the head, footwear, cushions, cloth. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.hardware import arch, bar
from sam3d_ros.data.solids import (
    HALF_TURN,
    MIRROR_ONLY,
    UNKNOWN,
    Design,
    largest_body,
    log_uniform,
    rod,
    superellipse,
    superquadric,
)
from sam3d_ros.types import Float


def headset(rng: np.random.Generator) -> Design:
    """An arc with something at both ends, 10-24 cm: headphones, ear muffs, glasses, goggles, hair bands."""
    if rng.random() < 0.3:
        return _glasses(rng)
    wide, high, legs = rng.uniform(0.06, 0.085), rng.uniform(0.06, 0.1), rng.uniform(0.02, 0.06)
    thick = rng.uniform(0.002, 0.005)
    band = bar(arch(wide, high, legs, rng.uniform(1.8, 2.8)), thick, rng.uniform(1.0, 5.0))
    if rng.random() < 0.4:  # a padded top
        pad = bar(arch(wide, high, legs, 2.0)[6:-6] * 0.995, thick * 1.8, rng.uniform(1.2, 2.5))
        band = band + pad
    radius, deep = rng.uniform(0.022, 0.045), rng.uniform(0.012, 0.04)
    oval, open_cup = rng.uniform(0.7, 1.0), rng.random() < 0.6
    cup = superquadric((radius, radius * oval, deep / 2), rng.uniform(0.3, 1.0), rng.uniform(0.7, 1.0), 24)
    cup = cup.rotate((0.0, 0.0, 90.0))
    if open_cup:  # a cushion with a hollow, towards the head
        ring = Manifold.revolve(CrossSection.circle(0.3 * radius, 12).translate((0.72 * radius, 0.0)), 28)
        cup = cup + ring.scale((oval, 1.0, 0.8)).translate((0.0, 0.0, 0.4 * deep))
    tilt = rng.uniform(-15, 15)
    cup = cup.rotate((0.0, 90.0, tilt)).translate((-wide, rng.uniform(-0.4, 0.2) * radius, 0.0))
    solid = band + cup + cup.mirror((1.0, 0.0, 0.0))
    symmetry = HALF_TURN
    if rng.random() < 0.3:  # a microphone
        reach = rng.uniform(0.05, 0.1)
        way = np.array([[wide, 0, 0], [wide, -0.4 * reach, 0.5 * reach], [0.75 * wide, -0.6 * reach, reach]])
        solid, symmetry = solid + rod(way, np.array([0.003, 0.003, 0.006]), 12), MIRROR_ONLY
    a, b = tx.mottled(rng, tx.color(rng, 0.4, 0.4)), tx.plain(tx.color(rng, 0.5, 0.5))
    # From the xy plane upright: the arch over z.
    return Design(solid.rotate((90.0, 0.0, 0.0)), tx.bands(2, [0.6 * radius], [a, b]), symmetry, gloss=0.3)


def _glasses(rng: np.random.Generator) -> Design:
    """Two rims with or without lenses, a bridge and two temples, or one shield of goggles."""
    half, high, thick = rng.uniform(0.022, 0.031), rng.uniform(0.6, 1.0), rng.uniform(0.0016, 0.004)
    apart, power = half + rng.uniform(0.004, 0.012), rng.uniform(0.5, 1.0)
    edge = half * (superellipse(np.linspace(0, 2 * np.pi, 40, endpoint=False), power) * [1.0, high])
    pane = CrossSection([edge.tolist()])
    frame = pane - pane.offset(-2.2 * thick)
    glazed = rng.random() < 0.6
    solid = Manifold()
    for side in (-1, 1):
        rim = Manifold.extrude(frame, 2 * thick)
        if glazed:
            rim = rim + Manifold.extrude(pane, 0.8 * thick + 0.001)
        solid = solid + rim.translate((side * apart, 0.0, -thick))
        reach, down = -rng.uniform(0.09, 0.14), rng.uniform(0.01, 0.03)
        x, y = side * (apart + half - 0.5 * thick), half * high * 0.3
        temple = np.array([[x, y, 0], [x, y, 0.75 * reach], [x * 0.97, y - down, reach]])
        solid = solid + rod(temple, np.full(3, thick), 12)
    x, y = apart - 0.9 * half, half * high * 0.25
    bridge = rod(np.array([[-x, y, 0], [x, y, 0]]), np.full(2, 1.2 * thick), 12)
    dark = tx.plain(tx.color(rng, 0.4, 0.3))
    paint = [tx.mottled(rng, tx.color(rng)), dark][rng.integers(2)]
    return Design(largest_body(solid + bridge).rotate((90.0, 0.0, 0.0)), paint, MIRROR_ONLY, gloss=0.5)


def _loft(x: Float, half: Float, middle: Float, low: Float, high: Float, power: float) -> Manifold:
    """A closed hull over stations x (N,): there `half` m wide to both sides of `middle`, from `low` to `high`.

    power: 1 an ellipse, towards 0 a rectangle.
    """
    steps = len(x) - 1

    def place(v: Float) -> Float:
        i = np.clip(np.rint(v[:, 2]).astype(int), 0, steps)
        flat = np.sign(v[:, :2]) * np.abs(v[:, :2]) ** power
        up = low[i] + (high - low)[i] * (0.5 + 0.5 * flat[:, 1])
        placed: Float = np.stack([x[i], middle[i] + half[i] * flat[:, 0], up], axis=1)
        return placed

    return Manifold.extrude(CrossSection.circle(1.0, 20), float(steps), steps - 1).warp_batch(place)


@dataclass(frozen=True)
class _Last:
    """The form a shoe is built on, at 25 stations from the heel towards the toes; all in m.

    x (25,), half (25,): half its width there, middle (25,): y of its middle, ground (25,): z below the sole.
    """

    length: float
    x: Float
    half: Float
    middle: Float
    ground: Float


STATIONS = np.linspace(0, 1, 25)
"""Of a shoe: 0 at the heel, 1 at the toes."""


def footwear(rng: np.random.Generator) -> Design:
    """A shoe of 11-31 cm, toes towards +x: trainers, boots, pumps, slippers, clogs, sandals, for the left or right.

    A sole with or without a heel, and an upper that is open above the ankle, at the back too, or made of straps.
    """
    last, heel = _last(rng)
    length = last.length
    sole, wall = length * rng.uniform(0.02, 0.11), max(0.003, length * rng.uniform(0.012, 0.025))
    floor = last.ground + sole
    tread = _loft(last.x, last.half * rng.uniform(1.0, 1.12), last.middle, last.ground, floor, 0.35)
    if heel > 0.02:
        block = _heel(rng, last.half[3], length, heel + 0.5 * sole)
        tread = tread + block.translate((-0.38 * length, 0.0, 0.0))
    if rng.random() < 0.25:
        solid = _straps(rng, tread, last, floor)
    else:
        upper, cavity = _upper(rng, last, floor, 0.5 * sole, wall)
        solid = (tread + upper) - cavity
    a, b = tx.any_texture(rng, length), tx.mottled(rng, tx.color(rng, 0.4, 0.5), 0.03, 0.05)
    texture = tx.where(lambda p: p[:, 2] < np.interp(p[:, 0], last.x, floor), b, a)
    return Design(largest_body(solid), texture, MIRROR_ONLY, gloss=float(rng.choice([0.05, 0.2, 0.5])))


def _last(rng: np.random.Generator) -> tuple[_Last, float]:
    """A last and the height of its heel in m, 0 for a flat shoe."""
    length, s = rng.uniform(0.11, 0.3), STATIONS
    wide, pointed, bend = length * rng.uniform(0.15, 0.2), rng.uniform(2.5, 9.0), rng.uniform(-0.3, 0.3)
    round_ends = np.clip(1 - np.abs(2 * s - 1) ** np.where(s > 0.5, pointed, 5.0), 0.01, 1) ** 0.5
    waisted = np.interp(s, [0, 0.2, 0.4, 0.68, 1], [0.75, 0.8, rng.uniform(0.65, 0.85), 1.0, 0.9])
    flat, low, tall = 0.0, rng.uniform(0.03, 0.12), rng.uniform(0.12, 0.3)
    heel = length * float(rng.choice([flat, low, tall], p=[0.5, 0.3, 0.2]))
    spring = length * rng.uniform(0.0, 0.05)  # by which the toes are off the ground
    arch_down = 0.5 + 0.5 * np.cos(np.pi * np.clip((s - 0.15) / 0.5, 0, 1))
    ground = heel * arch_down + spring * np.clip(s - 0.75, 0, 1) * 4
    middle = bend * wide * np.sin(np.pi * s) * s
    return _Last(length, (s - 0.5) * length, wide * waisted * round_ends, middle, ground), heel


def _upper(
    rng: np.random.Generator, last: _Last, floor: Float, sunk: float, wall: float
) -> tuple[Manifold, Manifold]:
    """What closes around the foot above `floor` (25,), and the cavity for the foot.

    sunk: m by which it goes into the sole, wall: its thickness in m.
    """
    length, s = last.length, STATIONS
    toe = length * rng.uniform(0.16, 0.28)
    collar = length * rng.choice([0.25, 0.35, 0.5, 0.8]) * rng.uniform(0.7, 1.2)
    opening = rng.uniform(0.38, 0.62)
    back = rng.choice([collar, collar * rng.uniform(0.1, 0.9)], p=[0.75, 0.25])
    front = collar * rng.uniform(0.85, 1.05)
    at = [0, 0.05, opening - 0.06, opening + 0.1, 0.85, 1]
    rise = np.interp(s, at, [back, back, front, toe * 1.15, toe, 0.6 * toe])
    rise = np.convolve(np.pad(rise, 1, mode="edge"), np.full(3, 1 / 3), "valid")
    power = rng.uniform(0.45, 0.8)
    upper = _loft(last.x, last.half, last.middle, floor - sunk, floor + rise, power)
    # Behind the opening the cavity goes on through the top.
    open_up = np.where(s < opening, rise + 0.06 * length, np.maximum(rise - wall, 0.004))
    part = slice(1, -1)
    inner = np.maximum(last.half - wall, 0.003)[part]
    shorter = (last.x * (1 - 2.4 * wall / length))[part]
    cavity = _loft(shorter, inner, last.middle[part], floor[part], (floor + open_up)[part], power)
    return upper, cavity


def _heel(rng: np.random.Generator, half: float, length: float, high: float) -> Manifold:
    """A block or a peg under the heel, standing on z = 0."""
    wide = half * rng.uniform(0.4, 0.95)
    peg = Manifold.cylinder(high, wide * rng.uniform(0.5, 1.0), wide, 28)
    return peg.scale((min(1.6, 0.1 * length / wide), 1.0, 1.0))


def _straps(rng: np.random.Generator, tread: Manifold, last: _Last, floor: Float) -> Manifold:
    """A sole with one to four straps across, above `floor` (25,) m: sandals, slides, flip-flops."""
    solid, thick = tread, last.length * rng.uniform(0.009, 0.018)
    for at in rng.uniform(0.15, 0.85, int(rng.integers(1, 5))):
        i = int(at * 24)
        curve = arch(0.92 * last.half[i], last.length * rng.uniform(0.1, 0.24), 0.0, rng.uniform(1.9, 2.6))
        strap = bar(curve, thick, rng.uniform(1.0, 5.0)).rotate((90.0, 0.0, 90.0 + rng.uniform(-25, 25)))
        place = (float(last.x[i]), float(last.middle[i]), float(floor[i]) - 0.3 * thick)
        solid = solid + strap.translate(place)
    return solid


def cushion(rng: np.random.Generator) -> Design:
    """Soft and flat, 9-34 cm: pillows, bean bags and cloths folded or rolled."""
    if rng.random() < 0.4:
        return _cloth(rng)
    a, b = log_uniform(rng, 0.09, 0.32), log_uniform(rng, 0.09, 0.32)
    a, b = max(a, b), max(b, 0.4 * a)
    thick, full, pinch = min(a, b) * rng.uniform(0.25, 0.6), rng.uniform(1.3, 5.0), rng.uniform(0.0, 0.14)
    seam, creases = rng.uniform(0.03, 0.15), tx.noise(rng, 0.3 * min(a, b))
    roundness = rng.choice([0.0, rng.uniform(0, 1)])
    wrinkle, tufts = rng.uniform(0.0, 0.12), int(rng.choice([0, 0, 0, 1, 2]))

    def fill(v: Float) -> Float:
        u, w = 2 * v[:, 0] / a, 2 * v[:, 1] / b
        far, edge = np.hypot(u, w), np.maximum(np.abs(u), np.abs(w))
        # From the square to the disc by as much as it is round.
        pull = np.where(far > 0, edge / np.maximum(far, 1e-9), 1.0) ** roundness
        inside = (1 - np.abs(u) ** full) * (1 - np.abs(w) ** full)
        puff = np.maximum(np.sqrt(np.clip(inside, 0, 1)), seam) * (1 + wrinkle * np.asarray(creases(v)))
        for i in range(tufts):
            puff = puff * (1 - 0.5 * np.exp(-(((u - 0.5 * (2 * i + 1 - tufts)) ** 2 + w**2) / 0.02)))
        inward = pull * (1 - pinch * (1 - np.minimum(np.abs(u), np.abs(w)) ** 2) * edge**4)
        filled: Float = v * np.stack([inward, inward, np.maximum(puff, 0.02)], axis=1)
        return filled

    sheet = Manifold.cube((a, b, thick), True).refine_to_length(max(a, b) / 26)
    solid = sheet.warp_batch(fill)
    return Design(largest_body(solid), _weave(rng, a), UNKNOWN, gloss=0.05)


def _cloth(rng: np.random.Generator) -> Design:
    """A strip in layers, to and fro or rolled up: towels, napkins, T-shirts, mats."""
    thick, broad = rng.uniform(0.004, 0.012), rng.uniform(0.08, 0.3)
    line = _rolled(rng, thick) if rng.random() < 0.35 else _folded(rng, thick)
    # Layers touch by a little: what lies between them is not seen, and the cloth stays one body.
    disc = CrossSection.circle(1.02 * thick, 12)
    flat = CrossSection()
    for ends in pairwise(line):
        flat = flat + CrossSection.batch_hull([disc.translate((float(x), float(y))) for x, y in ends])
    uneven, deep = tx.noise(rng, 0.12), rng.uniform(0.0, 0.5) * thick

    def wave(v: Float) -> Float:
        shift = deep * np.asarray(uneven(v * [0.3, 0.1, 1.0]))
        moved: Float = v + np.array([0.6, 1.0, 0.0]) * shift[:, None]
        return moved

    solid = Manifold.extrude(flat.simplify(0.0002), broad, 14).warp_batch(wave)
    solid = solid.translate((0.0, 0.0, -broad / 2)).rotate((90.0, 0.0, 0.0))
    return Design(largest_body(solid), _weave(rng, 0.2), UNKNOWN, gloss=0.05)


def _rolled(rng: np.random.Generator, thick: float) -> Float:
    """(N, 2) a spiral of 1.5 to 4 turns whose layers of 2 `thick` m touch."""
    turns, gap = rng.uniform(1.5, 4.0), 1.7 * thick
    angle = np.linspace(0.6, 2 * np.pi * turns, int(26 * turns))
    radius = rng.uniform(0.2, 1.0) * thick + gap * angle / (2 * np.pi)
    spiral: Float = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return spiral


def _folded(rng: np.random.Generator, thick: float) -> Float:
    """(N, 2) two to six layers of 2 `thick` m to and fro, with a bend between each two."""
    layers, wide = int(rng.integers(2, 7)), rng.uniform(0.08, 0.28)
    pieces = []
    for layer in range(layers):
        ends = np.array([-0.5, 0.5]) * wide * (1 if layer % 2 == 0 else -1) * rng.uniform(0.92, 1.0)
        xs = np.linspace(ends[0], ends[1], 9)
        sag = rng.uniform(0.0, 0.2) * thick * np.cos(3 * xs / wide)
        pieces.append(np.stack([xs, layer * 2.0 * thick + sag], axis=1))
        if layer < layers - 1:
            bend = ends[1] * 1.02 + np.sign(ends[1]) * 0.8 * thick
            pieces.append(np.array([[bend, (2 * layer + 1) * thick]]))
    return np.concatenate(pieces)


def _weave(rng: np.random.Generator, size: float) -> tx.Texture:
    """Cloth: checks, stripes, one colour or a print."""
    a, b = tx.color(rng, 0.5, 0.7), tx.color(rng, 0.4, 0.6)
    across = np.array([1.0, 0.0, 0.0])
    striped = tx.stripes(a, b, across, size * rng.uniform(0.05, 0.3))
    cloths = [tx.mottled(rng, a, 0.03, 0.06), striped, tx.any_texture(rng, size)]
    return cloths[rng.integers(3)]
