"""Iterative closest point: which rigid motion brings one surface onto another.

Every sample stands for a small disc of its surface, and a point is drawn to the nearest point of that disc:
with points alone, two samplings of one surface would lock into each other wherever they happen to fit, five
degrees off for a mug. Pairs go in both directions, so a part that the other surface lacks cannot be hidden by
sliding over it. All starts run at once. Nothing is scaled, nothing is mirrored, no pair is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.evaluate.surface import sample_faces, surface_area
from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Float, Int

CONVERGED = 1e-4
"""A start rests when a step turns it by less than this many radians and moves it by less than this share of
the fixed cloud's extent."""
STAGES = ((120, 12, 4), (500, 20, 2), (2000, 40, 1))
"""Points per cloud, iterations at most, and how many starts go on to the next stage."""


@dataclass(frozen=True)
class Cloud:
    """points: (N, 3) samples of a surface, in an order in which every k-th is spread over the whole. normals:
    (N, 3) unit length. radius: of the disc that each stands for; 0 makes it a point."""

    points: Float
    normals: Float
    radius: float

    def thinned(self, count: int) -> Cloud:
        """At most `count` of them, each for a larger disc."""
        few = np.linspace(0, len(self.points) - 1, min(count, len(self.points))).astype(int)
        radius = self.radius * float(np.sqrt(len(self.points) / len(few)))
        return Cloud(self.points[few], self.normals[few], radius)


@dataclass(frozen=True)
class Alignment:
    """T: (4, 4) float64, takes the moving surface to the fixed one. error: mean of the two mean distances to
    the nearest disc, in the unit of the points."""

    T: Float
    error: float


def cloud_of(vertices: Float, faces: Int, count: int, seed: int) -> Cloud:
    """`count` samples of a surface with an area, their discs together as large as it."""
    points, face = sample_faces(vertices, faces, count, seed)
    a, b, c = (vertices[faces[face, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    return Cloud(points, normals, float(np.sqrt(surface_area(vertices, faces) / count / np.pi)))


def cube_rotations() -> Float:
    """(24, 3, 3) float64 rotations of the cube, the identity first: no rotation is farther than 62.8 degrees
    from the nearest of them."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            R = np.zeros((3, 3))
            R[range(3), order] = signs
            if np.linalg.det(R) > 0:
                found.append(R)
    return np.array(found)


def align(moving: Cloud, fixed: Cloud, starts: Float) -> Alignment:
    """The best of ICP from the rotations `starts` (S, 3, 3), each with the two centroids on each other."""
    middle_m, middle_f = moving.points.mean(axis=0), fixed.points.mean(axis=0)
    best: Float = np.array([transform(R, middle_f - R @ middle_m) for R in starts])
    errors: Float = np.zeros(len(best))
    for points, iterations, keep in STAGES:
        best, errors = icp(moving.thinned(points), fixed.thinned(points), best, iterations)
        order = np.argsort(errors, kind="stable")[:keep]
        best, errors = best[order], errors[order]
    return Alignment(best[0], float(errors[0]))


def icp(moving: Cloud, fixed: Cloud, starts: Float, iterations: int) -> tuple[Float, Float]:
    """(S, 4, 4) where ICP from each of `starts` (S, 4, 4) ends, and (S,) the errors there, as in
    `Alignment`."""
    trees = cKDTree(moving.points), cKDTree(fixed.points)
    T = np.asarray(starts, np.float64).copy()
    active = np.arange(len(T))
    weights = np.concatenate([np.full(len(c.points), 1 / len(c.points)) for c in (moving, fixed)])
    extent = float(np.ptp(fixed.points, axis=0).max())
    for _ in range(iterations):
        partners_f, partners_m, _ = _pairs(moving, fixed, trees, T[active])
        count = len(active)
        own_m, own_f = (np.broadcast_to(c.points, (count, *c.points.shape)) for c in (moving, fixed))
        everything_m = np.concatenate([own_m, partners_m], axis=1)
        everything_f = np.concatenate([partners_f, own_f], axis=1)
        step = best_rigid(everything_m, everything_f, weights)
        turned = np.linalg.norm(step[:, :3, :3] - T[active][:, :3, :3], axis=(1, 2)) / np.sqrt(2)
        moved = np.linalg.norm(step[:, :3, 3] - T[active][:, :3, 3], axis=1)
        T[active] = step
        active = active[(turned > CONVERGED) | (moved > CONVERGED * extent)]
        if not len(active):
            break
    return T, _pairs(moving, fixed, trees, T)[2]


def best_rigid(source: Float, target: Float, weights: Float) -> Float:
    """(S, 4, 4) rigid motions that bring source (S, N, 3) nearest to target (S, N, 3) in the sum of squares
    weighted by `weights` (N,) (Kabsch, Umeyama without scale)."""
    w = weights / weights.sum()
    middle_s = np.einsum("n,snk->sk", w, source)
    middle_t = np.einsum("n,snk->sk", w, target)
    covariance = np.matmul(((target - middle_t[:, None]) * w[:, None]).transpose(0, 2, 1),
                           source - middle_s[:, None])  # fmt: skip
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    R = u @ vt
    T = np.broadcast_to(np.eye(4), (len(R), 4, 4)).copy()
    T[:, :3, :3] = R
    T[:, :3, 3] = middle_t - np.einsum("sij,sj->si", R, middle_s)
    return T


def angle_deg(R: Float) -> float:
    """Angle of a rotation (3, 3), 0..180 degrees; by atan2, so that small angles keep their digits."""
    sine = np.linalg.norm([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    return float(np.rad2deg(np.arctan2(sine, np.trace(R) - 1)))


def _pairs(
    moving: Cloud, fixed: Cloud, trees: tuple[cKDTree, cKDTree], T: Float
) -> tuple[Float, Float, Float]:
    """Per motion T (S, 4, 4): the partners of the moving points (S, N, 3) in the fixed frame, those of the
    fixed points (S, M, 3) in the moving frame, and (S,) the mean of the two mean distances."""
    R, t = T[:, :3, :3], T[:, :3, 3]
    there = moving.points @ R.transpose(0, 2, 1) + t[:, None]
    back = (fixed.points - t[:, None]) @ R
    partners_f = _on_disc(there, fixed, trees[1].query(there)[1])
    partners_m = _on_disc(back, moving, trees[0].query(back)[1])
    apart_f = np.linalg.norm(there - partners_f, axis=2).mean(axis=1)
    apart_m = np.linalg.norm(back - partners_m, axis=2).mean(axis=1)
    return partners_f, partners_m, (apart_f + apart_m) / 2


def _on_disc(points: Float, cloud: Cloud, nearest: Int) -> Float:
    """(S, N, 3) the point nearest to each of `points` (S, N, 3) on the disc of its nearest sample (S, N)."""
    middle, normal = cloud.points[nearest], cloud.normals[nearest]
    offset = points - middle
    offset -= np.einsum("snk,snk->sn", offset, normal)[..., None] * normal
    length = np.linalg.norm(offset, axis=2, keepdims=True)
    offset *= np.minimum(1, cloud.radius / np.maximum(length, 1e-300))
    on: Float = middle + offset
    return on
