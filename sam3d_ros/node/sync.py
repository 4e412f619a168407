"""Bring messages of several topics together by their stamps. No ROS types: stamps are integer nanoseconds.

`message_filters` is missing on some installations, holds on to stale messages and keeps no statistics; what users ask
most is "why is nothing published". So: a set is complete when every input has a message and all stamps lie within
`slop`. It is handed out at once when the stamps are equal. Otherwise it waits until every input has something at least
as new as the set's reference (a better partner may still be under way), or until nothing came for `patience`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class InputStats:
    """What came in on one input, for the diagnostics. Times in nanoseconds; None: never."""

    received: int = 0
    used: int = 0
    dropped: int = 0
    last_stamp_ns: int | None = None
    last_arrival_ns: int | None = None


@dataclass
class SyncStats:
    """Counters since the last reset() by the owner; skew is the spread of the stamps within a set."""

    inputs: dict[str, InputStats] = field(default_factory=dict)
    sets: int = 0
    clock_jumps: int = 0
    last_skew_ns: int = 0
    max_skew_ns: int = 0

    def gap_ns(self) -> tuple[str, str, int] | None:
        """The inputs with the newest and the oldest last stamp, and their distance; None while one is silent."""
        stamps = {n: s.last_stamp_ns for n, s in self.inputs.items() if s.last_stamp_ns is not None}
        if len(stamps) < len(self.inputs):
            return None
        newest, oldest = max(stamps, key=lambda n: stamps[n]), min(stamps, key=lambda n: stamps[n])
        return newest, oldest, stamps[newest] - stamps[oldest]


class ApproximateSync(Generic[T]):
    """Synchronise the named inputs. Not thread-safe: all calls come from one executor thread.

    slop_ns: largest spread of stamps in a set. queue_size: messages kept per input. jump_ns: a stamp that lies this far
    before the newest one of its input means that the clock was set back (a bag that loops, a restarted simulation), and
    everything is forgotten. patience_ns: how long an unequal set waits for better partners.
    """

    def __init__(
        self,
        names: Sequence[str],
        slop_ns: int,
        queue_size: int = 10,
        jump_ns: int = 1_000_000_000,
        patience_ns: int = 100_000_000,
    ) -> None:
        if not names or queue_size < 1 or slop_ns < 0:
            raise ValueError("a synchroniser needs inputs, a queue and a slop that is not negative")
        self.names = tuple(names)
        self.slop_ns = slop_ns
        self.queue_size = queue_size
        self.jump_ns = jump_ns
        self.patience_ns = patience_ns
        self.stats = SyncStats({name: InputStats() for name in self.names})
        self._queues: dict[str, deque[tuple[int, T]]] = {name: deque() for name in self.names}
        self._last_arrival_ns = 0

    def add(self, name: str, stamp_ns: int, message: T, now_ns: int) -> dict[str, T] | None:
        """A message arrived at `now_ns` (monotonic); returns a complete set or None."""
        stats = self.stats.inputs[name]
        if stats.last_stamp_ns is not None and stamp_ns < stats.last_stamp_ns - self.jump_ns:
            self._forget()
            self.stats.clock_jumps += 1
        stats.received += 1
        stats.last_stamp_ns = stamp_ns
        stats.last_arrival_ns = self._last_arrival_ns = now_ns
        queue = self._queues[name]
        # Late by network reordering: keep the queue sorted, newest right.
        position = len(queue)
        while position and queue[position - 1][0] > stamp_ns:
            position -= 1
        queue.insert(position, (stamp_ns, message))
        if len(queue) > self.queue_size:
            queue.popleft()
            stats.dropped += 1
        return self._take(patient=True)

    def poll(self, now_ns: int) -> dict[str, T] | None:
        """Call now and then: hands out a set that waits for better partners which do not come."""
        if now_ns - self._last_arrival_ns < self.patience_ns:
            return None
        return self._take(patient=False)

    def _forget(self) -> None:
        for name, queue in self._queues.items():
            self.stats.inputs[name].dropped += len(queue)
            self.stats.inputs[name].last_stamp_ns = None
            queue.clear()

    def _take(self, patient: bool) -> dict[str, T] | None:
        if not all(self._queues.values()):
            return None
        reference = self._queues[self.names[0]]
        # Newest first: a robot wants the latest complete set, older ones are dropped with it.
        for stamp, _ in reversed(reference):
            picks = {
                name: min(range(len(queue)), key=lambda i: abs(queue[i][0] - stamp))
                for name, queue in self._queues.items()
            }
            stamps = [self._queues[name][i][0] for name, i in picks.items()]
            skew = max(stamps) - min(stamps)
            if skew > self.slop_ns:
                continue
            if skew > 0 and patient and any(queue[-1][0] < stamp for queue in self._queues.values()):
                continue
            return self._hand_out(picks, skew)
        return None

    def _hand_out(self, picks: dict[str, int], skew: int) -> dict[str, T]:
        chosen: dict[str, T] = {}
        for name, index in picks.items():
            queue = self._queues[name]
            chosen[name] = queue[index][1]
            self.stats.inputs[name].used += 1
            self.stats.inputs[name].dropped += index
            for _ in range(index + 1):
                queue.popleft()
        self.stats.sets += 1
        self.stats.last_skew_ns = skew
        self.stats.max_skew_ns = max(self.stats.max_skew_ns, skew)
        return chosen
