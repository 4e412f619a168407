"""A TF tree in memory, for machines where tf2_ros is not installed. No ROS: frames are names, times nanoseconds.

Like tf2: every frame has one parent; between two samples rotation is interpolated on the sphere and translation along
the line; a question outside the recorded time is refused, never extrapolated; static transforms hold at all times.
"""

from __future__ import annotations

import bisect
import threading

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from sam3d_ros.perception import frames
from sam3d_ros.types import Float


class TransformUnavailable(Exception):
    """No transform between the two frames at that time; the text says which part is missing."""


class TransformBuffer:
    """Transforms of the last `keep_ns`, thread-safe. A clock that jumps back clears what is not static."""

    def __init__(self, keep_ns: int = 10_000_000_000) -> None:
        self._keep_ns = keep_ns
        self._changed = threading.Condition()
        self._parent: dict[str, str] = {}
        self._static: dict[str, Float] = {}
        self._times: dict[str, list[int]] = {}
        self._transforms: dict[str, list[Float]] = {}

    def set(
        self, parent: str, child: str, stamp_ns: int, T_parent_child: Float, static: bool = False
    ) -> None:
        """Record one transform; ignores a frame that is its own parent and values that are not finite."""
        if parent == child or not child or not parent or not np.isfinite(T_parent_child).all():
            return
        with self._changed:
            self._parent[child] = parent
            if static:
                self._static[child] = T_parent_child
            else:
                times = self._times.setdefault(child, [])
                values = self._transforms.setdefault(child, [])
                if times and stamp_ns < times[-1] - self._keep_ns:
                    times.clear()
                    values.clear()
                at = bisect.bisect_left(times, stamp_ns)
                if at < len(times) and times[at] == stamp_ns:
                    values[at] = T_parent_child
                else:
                    times.insert(at, stamp_ns)
                    values.insert(at, T_parent_child)
                old = bisect.bisect_left(times, times[-1] - self._keep_ns)
                del times[:old], values[:old]
            self._changed.notify_all()

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float = 0.0) -> Float:
        """(4, 4) float64 `T_target_source` at the stamp (0: the newest). Raises TransformUnavailable."""
        with self._changed:
            found: list[Float] = []

            def ready() -> bool:
                try:
                    found.append(self._compose(target, source, stamp_ns))
                except TransformUnavailable:
                    return False
                return True

            if not self._changed.wait_for(ready, timeout):
                return self._compose(target, source, stamp_ns)
            return found[-1]

    def _chain(self, frame: str) -> list[str]:
        chain = [frame]
        while chain[-1] in self._parent:
            if (parent := self._parent[chain[-1]]) in chain:
                raise TransformUnavailable(f"the TF tree has a loop at '{parent}'")
            chain.append(parent)
        return chain

    def _compose(self, target: str, source: str, stamp_ns: int) -> Float:
        for frame in (target, source):
            if frame not in self._parent and frame not in self._parent.values() and target != source:
                raise TransformUnavailable(f"frame '{frame}' does not exist in TF")
        up_source, up_target = self._chain(source), self._chain(target)
        common = next((f for f in up_source if f in up_target), None)
        if common is None:
            raise TransformUnavailable(f"'{target}' and '{source}' are not connected in TF")
        T_common_source = self._climb(up_source[: up_source.index(common)], stamp_ns)
        T_common_target = self._climb(up_target[: up_target.index(common)], stamp_ns)
        return frames.inverse(T_common_target) @ T_common_source

    def _climb(self, chain: list[str], stamp_ns: int) -> Float:
        T = np.eye(4)
        for child in chain:
            T = self._at(child, stamp_ns) @ T
        return T

    def _at(self, child: str, stamp_ns: int) -> Float:
        if child in self._static:
            return self._static[child]
        times, values = self._times[child], self._transforms[child]
        if stamp_ns == 0:
            return values[-1]
        right = bisect.bisect_left(times, stamp_ns)
        if right < len(times) and times[right] == stamp_ns:
            return values[right]
        if right == 0 or right == len(times):
            edge = times[0] if right == 0 else times[-1]
            raise TransformUnavailable(
                f"'{self._parent[child]}' to '{child}' is known until {abs(stamp_ns - edge) / 1e6:.0f} ms"
                f" {'after' if right == 0 else 'before'} the asked time"
            )
        before, after = values[right - 1], values[right]
        share = (stamp_ns - times[right - 1]) / (times[right] - times[right - 1])
        turn = Slerp([0, 1], Rotation.from_matrix(np.stack([before[:3, :3], after[:3, :3]])))
        return frames.transform(turn(share).as_matrix(), (1 - share) * before[:3, 3] + share * after[:3, 3])
