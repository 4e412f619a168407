"""One thread that does the heavy work, so that the executor's thread never waits.

Two doors: `offer` for the stream of frames, where the newest wins and the one it replaces is dropped, and `submit` for
goals, which wait in a short queue and are never dropped. Both can be cancelled between two stages.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Job:
    """Something to do. `run(job)` is called on the worker's thread; it looks at `should_stop` between its stages."""

    run: Callable[[Job], None]
    deadline: float | None = None  # time.monotonic()
    cancelled: threading.Event = field(default_factory=threading.Event)

    def timed_out(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def should_stop(self) -> bool:
        return self.cancelled.is_set() or self.timed_out()


class Worker:
    """Runs jobs one after the other; goals before frames. `on_error` gets what a job did not catch itself."""

    def __init__(self, on_error: Callable[[BaseException], None], max_goals: int = 4) -> None:
        self._on_error = on_error
        self._max_goals = max_goals
        self._condition = threading.Condition()
        self._goals: deque[Job] = deque()
        self._frame: Job | None = None
        self._running: Job | None = None
        self._stopping = False
        self.replaced = 0
        self._thread = threading.Thread(target=self._loop, name="sam3d-worker", daemon=True)
        self._thread.start()

    def offer(self, job: Job) -> None:
        """A frame of the stream: replaces the one that waits."""
        with self._condition:
            self.replaced += self._frame is not None
            self._frame = job
            self._condition.notify()

    def submit(self, job: Job) -> bool:
        """A goal: queued, or False where the queue is full or the worker stops."""
        with self._condition:
            if self._stopping or len(self._goals) >= self._max_goals:
                return False
            self._goals.append(job)
            self._condition.notify()
            return True

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        with self._condition:
            return len(self._goals) + (self._frame is not None)

    def stop(self, timeout: float = 10.0) -> bool:
        """Cancel what runs and what waits, and join; False where the running stage did not end in time.

        Goals that wait are still run, with their `cancelled` set, so that whoever waits for them gets an answer.
        """
        with self._condition:
            self._stopping = True
            self._frame = None
            for job in [*self._goals, *([self._running] if self._running else [])]:
                job.cancelled.set()
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while True:
            with self._condition:
                while not (self._goals or self._frame or self._stopping):
                    self._condition.wait()
                if self._goals:
                    job = self._goals.popleft()
                elif self._frame and not self._stopping:
                    job, self._frame = self._frame, None
                else:
                    return
                self._running = job
            try:
                job.run(job)
            except BaseException as error:
                self._on_error(error)
            finally:
                with self._condition:
                    self._running = None
