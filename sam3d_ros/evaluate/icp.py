"""Iterative closest point: which rigid motion brings one surface onto another.

Point to point, with pairs in both directions: every point of either cloud pulls, so a part that the other
cloud lacks cannot be hidden by sliding over it. All starts run at once. Nothing is scaled, nothing is
mirrored, no pair is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.perception.frames import transform
from sam3d_ros.types import Float

CONVERGED = 1e-4
"""A start rests when a step turns it by less than this many radians and moves it by less than this share of
the fixed cloud's extent."""
STAGES = ((120, 12, 4), (500, 20, 2), (2000, 30, 1))
"""Points per cloud, iterations at most, and how many starts go on to the next stage."""


@dataclass(frozen=True)
class Alignment:
    """T: (4, 4) float64, takes the moving points to the fixed ones. error: mean of the two mean distances to
    the nearest point, in the unit of the points."""

    T: Float
    error: float


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


def align(moving: Float, fixed: Float, starts: Float) -> Alignment:
    """The best of ICP from the rotations `starts` (S, 3, 3), each with the two centroids on each other.

    moving, fixed: (N, 3) and (M, 3) finite points, at least one each, in an order in which every k-th is
    spread over the whole: coarse stages take these.
    """
    middle_m, middle_f = moving.mean(axis=0), fixed.mean(axis=0)
    best: Float = np.array([transform(R, middle_f - R @ middle_m) for R in starts])
    errors: Float = np.zeros(len(best))
    for points, iterations, keep in STAGES:
        few_m, few_f = _spread(moving, points), _spread(fixed, points)
        best, errors = icp(few_m, few_f, best, iterations)
        order = np.argsort(errors, kind="stable")[:keep]
        best, errors = best[order], errors[order]
    return Alignment(best[0], float(errors[0]))


def icp(moving: Float, fixed: Float, starts: Float, iterations: int) -> tuple[Float, Float]:
    """(S, 4, 4) where ICP from each of `starts` (S, 4, 4) ends, and (S,) the errors there, as in
    `Alignment`."""
    trees = cKDTree(moving), cKDTree(fixed)
    T = np.asarray(starts, np.float64).copy()
    active = np.arange(len(T))
    extent = float(np.ptp(fixed, axis=0).max())
    for _ in range(iterations):
        partners_f, partners_m, _ = _pairs(moving, fixed, trees, T[active])
        count = len(active)
        everything_m = np.concatenate([np.broadcast_to(moving, (count, *moving.shape)), partners_m], axis=1)
        everything_f = np.concatenate([partners_f, np.broadcast_to(fixed, (count, *fixed.shape))], axis=1)
        weights = np.concatenate([np.full(len(moving), 1 / len(moving)), np.full(len(fixed), 1 / len(fixed))])
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
    moving: Float, fixed: Float, trees: tuple[cKDTree, cKDTree], T: Float
) -> tuple[Float, Float, Float]:
    """Per motion T (S, 4, 4): the fixed partners of the moving points (S, N, 3), the moving partners of the
    fixed points (S, M, 3), and (S,) the mean of the two mean distances."""
    R, t = T[:, :3, :3], T[:, :3, 3]
    there = moving @ R.transpose(0, 2, 1) + t[:, None]
    back = (fixed - t[:, None]) @ R
    d_f, to_f = trees[1].query(there)
    d_m, to_m = trees[0].query(back)
    return fixed[to_f], moving[to_m], (d_f.mean(axis=1) + d_m.mean(axis=1)) / 2


def _spread(points: Float, count: int) -> Float:
    few: Float = points[np.linspace(0, len(points) - 1, min(count, len(points))).astype(int)]
    return few
