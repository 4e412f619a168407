"""Built plans on disk: one file per key, made once whoever asks, never used when it is not exactly what was asked for.

A plan fits one graph, one TensorRT, one GPU and one set of choices. All of these are its key; the file is named after
the key's hash, and a JSON file beside it repeats the key and holds the plan's size and hash. What does not agree is not
loaded, and is built anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sam3d_ros.types import InputError

from .spec import GraphSpec, StoredFile

LIMIT = 20 << 30
"""Default size limit in bytes: three precisions of the published networks in plans, and room to build."""


@dataclass(frozen=True)
class PlanKey:
    """Everything a plan depends on. graph: hashes of the ONNX file and its data. builder: name and version of what
    builds, "tensorrt 11.4.0.106". gpu: name and compute capability, "NVIDIA Thor 11.0"; where the plan is for any GPU
    of a family, that family's name. options: choices of the builder by name."""

    name: str
    graph: str
    builder: str
    gpu: str
    precision: str
    profiles: tuple[tuple[tuple[str, int, int, int], ...], ...]
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, spec: GraphSpec, builder: str, gpu: str, options: Mapping[str, str] | None = None) -> PlanKey:
        """The key of a graph's plan."""
        hashes = hashlib.sha256("".join(f.sha256 for f in spec.files).encode()).hexdigest()
        profiles = tuple(tuple((n, *sizes) for n, sizes in sorted(p.items())) for p in spec.profiles)
        chosen = tuple(sorted((options or {}).items()))
        return cls(spec.name, hashes, builder, gpu, spec.precision, profiles, chosen)

    @property
    def digest(self) -> str:
        """The key as 24 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]

    @property
    def stem(self) -> str:
        """File name of the plan, without its ending."""
        return f"{self.name}-{self.digest}"


@dataclass(frozen=True)
class Entry:
    """A plan in the cache. problem: why it cannot be used, or ""."""

    stem: str
    bytes: int
    used: float
    about: Mapping[str, Any]
    problem: str = ""


class PlanCache:
    """A folder of plans.

    folder: default $XDG_CACHE_HOME/sam3d_ros/plans. limit: bytes; the plans used longest ago are removed for a new one,
    never the new one itself.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        self.folder = folder or base / "sam3d_ros" / "plans"
        self.limit = limit

    def load(self, key: PlanKey) -> Path:
        """The plan's file, its content checked. Raises InputError where there is none, or not the right one."""
        path, about = self.folder / f"{key.stem}.plan", self.folder / f"{key.stem}.json"
        try:
            said = json.loads(about.read_text())
            same = said["key"] == json.loads(json.dumps(asdict(key)))
            file = StoredFile(path.name, said["bytes"], said["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: no plan of this graph, TensorRT and GPU ({error})") from None
        if not same:
            raise InputError(f"{path}: a plan for another graph, TensorRT or GPU")
        file.verify(self.folder)
        os.utime(path)  # used now: pruning goes by this
        return path

    def get(
        self, key: PlanKey, build: Callable[[], bytes | memoryview], waiting: Callable[[], None] | None = None
    ) -> Path:
        """The plan's file, built where there is no good one.

        Of two processes that ask at once one builds; the other is told once (`waiting`) and then takes the same file.
        Raises InputError where the plan cannot be stored, and whatever `build` raises.
        """
        try:
            return self.load(key)
        except InputError:
            pass
        self._make_folder()
        with self._lock(key, waiting):
            try:
                return self.load(key)  # another process was faster
            except InputError:
                started = time.monotonic()
                plan = build()
                self._store(key, plan, time.monotonic() - started)
        return self.load(key)

    def entries(self) -> list[Entry]:
        """Every plan, the one used last first."""
        found = []
        for path in self.folder.glob("*.plan"):
            stat = path.stat()
            try:
                about = json.loads(path.with_suffix(".json").read_text())
                problem = "" if about["bytes"] == stat.st_size else "has not the size it was written with"
            except (OSError, ValueError, KeyError, TypeError):
                about, problem = {}, "nothing says what it is"
            found.append(Entry(path.stem, stat.st_size, stat.st_mtime, about, problem))
        return sorted(found, key=lambda e: e.used, reverse=True)

    def prune(self, limit: int | None = None, keep: str = "") -> list[Entry]:
        """Remove damaged plans and leftovers, then plans used longest ago until the limit holds; returns what went.

        limit: bytes, the cache's own by default, 0 removes everything. keep: stem of a plan that stays.
        """
        limit = self.limit if limit is None else limit
        removed, total = [], 0
        for entry in self.entries():
            if entry.stem == keep or (not entry.problem and total + entry.bytes <= limit):
                total += entry.bytes
                continue
            removed.append(entry)
            for ending in (".plan", ".json"):
                (self.folder / f"{entry.stem}{ending}").unlink(missing_ok=True)
        return removed

    def timing_file(self, builder: str, gpu: str) -> Path:
        """Where the builder's measurements are kept between builds, for one builder and GPU."""
        digest = hashlib.sha256(f"{builder}|{gpu}".encode()).hexdigest()[:24]
        return self.folder / f"timing-{digest}.cache"

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from error

    def _store(self, key: PlanKey, plan: bytes | memoryview, seconds: float) -> None:
        about = {
            "key": asdict(key),
            "bytes": len(plan),
            "sha256": hashlib.sha256(plan).hexdigest(),
            "build_seconds": round(seconds, 1),
        }
        self.prune(max(0, self.limit - len(plan)), keep=key.stem)
        self._write(f"{key.stem}.plan", plan)
        self._write(f"{key.stem}.json", json.dumps(about, indent=1).encode())

    def _write(self, name: str, content: bytes | memoryview) -> None:
        """A file that is there whole or not at all."""
        partial = self.folder / f"{name}.{os.getpid()}.part"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise InputError(f"{self.folder / name}: cannot be written ({error.strerror})") from error
            free = shutil.disk_usage(self.folder).free
            raise InputError(
                f"{self.folder}: no space for a plan of {len(content) / 1e6:.0f} MB, {free / 1e6:.0f} MB are free; "
                "`sam3d engines prune` removes plans that are not used"
            ) from error

    @contextmanager
    def _lock(self, key: PlanKey, waiting: Callable[[], None] | None) -> Iterator[None]:
        """One builder per plan, over processes; the system frees it when a process dies."""
        with (self.folder / f"{key.stem}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
