"""Work spread over processes that may die: a ray tracer or a mesh library that crashes takes one task with
it, not the run."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any

ATTEMPTS = 2
RECYCLE = 200
"""Tasks after which a worker is replaced: what native libraries leak or break stays bounded."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What became of a task: `value`, or the `error` that is left after all attempts."""

    task: str
    value: Any = None
    error: str = ""


class _Worker:
    """A process and the task it is at."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, other), daemon=True)
        kept = {name: os.environ.get(name) for name in ONE_THREAD}
        # Each worker is one thread of the whole; the libraries read this when they are loaded.
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
        try:
            self.process.start()
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        other.close()
        self.task: str | None = None
        self.since = 0.0
        self.done = 0

    def give(self, task: str) -> None:
        self.task, self.since = task, monotonic()
        with suppress(OSError):  # it died while idle: found out when its end is read
            self.pipe.send(task)

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_tasks(
    tasks: Sequence[str], function: Callable[[str], Any], workers: int, timeout_s: float = 600.0
) -> Iterator[Outcome]:
    """One Outcome per task, in the order they end. `function` must be importable by a fresh process.

    An exception is an error at once; a death of the process or `timeout_s` without an answer is tried again
    in a new process, ATTEMPTS times in all. Closing the iterator stops the workers.
    """
    waiting = deque((task, 1) for task in tasks)
    attempt: dict[str, int] = {}
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.task is not None for worker in crew):
            while waiting and (free := _free(crew, workers, function)) is not None:
                task, count = waiting.popleft()
                attempt[task] = count
                free.give(task)
            busy = [worker for worker in crew if worker.task is not None]
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                assert worker.task is not None
                if worker.pipe in ready:
                    outcome = _read(worker)
                elif monotonic() - worker.since > timeout_s:
                    outcome = Outcome(worker.task, error=f"no answer within {timeout_s:g} s")
                    worker.process.kill()
                else:
                    continue
                worker.task = None
                worker.done += 1
                lost = outcome.error and not worker.process.is_alive()
                if lost or outcome.error.startswith("no answer"):
                    crew.remove(worker)
                    worker.stop()
                    if attempt[outcome.task] < ATTEMPTS:
                        waiting.append((outcome.task, attempt[outcome.task] + 1))
                        continue
                elif worker.done >= RECYCLE:
                    crew.remove(worker)
                    worker.stop()
                yield outcome
    finally:
        for worker in crew:
            worker.stop()


def _free(crew: list[_Worker], most: int, function: Callable[[str], Any]) -> _Worker | None:
    """An idle worker, or a new one while there are fewer than `most`."""
    for worker in crew:
        if worker.task is None:
            return worker
    if len(crew) >= most:
        return None
    crew.append(_Worker(function))
    return crew[-1]


def _read(worker: _Worker) -> Outcome:
    assert worker.task is not None
    try:
        value, error = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        return Outcome(worker.task, error=f"the worker died (exit code {worker.process.exitcode})")
    return Outcome(worker.task, value, error)


def _serve(function: Callable[[str], Any], pipe: Connection) -> None:
    """The life of a worker: a task in, its value or error out, until the other end is closed."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task = pipe.recv()
            try:
                answer = (function(task), "")
            except Exception as error:
                answer = (None, f"{type(error).__name__}: {error}")
            pipe.send(answer)
