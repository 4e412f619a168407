"""What test workers do; in a module of its own, because a fresh process must be able to import it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def double(task: str) -> str:
    """The work itself."""
    return task * 2


def fragile(folder: str, task: str) -> str:
    """Dies, hangs or fails as the task's name asks; `once` tasks only the first time."""
    attempts = Path(folder) / f"{task}.attempts"
    with attempts.open("a") as file:
        file.write(".")
    first = len(attempts.read_text()) == 1
    if task.startswith("die") and (first or "once" not in task):
        os._exit(11)
    if task.startswith("hang") and (first or "once" not in task):
        time.sleep(600)
    if task.startswith("fail"):
        raise ValueError("as asked")
    return task


def process(task: str) -> tuple[int, str | None]:
    """Who does it, and with how many threads."""
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")
