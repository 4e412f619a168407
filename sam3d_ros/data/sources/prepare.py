"""Clean every object of a source once and pack them into one file.

    pack = prepare(SweetHome(folder), Path("objects/sweethome3d.safetensors"))

Geometry libraries can take the whole process down with a broken mesh. So the work is done by short-lived processes
that leave one small file per object: after a crash, a hang or Ctrl-C all that was done is kept, the next run goes on
from there, and an object that fells its process twice is left out with that as the reason.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from sam3d_ros.data.sources.pack import Packed, encode, write_pack
from sam3d_ros.data.sources.source import ObjectSource, Unusable
from sam3d_ros.mesh.export import write_atomic
from sam3d_ros.types import InputError

CHUNK = 40
"""Objects per process: starting one costs about a second."""
PATIENCE_S = 120.0
"""Longest time for one object."""
TRIES = 2


@dataclass
class _Job:
    """A process, the objects it has to do, and when it last finished one."""

    process: BaseProcess
    todo: list[int]
    seen: float = field(default_factory=time.monotonic)


def prepare(
    source: ObjectSource,
    out: Path,
    workers: int = 1,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> Packed:
    """Write `out` (a .safetensors file) with all usable objects of the source, or of its first `limit`.

    A finished file of the same objects is left as it is. Unfinished work is kept in `<out>.parts`. progress(done,
    total) is called as objects are done. Raises InputError where nothing usable is left.
    """
    total = len(source) if limit is None else min(limit, len(source))
    names = list(source.names[:total])
    if out.is_file() and set(names) == {*Packed(out).names, *Packed(out).rejected}:
        return Packed(out)
    parts = out.with_name(f"{out.name}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    _work(source, parts, total, workers, progress or (lambda done, total: None), patience_s)
    rejected = {names[i]: _why(parts, i).read_text() for i in range(total) if _why(parts, i).is_file()}
    good = [Packed(_part(parts, i)).load(0) for i in range(total) if _part(parts, i).is_file()]
    if not good:
        raise InputError(f"none of the {total} objects of {source.name} is usable: {rejected}")
    write_pack(out, good, rejected)
    shutil.rmtree(parts)
    return Packed(out)


def _part(parts: Path, index: int) -> Path:
    return parts / f"{index:06d}.safetensors"


def _why(parts: Path, index: int) -> Path:
    return parts / f"{index:06d}.rejected"


def _is_done(parts: Path, index: int) -> bool:
    return _part(parts, index).is_file() or _why(parts, index).is_file()


def _work(
    source: ObjectSource,
    parts: Path,
    total: int,
    workers: int,
    progress: Callable[[int, int], None],
    patience_s: float,
) -> None:
    """Until every object has a result."""
    spawn = multiprocessing.get_context("spawn")
    todo = [i for i in range(total) if not _is_done(parts, i)]
    queue = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
    tries: dict[int, int] = {}
    running: list[_Job] = []
    try:
        while queue or running:
            while queue and len(running) < workers:
                chunk = queue.pop(0)
                process = spawn.Process(target=_process, args=(source, parts, chunk), daemon=True)
                process.start()
                running.append(_Job(process, chunk))
            time.sleep(0.05)
            for job in list(running):
                left = [i for i in job.todo if not _is_done(parts, i)]
                if len(left) < len(job.todo):
                    job.todo, job.seen = left, time.monotonic()
                hung = time.monotonic() - job.seen > patience_s
                if job.process.is_alive() and not hung:
                    continue
                if hung:
                    job.process.kill()
                job.process.join()
                running.remove(job)
                left = [i for i in job.todo if not _is_done(parts, i)]
                if left:
                    _blame(parts, left[0], tries, f"took more than {patience_s:.0f} s" if hung
                           else f"ended its process with code {job.process.exitcode}")  # fmt: skip
                    queue.insert(0, [i for i in left if not _is_done(parts, i)])
                    queue = [chunk for chunk in queue if chunk]
            progress(sum(_is_done(parts, i) for i in range(total)), total)
    finally:
        for job in running:
            job.process.kill()
            job.process.join()


def _blame(parts: Path, index: int, tries: dict[int, int], reason: str) -> None:
    """The first object without a result is the one the process was at."""
    tries[index] = tries.get(index, 0) + 1
    if tries[index] >= TRIES:
        write_atomic(_why(parts, index), f"{reason}, {TRIES} times".encode())


def _process(source: ObjectSource, parts: Path, indices: Sequence[int]) -> None:
    """What a worker does: objects in order, each result a file that is whole or not there."""
    for index in indices:
        try:
            data = encode([source.load(index)])
        except Unusable as error:
            write_atomic(_why(parts, index), str(error).encode())
        else:
            write_atomic(_part(parts, index), data)
