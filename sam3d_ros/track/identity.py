"""Stable ids over frames: the object that is where one was, and about as large, is the same object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from sam3d_ros.types import Float, Reconstruction


@dataclass(frozen=True)
class Sighting:
    """One object in one frame. center: (3,) m; half: (3,) half extents of its box along the frame's axes,
    m."""

    center: Float
    half: Float
    label: str = ""


@dataclass(frozen=True)
class TrackSettings:
    """margin_m: boxes grown by this still count as overlapping. size_ratio: largest change of the box's
    diagonal. memory_s: how long an object that is not seen keeps its id. jump_s: a stamp so far before
    the last one means that the clock was set back. prefix: ids are this and a number."""

    margin_m: float = 0.02
    size_ratio: float = 2.0
    memory_s: float = 3.0
    jump_s: float = 1.0
    prefix: str = "object_"


def sighting(result: Reconstruction, T_fixed_cam: Float) -> Sighting:
    """Where an object is in a fixed frame; pass the identity where the camera does not move."""
    T = T_fixed_cam @ result.T_cam_obj
    return Sighting(
        T[:3, 3], np.abs(T[:3, :3]) @ (np.asarray(result.size_m, np.float64) / 2), result.mask.label
    )


class Tracker:
    """Gives ids "object_1", "object_2", ... An id is never used again until the tracker is reset."""

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self.reset()

    def reset(self) -> None:
        """Forget every object and start at object_1 again."""
        self._known: dict[int, tuple[int, Sighting]] = {}
        self._next = 1
        self._last_ns: int | None = None

    def update(self, stamp_ns: int, seen: Sequence[Sighting]) -> list[str]:
        """Ids of the objects of one frame, in their order. All frames must give them in the same fixed frame.

        A stamp more than jump_s before the last one (a bag that starts again, a simulation that was reset)
        resets the tracker; a smaller step back is reordering and does not. Objects match where their boxes
        overlap, their sizes agree and no two different labels meet; of all such pairings the one with the
        smallest summed distance relative to the sizes is taken.
        """
        if self._last_ns is not None and stamp_ns < self._last_ns - int(self.settings.jump_s * 1e9):
            self.reset()
        stamp_ns = self._last_ns = max(stamp_ns, self._last_ns or stamp_ns)
        oldest = stamp_ns - int(self.settings.memory_s * 1e9)
        self._known = {k: v for k, v in self._known.items() if v[0] >= oldest}
        numbers = list(self._known)
        cost = np.array([[self._cost(self._known[k][1], s) for k in numbers] for s in seen])
        ids = [0] * len(seen)
        if cost.size:
            far = 1e3  # larger than any sum of allowed costs, so that impossible pairs are taken last
            for row, column in zip(
                *linear_sum_assignment(np.where(np.isfinite(cost), cost, far)), strict=True
            ):
                if np.isfinite(cost[row, column]):
                    ids[row] = numbers[column]
        for i, item in enumerate(seen):
            if not ids[i]:
                ids[i] = self._next
                self._next += 1
            self._known[ids[i]] = (stamp_ns, item)
        return [f"{self.settings.prefix}{number}" for number in ids]

    def _cost(self, known: Sighting, seen: Sighting) -> float:
        """Distance of the centres over the mean diagonal; inf where the two cannot be the same object."""
        if known.label and seen.label and known.label != seen.label:
            return np.inf
        a, b = 2 * float(np.linalg.norm(known.half)), 2 * float(np.linalg.norm(seen.half))
        if max(a, b) > self.settings.size_ratio * min(a, b) + self.settings.margin_m:
            return np.inf
        apart = np.abs(known.center - seen.center)
        if (apart > known.half + seen.half + self.settings.margin_m).any() or not np.isfinite(apart).all():
            return np.inf
        return float(np.linalg.norm(apart)) / max((a + b) / 2, 1e-6)
