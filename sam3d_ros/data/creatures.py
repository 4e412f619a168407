"""Living things as toys are made of them, soft or moulded, and what flies. Each function draws one design.

Wider families than the categories of `objects.CATEGORIES`, for training (`objects.FORMS`).
"""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold  # type: ignore[import-not-found]

from sam3d_ros.data import textures as tx
from sam3d_ros.data.blobs import Blob, ball, limb, melted, mirrored
from sam3d_ros.data.solids import (
    MIRROR_ONLY,
    UNKNOWN,
    Design,
    largest_body,
    log_uniform,
    rounded_box,
    superquadric,
    to_fit,
    turned,
)
from sam3d_ros.types import Float


def creature(rng: np.random.Generator) -> Design:
    """A soft animal of 7-32 cm, head towards +x: on four legs, sitting, lying flat, or with flippers only.

    Plush bears, dogs, rabbits, dinosaurs, elephants, penguins, turtles, fish: body, head, snout, ears, limbs
    and tail flow into each other.
    """
    size = log_uniform(rng, 0.045, 0.1)  # about half of the body's length
    thick = size * rng.uniform(0.3, 0.65)
    lying, sitting, upright = 0.0, rng.uniform(0.2, 0.5), rng.uniform(0.9, 1.4)
    rise = float(rng.choice([lying, sitting, upright]))  # of the spine, in radians
    along = np.array([np.cos(rise), 0.0, np.sin(rise)])
    hip, chest = -0.5 * size * along, 0.5 * size * along
    girth = thick * rng.uniform(0.65, 1.05, 3)
    blobs = limb(np.stack([hip, 0.2 * chest, chest]), girth, (1.0, rng.uniform(0.75, 1.3), 1.0))
    blobs += _head(rng, chest, thick, along)
    blobs += _limbs(rng, hip, chest, size, thick, rise)
    if rng.random() < 0.75:
        blobs += _tail(rng, hip, size, thick)
    solid = largest_body(melted(blobs, thick * rng.uniform(0.04, 0.13)))
    solid = solid.scale((to_fit(solid, 0.07, 0.32),) * 3)
    return Design(solid, _coat(rng, size), MIRROR_ONLY, gloss=float(rng.choice([0.05, 0.05, 0.3])))


def _limbs(
    rng: np.random.Generator, hip: Float, chest: Float, size: float, thick: float, rise: float
) -> list[Blob]:
    """Two pairs of legs or flippers on a spine from `hip` to `chest`, `size` m long, that rises by `rise` rad."""
    shoulder = chest * 0.8 + np.array([0.0, thick * 0.6, -0.2 * thick])
    haunch = hip * 0.9 + np.array([0.0, thick * 0.65, -0.2 * thick])
    radius, foot = rng.uniform(0.25, 0.55) * thick, rng.uniform(0.9, 1.5)
    down, kind = rng.uniform(0.5, 1.5) * size * 0.6 + thick, rng.random()
    squash = (1.0, 1.0, 1.0)
    if kind < 0.45:  # stands, or sits with the legs ahead where it is upright
        straight = np.array([0.15, rng.uniform(0.0, 0.3), -1.0]) * down
        forward = np.array([0.9, rng.uniform(0.1, 0.7), -0.35]) * down
        fore, rear = (straight, straight) if rise < 0.2 else (forward * 0.8, forward)
    elif kind < 0.75:  # flat on its belly, limbs spread
        fore = np.array([rng.uniform(0.0, 0.9), rng.uniform(0.3, 0.9), -0.25]) * down
        rear = np.array([rng.uniform(-0.9, 0.6), rng.uniform(0.3, 0.9), -0.25]) * down
    else:  # flippers, stumps
        fore, rear = thick * rng.uniform([-0.5, 0.4, -0.7], [0.4, 0.9, 0.2], (2, 3))
        squash = (1.3, 1.0, 0.6)
    blobs = []
    for root, way in ((shoulder, fore), (haunch, rear)):
        knee = root + 0.5 * way + np.array([rng.uniform(-0.15, 0.15) * down, 0.0, 0.0])
        leg = limb(np.stack([root, knee, root + way]), radius * np.array([1.15, 0.95, foot]), squash)
        blobs += leg + mirrored(leg)
    return blobs


def _tail(rng: np.random.Generator, hip: Float, size: float, thick: float) -> list[Blob]:
    """Backwards from `hip`, up or down, on a body `size` m long with a radius of `thick` m."""
    length, up, tip = size * rng.uniform(0.25, 1.5), rng.uniform(-0.5, 1.0), rng.uniform(0.6, 1.3)
    bend = hip + length * np.array([-0.6, 0.0, 0.3 * up])
    end = bend + length * np.array([-0.35, rng.uniform(-0.4, 0.4), up * 0.8])
    return limb(np.stack([hip, bend, end]), thick * rng.uniform(0.22, 0.55) * np.array([1.3, 1.0, tip]))


def _head(rng: np.random.Generator, chest: Float, thick: float, along: Float) -> list[Blob]:
    """Neck, head, snout, ears or horns, seldom a trunk, on a body of radius `thick` m that ends at `chest`."""
    radius, neck = thick * rng.uniform(0.55, 1.15), thick * rng.uniform(0.5, 1.0)
    if rng.random() < 0.2:
        neck *= rng.uniform(2.0, 3.5)
    lean = along * 0.6 + np.array([rng.uniform(0.0, 0.5), 0.0, rng.uniform(0.1, 0.9)])
    middle = chest + (neck + 0.4 * radius) * lean / np.linalg.norm(lean)
    blobs = limb(np.stack([chest, middle]), [0.6 * thick, min(0.6 * thick, 0.7 * radius)])
    blobs.append(ball(middle, radius * rng.uniform(0.85, 1.2, 3)))
    nose = np.array([1.0, 0.0, rng.uniform(-0.5, 0.1)])
    if rng.random() < 0.8:
        blobs += _snout(rng, middle, radius, nose)
    if rng.random() < 0.85:
        ear = _ear(rng, middle, radius, 0.22 * thick)
        blobs += ear + mirrored(ear)
    return blobs


def _snout(rng: np.random.Generator, middle: Float, radius: float, nose: Float) -> list[Blob]:
    """Along `nose` from the middle of a head of `radius` m; seldom a trunk hangs from it."""
    tip = middle + nose * radius * rng.uniform(0.8, 1.7)
    taper = radius * np.array([0.6, rng.uniform(0.2, 0.5)])
    blobs = limb(np.stack([middle, tip]), taper, (1.0, rng.uniform(0.8, 1.4), 1.0))
    if rng.random() < 0.15:
        hang = tip + radius * np.array([[0.0, 0, 0], [0.5, 0, -0.7], [rng.uniform(0.2, 1.2), 0, -1.5]])
        blobs += limb(hang, radius * np.array([0.4, 0.3, 0.22]))
    return blobs


def _ear(rng: np.random.Generator, middle: Float, radius: float, least: float) -> list[Blob]:
    """The ear or horn at +y of a head of `radius` m around `middle`, at least `least` m in radius."""
    out, up, back = rng.uniform(0.3, 1.1), rng.uniform(-0.4, 1.6), rng.uniform(-0.6, 0.3)
    root = middle + radius * np.array([0.0, 0.6, 0.6])
    tip = root + radius * np.array([back, out, up]) * rng.uniform(0.4, 1.2)
    size = max(least, radius * rng.uniform(0.2, 0.45))
    taper = [size, size * rng.uniform(0.4, 1.3)]
    return limb(np.stack([root, tip]), taper, (rng.uniform(0.65, 1.0), 1.0, 1.0))


def _coat(rng: np.random.Generator, size: float) -> tx.Texture:
    """Fur or paint: one colour, spots, stripes, patches, seldom a belly of another."""
    a, b = tx.color(rng, 0.5, 0.65), tx.color(rng, 0.4, 0.5)
    plain = tx.mottled(rng, a, size / 3, 0.08)
    spots = tx.speckled(rng, a, b, size / 5)
    patches = tx.speckled(rng, a, b, size)
    striped = tx.stripes(a, b, np.array([1.0, 0.2, 0.1]), size * rng.uniform(0.2, 0.5))
    level = rng.uniform(-0.4, 0.4) * size
    belly = tx.bands(2, [level], [tx.mottled(rng, b, size / 3), tx.mottled(rng, a, size / 3)])
    return [plain, spots, patches, striped, belly][rng.integers(5)]


def _wing(rng: np.random.Generator, span: float, chord: float, thick: float) -> Manifold:
    """One wing from the middle to y = span, leading edge towards +x, tapered, swept and raised at random."""
    root = rounded_box((chord, 0.5 * thick, thick), 0.24 * thick, 2)
    narrow = rng.uniform(0.35, 1.0)
    tip = rounded_box((chord * narrow, 0.5 * thick, 0.7 * thick), 0.2 * thick, 2)
    sweep = rng.uniform(-0.1, 0.8) * (chord if rng.random() < 0.6 else span)
    tip = tip.translate((-float(sweep), float(span), float(rng.uniform(-0.05, 0.25)) * span))
    return Manifold.batch_hull([root, tip])


def flyer(rng: np.random.Generator) -> Design:
    """A thing with wings of 9-32 cm, nose towards +x: planes, rockets and darts with fins, birds, moths."""
    kind = rng.random()
    if kind < 0.3:
        return _bird(rng)
    length = rng.uniform(0.09, 0.26)
    radius = length * rng.uniform(0.05, 0.13)
    hull = _fuselage(rng, length, radius)
    thick = max(0.004, radius * rng.uniform(0.2, 0.45))
    build = _with_fins if kind < 0.5 else _with_wings
    solid = build(rng, hull, length, radius, thick)
    a, b = tx.any_texture(rng, length), tx.plain(tx.color(rng))
    texture = tx.where(lambda p: np.hypot(p[:, 1], p[:, 2]) < 1.2 * radius, a, b)
    return Design(solid, texture, UNKNOWN, gloss=float(rng.choice([0.1, 0.4])))


def _fuselage(rng: np.random.Generator, length: float, radius: float) -> Manifold:
    """A body along x around the origin, `length` and `radius` in m, with a blunt or a pointed nose and tail."""
    nose, tail = rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.8)
    profile = [
        (tail * radius, 0.0),
        (radius * rng.uniform(0.7, 1.0), 0.35 * length),
        (radius, 0.7 * length),
        (radius * (0.5 + 0.5 * nose), 0.9 * length),
        (radius * 0.5 * nose, length),
    ]
    upright = turned([(0.0, 0.0), *profile, (0.0, length)]).translate((0.0, 0.0, -length / 2))
    return upright.rotate((0.0, 90.0, 0.0)).scale((1.0, 1.0, float(rng.uniform(0.8, 1.3))))


def _with_fins(
    rng: np.random.Generator, hull: Manifold, length: float, radius: float, thick: float
) -> Manifold:
    """A hull with three to five fins `thick` m thick all around, at its tail or along it."""
    fins, x = int(rng.integers(3, 6)), rng.uniform(-0.35, -0.1) * length
    fin = _wing(rng, radius * rng.uniform(1.6, 4.0), length * rng.uniform(0.12, 0.35), thick)
    solid = hull
    for i in range(fins):
        solid = solid + fin.translate((x, 0.0, 0.0)).rotate((360.0 * i / fins, 0.0, 0.0))
    return largest_body(solid)


def _with_wings(
    rng: np.random.Generator, hull: Manifold, length: float, radius: float, thick: float
) -> Manifold:
    """A hull as a plane: wings `thick` m thick, a second pair or engines, a tail, a propeller, a cockpit."""
    x, z = rng.uniform(-0.1, 0.2) * length, rng.uniform(-0.6, 0.8) * radius
    span = length * rng.uniform(0.35, 0.65)
    wings = _pair(_wing(rng, span, length * rng.uniform(0.14, 0.34), thick))
    solid = hull + wings.translate((x, 0.0, z))
    if rng.random() < 0.25:  # a second pair above, on struts
        gap = radius * rng.uniform(1.5, 2.5)
        strut = Manifold.cylinder(gap, 0.4 * thick, -1.0, 10)
        solid = solid + wings.translate((x, 0.0, z + gap)) + strut.translate((x, 0.0, z))
    elif rng.random() < 0.5:  # engines
        engine = superquadric((length * 0.09, radius * 0.5, radius * 0.5), 0.7, 1.0, 24)
        y = span * rng.uniform(0.3, 0.6)
        for side in (-1, 1):
            solid = solid + engine.translate((x, side * y, z + 0.1 * y))
    solid = _with_tail(rng, solid, length, span, 0.8 * thick)
    if rng.random() < 0.4:  # a propeller
        blade = superquadric((0.004, radius * rng.uniform(1.2, 2.2), radius * 0.3), 0.7, 1.0, 20)
        solid = solid + blade.translate((length * 0.5, 0.0, 0.0))
    if rng.random() < 0.4:  # a cockpit
        dome = superquadric((length * 0.12, radius * 0.6, radius * 0.9), 1.0, 1.0, 24)
        solid = solid + dome.translate((length * 0.22, 0.0, radius * 0.7))
    return largest_body(solid)


def _with_tail(
    rng: np.random.Generator, hull: Manifold, length: float, span: float, thick: float
) -> Manifold:
    """A hull `length` m long with a fin and a pair of planes at its end, smaller than wings of `span` m."""
    back = -0.42 * length
    rear = _wing(rng, span * rng.uniform(0.25, 0.5), length * rng.uniform(0.08, 0.16), thick)
    fin = _wing(rng, length * rng.uniform(0.1, 0.25), length * rng.uniform(0.1, 0.2), thick)
    up = float(rng.choice([0.0, 0.0, 0.06])) * length
    solid = hull + _pair(rear).translate((back, 0.0, up))
    return solid + fin.rotate((90.0, 0.0, 0.0)).translate((back, 0.0, 0.0))


def _pair(wing: Manifold) -> Manifold:
    """A wing and its mirror image across the plane y = 0."""
    return wing + wing.mirror((0.0, 1.0, 0.0))


def _bird(rng: np.random.Generator) -> Design:
    """Body, head and flat wings flow into each other: birds, bats, moths, rays."""
    size, pairs = rng.uniform(0.045, 0.1), int(rng.choice([1, 1, 1, 2]))
    thick = size * rng.uniform(0.2, 0.45)
    spine = np.array([[-0.6 * size, 0, 0], [0.0, 0, 0], [0.5 * size, 0, 0.1 * size]])
    blobs = limb(spine, thick * rng.uniform(0.6, 1.0, 3))
    head = np.array([rng.uniform(0.7, 1.0), 0.0, rng.uniform(0.0, 0.5)]) * size
    beak = head + np.array([1.4 * thick, 0.0, -0.3 * thick])
    blobs += limb(np.stack([spine[-1], head]), thick * np.array([0.6, 0.65]))
    blobs += limb(np.stack([head, beak]), thick * np.array([0.4, 0.12]))
    for pair in range(pairs):
        wing = _soft_wing(rng, (0.1 - 0.5 * pair) * size, size)
        blobs += wing + mirrored(wing)
    fan = np.array([-size * rng.uniform(1.0, 1.7), 0.0, rng.uniform(-0.2, 0.5) * size])
    squash = (1.0, rng.uniform(1.0, 3.5), 1.0)
    blobs += limb(np.stack([spine[0], fan]), thick * np.array([0.35, 0.2]), squash)
    return Design(largest_body(melted(blobs, 0.1 * thick)), _coat(rng, size), MIRROR_ONLY, gloss=0.1)


def _soft_wing(rng: np.random.Generator, x: float, size: float) -> list[Blob]:
    """The wing at +y of a bird about twice `size` m long, flat and bent in its middle; its root at `x` m."""
    reach, up = size * rng.uniform(0.6, 1.4), rng.uniform(-0.3, 0.9)
    broad = rng.uniform(2.2, 4.0)
    root = np.array([x, 0.0, 0.0])
    bend = np.array([x + rng.uniform(-0.2, 0.3) * size, 0.5 * reach, 0.5 * up * reach])
    tip = np.array([x - rng.uniform(0.0, 0.7) * size, reach, rng.uniform(0.1, 1.0) * up * reach])
    radii = size * rng.uniform(0.06, 0.1) * np.array([1.2, 1.1, rng.uniform(0.5, 1.0)])
    return limb(np.stack([root, bend, tip]), radii, (broad, 1.0, 1.0))
