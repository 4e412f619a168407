"""Building blocks of procedural objects: what the categories put together with manifold3d, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, Manifold  # type: ignore[import-not-found]

from sam3d_ros.data.textures import Texture, noise
from sam3d_ros.types import Float

SEGMENTS = 48
"""Corners of a circle: 0.2 % of the radius between the circle and its polygon."""


@dataclass(frozen=True)
class Symmetry:
    """What leaves a shape as it is, texture apart: rotations (3, 3) besides the identity, and every rotation
    about z where `about_z`. known: False for a mesh from elsewhere, of which nobody has said anything."""

    rotations: tuple[Float, ...] = ()
    about_z: bool = False
    known: bool = True


HALF_TURNS = {axis: np.diag([1.0 if i == j else -1.0 for j in range(3)]) for i, axis in enumerate("xyz")}
BOX_SYMMETRY = Symmetry(rotations=tuple(HALF_TURNS.values()))
ROUND = Symmetry(about_z=True)
ROUND_BOTH_ENDS = Symmetry(rotations=(HALF_TURNS["x"],), about_z=True)
HALF_TURN = Symmetry(rotations=(HALF_TURNS["z"],))
MIRROR_ONLY = Symmetry()
"""No rotation maps the shape onto itself."""
UNKNOWN = Symmetry(known=False)


@dataclass(frozen=True)
class Design:
    """An object before tessellation: z up, standing or lying as it usually does. gloss: 0 matt to 1
    mirror-like."""

    solid: Manifold
    texture: Texture
    symmetry: Symmetry = field(default=MIRROR_ONLY)
    gloss: float = 0.1


Profile = list[tuple[float, float]]
"""Points (radius, height) in m of what is turned about z, from the bottom upwards."""


def turned(profile: Profile) -> Manifold:
    """A solid of revolution about z from a closed outline of (radius, height), counter-clockwise."""
    return Manifold.revolve(CrossSection([list(profile)]), SEGMENTS)


def hollow(outline: Profile, wall: float, floor: float) -> tuple[Manifold, Manifold]:
    """A vessel turned from its outer outline, given from the bottom upwards as (radius, height), and its
    cavity.

    What is added to the vessel goes without the cavity: `shell + (handle - cavity)`.
    """
    outer = turned([(0.0, outline[0][1]), *outline, (0.0, outline[-1][1])])
    inner = [(max(r - wall, wall), max(z, outline[0][1] + floor)) for r, z in outline]
    # The cavity goes on above the rim, so that the two solids share no plane.
    top = (inner[-1][0], outline[-1][1] + wall)
    kept = [p for i, p in enumerate(inner) if i == len(inner) - 1 or inner[i + 1][1] > p[1]]
    cavity = turned([(0.0, kept[0][1]), *kept, top, (0.0, top[1])])
    return outer - cavity, cavity


def arc(start: tuple[float, float], end: tuple[float, float], bulge: float, steps: int = 8) -> Profile:
    """Points of a parabola between two points; `bulge` m to the right of the way from start to end."""
    a, b = np.array(start), np.array(end)
    normal = np.array([b[1] - a[1], a[0] - b[0]]) / np.linalg.norm(b - a)
    s = np.linspace(0, 1, steps + 1)[:, None]
    return [(float(x), float(y)) for x, y in a + s * (b - a) + 4 * bulge * s * (1 - s) * normal]


def rounded_box(size: Sequence[float] | Float, radius: float, segments: int = 4) -> Manifold:
    """A box centred on the origin with rounded edges; the hull of eight spheres."""
    half = np.asarray(size, np.float64) / 2 - radius
    ball = Manifold.sphere(radius, 4 * segments)
    corners = [ball.translate((x * half[0], y * half[1], z * half[2]))
               for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]  # fmt: skip
    return Manifold.batch_hull(corners)


def axle(length: float, radius: float, segments: int) -> Manifold:
    """A cylinder along y around the origin, in m: wheels, hinges, bores from side to side."""
    return Manifold.cylinder(length, radius, -1.0, segments, True).rotate((90.0, 0.0, 0.0))


def superellipse(angle: Float, power: float) -> Float:
    """(N, 2) points at angles (N,) of a curve within x, y = -1 .. 1: `power` 1 a circle, near 0 a square."""
    corners = [np.sign(side) * np.abs(side) ** power for side in (np.cos(angle), np.sin(angle))]
    return np.stack(corners, axis=1)


def rod(points: Float, radii: Float, segments: int = 20) -> Manifold:
    """A chain of rounded pieces along points (N, 3) with radii (N,): handles, spoons, stalks."""
    balls = [Manifold.sphere(float(r), segments).translate(tuple(map(float, p)))
             for p, r in zip(points, radii, strict=True)]  # fmt: skip
    total = Manifold()
    for one, following in pairwise(balls):
        total += Manifold.batch_hull([one, following])
    return total


def tube(curve: Float, radii: Float, squash: float = 1.0, segments: int = 24) -> Manifold:
    """A smooth tube around a curve (N, 3) in the xy plane with radii (N,), `squash` times as high as wide."""
    steps = len(curve) - 1
    straight = Manifold.extrude(CrossSection.circle(1.0, segments), float(steps), steps - 1)
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.stack([-tangent[:, 1], tangent[:, 0], np.zeros(steps + 1)], axis=1)
    up = np.array([0.0, 0.0, squash])

    def bend(vertices: Float) -> Float:
        i = np.clip(np.rint(vertices[:, 2]).astype(int), 0, steps)
        offset = vertices[:, :1] * side[i] + vertices[:, 1:2] * up
        moved: Float = curve[i] + radii[i, None] * offset
        return moved

    bent = straight.warp_batch(bend)
    if bent.volume() <= 0:
        raise ValueError("the tube is inside out: its radius exceeds that of the curve")
    return bent


def turn_about_z(turns: float) -> Float:
    """(3, 3) rotation about z by a number of turns."""
    c, s = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def threaded(radius: float, depth: float, height: float, pitch: float, segments: int = 32) -> Manifold:
    """A screw about z with a rounded thread: a circle off its axis by `depth`, twisted upwards."""
    turns = height / pitch
    circle = CrossSection.circle(radius, segments).translate((depth, 0.0))
    return Manifold.extrude(circle, height, max(1, round(turns * 10)), 360.0 * turns)


def superquadric(half: Sequence[float], e_up: float, e_around: float, segments: int = 32) -> Manifold:
    """|x/a|^(2/e) ... = 1 about the origin (Barr 1981): exponents near 0 give a box, 1 an ellipsoid."""

    def bulge(v: Float) -> Float:
        unit = v / np.linalg.norm(v, axis=1, keepdims=True)
        flat = np.abs(unit[:, :2]) ** (2 / e_around)
        level = flat.sum(axis=1) ** (e_around / e_up) + np.abs(unit[:, 2]) ** (2 / e_up)
        placed: Float = unit * (level ** (-e_up / 2))[:, None] * np.asarray(half)
        return placed

    return Manifold.sphere(1.0, segments).warp_batch(bulge)


def displaced(rng: np.random.Generator, half: Float, octaves: Sequence[tuple[float, float]]) -> Manifold:
    """An ellipsoid of half axes (3,) whose radius varies by noise: (wavelength in m, share of the radius)."""
    fields = [(noise(rng, wavelength), share) for wavelength, share in octaves]

    def grow(v: Float) -> Float:
        unit = v / np.linalg.norm(v, axis=1, keepdims=True)
        # Not through the middle: noise is held within 2.5 deviations.
        factor = 1 + sum(share * np.clip(field(unit * half), -2.5, 2.5) for field, share in fields)
        grown: Float = unit * half * np.asarray(factor)[:, None]
        return grown

    return Manifold.sphere(1.0, 64).warp_batch(grow)


def largest_body(solid: Manifold) -> Manifold:
    """The largest of the bodies that a solid falls into."""
    parts = solid.decompose()
    return max(parts, key=lambda part: part.volume()) if len(parts) > 1 else solid


def to_fit(solid: Manifold, least: float, most: float) -> float:
    """The factor that brings the longest side of a solid between two lengths in m; 1 where it lies there."""
    box = np.array(solid.bounding_box())
    longest = float((box[3:] - box[:3]).max())
    return float(np.clip(longest, least, most)) / longest


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A random length between two, each ratio as likely as another: small things are no rarer than large."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
