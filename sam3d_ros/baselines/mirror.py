"""Completion by symmetry: most made things are mirror images of themselves in some vertical plane.

Candidate planes (yaw and offset) are scored by what the camera saw: a mirrored point that would float in
observed free space speaks against a plane, one that lands on the observed surface speaks for it, and a
plane far from the middle, which doubles the thing, has to be worth it. Then both halves are filled like
`extrude` does, and the free space is mirrored as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3d_ros.baselines.columns import stand
from sam3d_ros.baselines.evidence import Evidence, evidence, tolerance
from sam3d_ros.baselines.extrude import SEEN_SKIN, deepen
from sam3d_ros.types import Float, Frame, Mesh, ObjectView

VIOLATION, GROWTH = (
    4.0,
    1.0,
)  # weights beside the supported share; measured to be uncritical within a factor of 2
YAWS, OFFSETS = 12, 11
SAMPLES = 400  # points that vote


@dataclass(frozen=True)
class Plane:
    """Vertical plane of points p with cos(yaw) p.x + sin(yaw) p.y == offset (m), view frame."""

    yaw: float
    offset: float

    def reflect(self, points: Float) -> Float:
        """(N, 3) points on the other side, same dtype."""
        normal = np.array([np.cos(self.yaw), np.sin(self.yaw), 0], points.dtype)
        return points - 2 * (points @ normal - points.dtype.type(self.offset))[:, None] * normal


def scores(planes: list[Plane], points: Float, seen: Evidence) -> Float:
    """(len(planes),) lower is better: see the module's text. points: (N, 3) that vote."""
    reach = float(np.nanmedian(seen.depth[seen.mask])) if np.isfinite(seen.depth[seen.mask]).any() else 1.0
    error = float(tolerance(np.asarray(reach)))
    reflected = np.concatenate([plane.reflect(points) for plane in planes])
    behind = seen.clearance(reflected).reshape(len(planes), -1)
    violation = np.clip(-behind - error / 2, 0, 3 * error).mean(1) / (3 * error)
    supported = np.exp(-(np.minimum(np.abs(behind) / error, 9) ** 2)).mean(1)
    growth = np.empty(len(planes))
    for i, plane in enumerate(planes):
        along = points[:, 0] * np.cos(plane.yaw) + points[:, 1] * np.sin(plane.yaw)
        low, high = float(along.min()), float(along.max())
        growth[i] = 2 * abs(plane.offset - (low + high) / 2) / max(high - low, 1e-6)
    total: Float = VIOLATION * violation - supported + GROWTH * growth
    return total


def find_plane(seen: Evidence) -> Plane:
    """The best plane on a coarse grid of yaws and offsets, then refined twice around it."""
    points = seen.points[np.linspace(0, len(seen.points) - 1, min(SAMPLES, len(seen.points))).astype(int)]
    middle = points[:, :2].mean(0).astype(np.float64)
    planes = []
    for yaw in np.arange(YAWS) * np.pi / YAWS:
        along = points[:, 0] * np.cos(yaw) + points[:, 1] * np.sin(yaw)
        planes += [Plane(float(yaw), float(o)) for o in np.linspace(along.min(), along.max(), OFFSETS)]
    best = planes[int(np.argmin(scores(planes, points, seen)))]
    turn, shift = np.pi / YAWS / 2, 0.05 * float(np.ptp(points[:, :2], axis=0).max())
    for _ in range(2):
        around = []
        for a in np.linspace(-turn, turn, 5):
            # The plane turns about the middle of the points, so that yaw and offset can be told apart.
            pivot = best.offset - middle @ [np.cos(best.yaw), np.sin(best.yaw)]
            base = pivot + middle @ [np.cos(best.yaw + a), np.sin(best.yaw + a)]
            around += [Plane(float(best.yaw + a), float(base + o)) for o in np.linspace(-shift, shift, 5)]
        best = around[int(np.argmin(scores(around, points, seen)))]
        turn, shift = turn / 2.5, shift / 2.5
    return best


def mirror(view: ObjectView, frame: Frame) -> Mesh:
    """Watertight mesh, m, in the view frame.

    Raises InputError for fewer than 4 points above the support, MeshError where no solid is left.
    """
    seen = evidence(view, frame)
    plane = find_plane(seen)
    both = np.concatenate([deepen(seen), plane.reflect(seen.points)])

    def clearance(points: Float) -> Float:
        return np.minimum(seen.clearance(points), seen.clearance(plane.reflect(points))) + np.float32(
            SEEN_SKIN
        )

    return stand(both, clearance)
