"""Scenes as a robot sees them: objects standing or lying on a table, in a room, and a camera that moves
around.

World frame: z up, the table top is the plane z = 0, its middle the origin; metres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]
from trimesh.poses import compute_stable_poses

from sam3d_ros.data.objects import TABLETOP, ObjectModel, make_object
from sam3d_ros.data.room import Quad, room
from sam3d_ros.perception.frames import apply, transform
from sam3d_ros.types import Float, InputError

GAP = 0.008
"""Least distance of two objects on the table, m."""
Rest = Callable[[ObjectModel, np.random.Generator], Float]
"""How an object lies that does not stand: (3, 3) rotation."""


@dataclass(frozen=True)
class PlacedObject:
    """An object in the world. label: its value in label images, 1 and up. T_world_obj: (4, 4) float64, no
    scale."""

    label: int
    model: ObjectModel
    T_world_obj: Float


@dataclass(frozen=True)
class Light:
    """A far light: `direction` (3,) unit vector from the scene to the light, with its strength and that of
    the light from everywhere, both relative to white at 1. The latter is brighter from `up` (3,), a unit vector."""

    direction: Float
    strength: float = 0.75
    ambient: float = 0.4
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def turned(self, R: Float) -> Light:
        """The same light in a frame that the rotation R (3, 3) leads to."""
        x, y, z = R @ np.array(self.up)
        return replace(self, direction=R @ self.direction, up=(float(x), float(y), float(z)))


@dataclass(frozen=True)
class Scene:
    """What a renderer needs: objects, textured quads of the room, and the light."""

    objects: tuple[PlacedObject, ...]
    room: tuple[Quad, ...]
    light: Light


def make_tabletop(
    seed: int, count: int, categories: Sequence[str] = TABLETOP, radius: float = 0.22, lying: float = 0.2
) -> Scene:
    """`count` objects on a table, none touching another, the same for the same arguments.

    With the probability `lying` an object is dropped: it rests on the side a falling one would. Objects are
    placed within `radius` m of the middle, and further out where there is no room left.
    Raises InputError where count is negative.
    """
    if count < 0:
        raise InputError(f"a scene cannot have {count} objects")
    rng = np.random.default_rng(seed)
    spots = _Spots(radius, lying, rng, toppled)
    placed = [spots.put(make_object(str(rng.choice(list(categories))), rng)) for _ in range(count)]
    return around(tuple(placed), rng)


def around(placed: tuple[PlacedObject, ...], rng: np.random.Generator) -> Scene:
    """Objects on a table with a random room around them and a random light above."""
    direction = _direction(rng, 40, 75)
    return Scene(placed, room(rng), Light(direction))


def any_lamp(rng: np.random.Generator) -> Light:
    """A light 35 to 80 degrees above the table, of random strength: what tables to train on stand in."""
    direction = _direction(rng, 35, 80)
    return Light(direction, float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.25, 0.55)))


def any_viewpoint(rng: np.random.Generator) -> Float:
    """(4, 4) `T_world_cam` from 0.4 to 1 m, 15 to 70 degrees above the table, not quite at its middle."""
    away = _direction(rng, 15, 70)
    target = np.array([*rng.uniform(-0.08, 0.08, 2), 0.04])
    return look_at(target + rng.uniform(0.4, 1.0) * away, target)


def _direction(rng: np.random.Generator, lowest_deg: float, highest_deg: float) -> Float:
    """(3,) unit vector upwards at any azimuth, between two angles above the horizon."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(lowest_deg, highest_deg))
    return np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])


def resting(model: ObjectModel, rng: np.random.Generator) -> Float:
    """(3, 3) rotation onto a side on which the object does not fall over, drawn by the side's area.

    A side is a flat part of the convex hull; it carries where the middle of the volume is above it, two
    millimetres from its edge. A ball has none that is large enough: it lies as it is turned at random.
    """
    vertices = model.mesh.vertices.astype(np.float64)
    hull = ConvexHull(vertices)
    corners = vertices[model.mesh.faces]
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    middle = (corners.sum(axis=1) * volumes[:, None]).sum(axis=0) / (4 * volumes.sum())
    _, side = np.unique(np.round(hull.equations, 3), axis=0, return_inverse=True)
    side = side.reshape(-1)
    triangles = vertices[hull.simplices]
    areas = (
        np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
        / 2
    )
    total = np.bincount(side, weights=areas)
    chances = np.zeros(len(total))
    for number in np.flatnonzero(total > 0.01 * total.sum()):
        own = np.flatnonzero(side == number)
        down = hull.equations[own[0], :3]
        R = _down(down)
        outline = np.unique(triangles[own].reshape(-1, 3) @ R.T[:, :2], axis=0)
        if len(outline) > 2 and _holds(outline, middle @ R.T[:, :2]):
            chances[number] = total[number]
    if not chances.any():
        return _down(_unit(rng.normal(size=3)))
    chosen = rng.choice(len(chances), p=chances / chances.sum())
    return _down(hull.equations[np.flatnonzero(side == chosen)[0], :3])


def toppled(model: ObjectModel, rng: np.random.Generator) -> Float:
    """(3, 3) rotation onto a stable side, drawn by how often a falling object ends there.

    It takes a hundred times as long as `resting`, and copes with scans, whose sides are not quite flat.
    """
    solid = trimesh.Trimesh(model.mesh.vertices, model.mesh.faces, process=False)
    with np.errstate(all="ignore"):
        poses, chances = compute_stable_poses(solid)
    # Sides of sliver faces come with a chance of NaN.
    chances = np.nan_to_num(chances)
    if not chances.sum() > 0:
        return np.eye(3)
    chosen: Float = np.asarray(poses, np.float64)[rng.choice(len(poses), p=chances / chances.sum()), :3, :3]
    return chosen


def place(
    models: Sequence[ObjectModel],
    rng: np.random.Generator,
    radius: float = 0.22,
    lying: float = 0.2,
    rest: Rest = resting,
) -> tuple[PlacedObject, ...]:
    """Given objects on the table as make_tabletop places its own, labelled 1, 2, ... in their order.

    rest: which side a lying one rests on. The seeds of make_tabletop stand for `toppled`.
    """
    spots = _Spots(radius, lying, rng, rest)
    return tuple(spots.put(model) for model in models)


def _unit(v: Float) -> Float:
    unit: Float = v / np.linalg.norm(v)
    return unit


def _down(direction: Float) -> Float:
    """(3, 3) rotation that turns a unit vector (3,) to -z."""
    z = -direction
    x = _unit(np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z))
    return np.stack([x, np.cross(z, x), z])


def _holds(outline: Float, point: Float, margin: float = 0.002) -> bool:
    """Whether a point (2,) is inside the convex hull of an outline (N, 2), `margin` m from its edge."""
    try:
        sides = ConvexHull(outline).equations
    except QhullError:
        return False
    return bool((sides[:, :2] @ point + sides[:, 2] < -margin).all())


def look_at(eye_world: Float, target_world: Float) -> Float:
    """(4, 4) float64 `T_world_cam` of a camera at `eye_world` (3,) that sees `target_world` in its middle,
    upright.

    Raises InputError where the view is straight up or down, since then no direction is upright.
    """
    z = np.asarray(target_world, np.float64) - eye_world
    right = np.cross(z, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6 * np.linalg.norm(z) or not np.any(z):
        raise InputError("a camera that looks straight up or down has no upright picture")
    z, x = z / np.linalg.norm(z), right / np.linalg.norm(right)
    return transform(np.stack([x, np.cross(z, x), z], axis=1), np.asarray(eye_world, np.float64))


def orbit(
    count: int,
    distance_m: tuple[float, float] = (0.5, 0.9),
    down_deg: tuple[float, float] = (30.0, 55.0),
    target_world: Float | None = None,
    turns: float = 1.0,
    start: float = 0.0,
) -> Float:
    """(count, 4, 4) float64 `T_world_cam`: a smooth closed way around the table, looking at it.

    Distance and angle below the horizon swing between their limits once and twice per way, `turns` is how
    often it goes around, `start` the azimuth in rad where it begins. The default target is 4 cm above the
    middle of the table.
    """
    target = np.array([0.0, 0.0, 0.04]) if target_world is None else np.asarray(target_world, np.float64)
    phase = 2 * np.pi * np.arange(count) / max(count, 1)
    azimuth = start + turns * phase
    distance = np.mean(distance_m) + (distance_m[1] - distance_m[0]) / 2 * np.cos(phase)
    down = np.deg2rad(np.mean(down_deg) + (down_deg[1] - down_deg[0]) / 2 * np.sin(2 * phase))
    away = np.stack([np.cos(azimuth) * np.cos(down), np.sin(azimuth) * np.cos(down), np.sin(down)], axis=1)
    return np.array([look_at(target + d * a, target) for d, a in zip(distance, away, strict=True)]).reshape(
        -1, 4, 4
    )


def world_vertices(placed: PlacedObject) -> Float:
    """(V, 3) float64 vertices of the object in world coordinates."""
    return apply(placed.T_world_obj, placed.model.mesh.vertices.astype(np.float64))


class _Spots:
    """Objects put on the table one after the other, none touching those before."""

    def __init__(
        self,
        radius: float,
        lying: float,
        rng: np.random.Generator,
        rest: Rest,
    ) -> None:
        self._radius, self._chance, self._rng, self._rest = radius, lying, rng, rest
        self._outlines: list[Float] = []

    def put(self, model: ObjectModel) -> PlacedObject:
        rng = self._rng
        R = self._rest(model, rng) if rng.random() < self._chance else np.eye(3)
        R = _about_z(rng.uniform(0, 2 * np.pi)) @ R
        turned = model.mesh.vertices.astype(np.float64) @ R.T
        outline = turned[ConvexHull(turned[:, :2]).vertices, :2]
        spot = _free_spot(outline, self._outlines, self._radius, rng)
        self._outlines.append(outline + spot)
        T_world_obj = transform(R, np.array([spot[0], spot[1], -turned[:, 2].min()]))
        return PlacedObject(len(self._outlines), model, T_world_obj)


def _about_z(angle: float) -> Float:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _free_spot(outline: Float, others: Sequence[Float], radius: float, rng: np.random.Generator) -> Float:
    """(2,) where the convex outline (N, 2) keeps GAP to all others; the area grows until there is room."""
    while True:
        for _ in range(40):
            angle, r = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.random())
            spot = np.array([r * np.cos(angle), r * np.sin(angle)])
            if all(_apart(outline + spot, other, GAP) for other in others):
                return spot
        radius *= 1.1


def _apart(a: Float, b: Float, gap: float) -> bool:
    """Whether an edge of one of two convex polygons separates them by `gap`."""
    for first, second in ((a, b), (b, a)):
        edges = np.roll(first, -1, axis=0) - first
        normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        own, other = (normals @ first.T).max(axis=1), (normals @ second.T).min(axis=1)
        if np.any(other - own >= gap):
            return True
    return False
