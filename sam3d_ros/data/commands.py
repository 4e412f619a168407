"""`sam3d data`: objects and training sets from the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sam3d_ros.types import InputError

if TYPE_CHECKING:
    from sam3d_ros.data.sets.pool import Pool
    from sam3d_ros.data.sets.sample import SampleSet

SourceName = Literal["random-urdfs", "sweethome3d", "object-sim", "ycb-sim", "folder"]
SetName = Literal["iso-3do", "flying-occlusions", "object-swap", "tabletop"]


def prepare(
    source: tyro.conf.Positional[SourceName],
    out: Path = Path("objects"),
    folder: Path | None = None,
    unit_m: float = 1.0,
    y_up: bool = False,
    rescale: bool = False,
    licence: str = "unknown",
    limit: int | None = None,
    workers: int = max(1, (os.cpu_count() or 2) - 1),
) -> int:
    """Fetch a source of objects, make every object a closed, coloured solid in metres, and pack them into one file.

    Goes on where an earlier run was stopped. Procedural objects need no preparation.

    Args:
        source: random-urdfs (pybullet's, with pip), sweethome3d (Debian's furniture, with apt-get), object-sim
            (MyoSuite's household objects) and ycb-sim (RoboHive's scans of real things), with pip, for evaluation
            only, or folder.
        out: folder for <source>.safetensors and its checksum.
        folder: for the source "folder": where the GLB, OBJ, PLY, STL and OFF files are.
        unit_m: for "folder": what 1 in a file means in metres (glTF is always in metres).
        y_up: for "folder": files have y up (glTF always has).
        rescale: for "folder": give every object a size from 2 to 50 cm, for files without a real unit.
        licence: for "folder": what to record as the licence.
        limit: only the first so many objects.
        workers: processes at work.
    """
    from sam3d_ros.data.sources import downloads
    from sam3d_ros.data.sources.mesh_folder import MeshFolder
    from sam3d_ros.data.sources.object_sim import object_sim
    from sam3d_ros.data.sources.prepare import prepare as prepare_source
    from sam3d_ros.data.sources.random_urdfs import random_urdfs
    from sam3d_ros.data.sources.source import ObjectSource
    from sam3d_ros.data.sources.sweethome import SweetHome
    from sam3d_ros.data.sources.ycb_sim import ycb_sim

    cache = downloads.cache_folder()
    chosen: ObjectSource
    try:
        if source == "random-urdfs":
            chosen = random_urdfs(downloads.wheel(downloads.PYBULLET, cache))
        elif source == "object-sim":
            chosen = object_sim(downloads.wheel(downloads.MYOSUITE, cache))
        elif source == "ycb-sim":
            chosen = ycb_sim(downloads.wheel(downloads.ROBOHIVE, cache))
        elif source == "sweethome3d":
            chosen = SweetHome(downloads.furniture_folder(cache))
        elif folder is None:
            raise InputError("the source 'folder' needs --folder")
        else:
            name = folder.resolve().name
            chosen = MeshFolder(folder, name, unit_m, not y_up, rescale=rescale, licence=licence)
        path = out / f"{chosen.name}.safetensors"
        with _progress(chosen.name) as show:
            pack = prepare_source(chosen, path, workers, limit, show)
    except InputError as error:
        print(f"sam3d data prepare: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here")
        return 130
    print(f"{path}: {len(pack)} objects, {path.stat().st_size / 1e6:.1f} MB, {len(pack.rejected)} left out")
    for name, reason in pack.rejected.items():
        print(f"  {name}: {reason}")
    return 0


def shards(
    name: tyro.conf.Positional[SetName],
    out: Path,
    count: int = 10_000,
    seed: int = 0,
    packs: tuple[Path, ...] = (),
    procedural: int = 10_000,
    backgrounds: Path | None = None,
    per_shard: int = 1000,
    worker: int = 0,
    workers: int = 1,
) -> int:
    """Write training views as webdataset shards, of objects that evaluation does not use. Shards that exist are kept,
    so a stopped run goes on.

    Args:
        name: which set: iso-3do, flying-occlusions, object-swap or tabletop.
        out: folder for the shards.
        count: views in all.
        seed: of everything that is drawn.
        packs: objects from `sam3d data prepare`.
        procedural: how many procedural objects beside them.
        backgrounds: folder of photographs for flying-occlusions; those of scikit-image without it.
        per_shard: views per file.
        worker: number of this worker, from 0.
        workers: how many workers share the shards, on one machine or many.
    """
    from sam3d_ros.data.held_out import training_objects, training_part
    from sam3d_ros.data.sets.pool import Pool
    from sam3d_ros.data.sets.shards import write_shards
    from sam3d_ros.data.sources.pack import Packed
    from sam3d_ros.data.sources.source import ObjectSource

    try:
        sources: list[ObjectSource] = [training_part(Packed(path)) for path in packs]
        if procedural:
            sources.append(training_objects(seed, procedural))
        samples = make_set(name, Pool(sources, seed), seed, backgrounds)
        with _progress(samples.name) as show:
            paths = write_shards(samples, out, count, per_shard, worker, workers, show)
    except InputError as error:
        print(f"sam3d data shards: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here")
        return 130
    print(f"{out}: {len(paths)} shards, {sum(p.stat().st_size for p in paths) / 1e6:.1f} MB")
    return 0


def make_set(name: SetName, pool: Pool, seed: int = 0, backgrounds: Path | None = None) -> SampleSet:
    """A training set by its name."""
    from sam3d_ros.data.sets.backgrounds import Backgrounds
    from sam3d_ros.data.sets.iso import IsoSet
    from sam3d_ros.data.sets.occlusion import FlyingOcclusions
    from sam3d_ros.data.sets.swap import ObjectSwap
    from sam3d_ros.data.sets.tabletop import TabletopSet

    if name == "iso-3do":
        return IsoSet(pool, seed)
    if name == "flying-occlusions":
        return FlyingOcclusions(pool, seed, Backgrounds(backgrounds))
    tables = TabletopSet(pool, seed)
    return tables if name == "tabletop" else ObjectSwap(tables, seed)


class _progress:
    """A bar as a callback (done, total)."""

    def __init__(self, title: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns)
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> _progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


def run(argv: list[str]) -> int:
    """`sam3d data ARGV`; returns the exit code."""
    commands: dict[str, Callable[..., Any]] = {"prepare": prepare, "shards": shards}
    code = tyro.extras.subcommand_cli_from_dict(
        commands, prog="sam3d data", description="Objects and training sets.", args=argv or ["--help"]
    )
    return int(code or 0)
