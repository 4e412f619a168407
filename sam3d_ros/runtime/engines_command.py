"""`sam3d engines`: graphs and plans on this machine.

sam3d engines export --weights converted --precision bf16 --opset 23   # published networks to a bundle of ONNX graphs
sam3d engines build NAME     # TensorRT plans of a bundle, into the cache
sam3d engines check NAME     # every graph loads and gives finite numbers
sam3d engines bench NAME     # milliseconds of every graph
sam3d engines list           # the plans in the cache
sam3d engines prune          # remove plans
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console

from sam3d_ros.types import Cancelled, InputError

from .backend import Backend, Value
from .bundle import About, Bundle
from .cache import PlanCache
from .find import find_bundle, user_folder
from .select import make_backend
from .spec import GraphSpec

Name = Annotated[str, tyro.conf.Positional]
LICENCE = (
    "Exported from checkpoints that the user downloaded; they are under Meta's SAM License, which sam3d_ros "
    "neither ships nor sublicenses."
)


def export(
    weights: Path | None = None,
    out: Path | None = None,
    precision: Literal["fp32", "bf16", "fp16"] = "bf16",
    opset: Literal[20, 23] = 20,
    guidance: bool = False,
    graphs: tuple[str, ...] = (),
) -> int:
    """Write the published networks as a bundle of ONNX graphs.

    Args:
        weights: folder written by `sam3d convert`; without it the weights are random, to measure time and memory.
        out: folder of the bundle; by default in the user's folder, where `sam3d models` finds it.
        precision: of weights and arithmetic.
        opset: 20 for every runtime, 23 for TensorRT 11 and RTX with fused attention (bf16, fp16).
        guidance: also the unconditional passes, for sampling with guidance.
        graphs: only these.
    """
    import torch

    from sam3d_ros.model import published
    from sam3d_ros.model.convert import DTYPES, load

    from .export import export_bundle
    from .networks import GUIDANCE, Sizes, graph_plans

    if opset == 23 and precision == "fp32":
        raise InputError("TensorRT has no fp32 kernel for attention as one operator: opset 20 for fp32")
    plans = graph_plans(Sizes(), precision)
    if unknown := [g for g in graphs if g not in plans]:
        raise InputError(f"no graph {', '.join(unknown)}; there are {', '.join(plans)}")
    chosen = [p for n, p in plans.items() if (n in graphs if graphs else guidance or n not in GUIDANCE)]

    def network(name: str) -> torch.nn.Module:
        if weights is not None:
            return load(weights, name).to(DTYPES[precision])
        torch.manual_seed(0)
        return published.NETWORKS[name].build().to(DTYPES[precision]).eval()

    kind = "published" if weights else "random"
    name = f"{kind}-{precision}-opset{opset}"
    about = About(
        name=name,
        version="1",
        description=f"SAM 3D at the published size, {'random weights' if weights is None else 'published weights'}",
        licence=LICENCE if weights else "no weights of anybody: random numbers",
        training={"converted_from": str(weights.name)} if weights else {"weights": "random"},
        settings={"precision": precision, "opset": opset},
    )
    folder = out or user_folder() / name

    def progress(graph: str, done: int, total: int) -> None:
        print(f"{done + 1}/{total} {graph}", flush=True)

    bundle = export_bundle(folder, about, network, chosen, opset, progress)
    print(f"wrote {bundle.folder} ({bundle.bytes / 1e9:.2f} GB)")
    return 0


def build(name: Name, level: int = 3) -> int:
    """Build the TensorRT plans of a bundle into the cache; needs the GPU that will run them. Ctrl-C stops.

    Args:
        name: of a bundle, or a path to its folder.
        level: how long TensorRT searches, 0 to 5.
    """
    from rich.progress import Progress

    from .tensorrt_backend import TensorRtBackend

    bundle = find_bundle(name)
    with Progress() as bars:
        task = bars.add_task("", total=1)

        def progress(phase: str, done: int, total: int) -> None:
            bars.update(task, description=phase, completed=done, total=total)

        def waiting() -> None:
            bars.print("another process is building this plan; waiting for it")

        backend = TensorRtBackend(progress=progress, waiting=waiting, level=level)
        for graph in bundle.graphs.values():
            started = time.monotonic()
            path = backend.plan(graph)
            size = path.stat().st_size / 1e6
            bars.print(f"{graph.name}: {size:.0f} MB, {time.monotonic() - started:.0f} s, {path}")
    return 0


def check(name: Name, backend: str = "auto", threads: int = 0) -> int:
    """Load every graph of a bundle and run it once on random numbers: all outputs must be finite.

    Args:
        name: of a bundle, or a path to its folder.
        backend: auto, tensorrt, onnxruntime-cuda or onnxruntime.
        threads: of ONNX Runtime on the CPU, 0 for one per core.
    """

    def one(runner: Backend, graph: GraphSpec) -> str:
        outputs = runner.load(graph)(example(graph, runner), keep=_halves(graph))
        odd = [n for n, v in outputs.items() if isinstance(v, np.ndarray) and not np.isfinite(v).all()]
        if odd:
            raise InputError(f"{graph.name}: not finite: {', '.join(odd)}")
        return "ok"

    return _each(find_bundle(name), backend, threads, one)


def bench(name: Name, backend: str = "auto", threads: int = 0, repeat: int = 10) -> int:
    """Milliseconds of every graph of a bundle at the usual sizes of its first profile, transfers included.

    Args:
        name: of a bundle, or a path to its folder.
        backend: auto, tensorrt, onnxruntime-cuda or onnxruntime.
        threads: of ONNX Runtime on the CPU, 0 for one per core.
        repeat: runs of every graph, after one that does not count.
    """

    def one(runner: Backend, graph: GraphSpec) -> str:
        started = time.perf_counter()
        engine = runner.load(graph)
        loaded = time.perf_counter() - started
        inputs, keep, seconds = example(graph, runner), _halves(graph), []
        for _ in range(repeat + 1):
            started = time.perf_counter()
            engine(inputs, keep)
            seconds.append(time.perf_counter() - started)
        best, middle = min(seconds[1:]), float(np.median(seconds[1:]))
        return f"median {1e3 * middle:.2f} ms, least {1e3 * best:.2f} ms, load {loaded:.1f} s"

    return _each(find_bundle(name), backend, threads, one)


def plans() -> int:
    """List the plans in the cache."""
    cache, console = PlanCache(), Console()
    found = cache.entries()
    for entry in found:
        key: Mapping[str, Any] = entry.about.get("key", {})
        what = entry.problem or f"{key.get('builder')} on {key.get('gpu')}, {key.get('precision')}"
        console.print(f"{entry.stem}  {entry.bytes / 1e6:8.1f} MB  {what}", highlight=False, soft_wrap=True)
    total = sum(e.bytes for e in found) / 1e9
    room = f"{total:.2f} of {cache.limit / 1e9:.0f} GB in {cache.folder}"
    console.print(f"{len(found)} plans, {room}", highlight=False, soft_wrap=True)
    return 0


def prune(limit_gb: float | None = None, all: bool = False) -> int:
    """Remove damaged plans, and those used longest ago above the limit.

    Args:
        limit_gb: keep at most so much; the cache's own limit by default.
        all: remove every plan.
    """
    limit = 0 if all else None if limit_gb is None else int(limit_gb * 1e9)
    removed = PlanCache().prune(limit)
    print(f"removed {len(removed)} plans, {sum(e.bytes for e in removed) / 1e9:.2f} GB")
    return 0


def example(graph: GraphSpec, backend: Backend) -> dict[str, Value]:
    """Random inputs at the usual sizes of the first profile. Index tables point to the first row; what numpy cannot
    hold (bf16, made by other graphs) is zero."""
    rng = np.random.default_rng(0)
    sizes = {name: usual for name, (_, usual, _) in (graph.profiles[0].items() if graph.profiles else ())}
    made: dict[str, Value] = {}
    for tensor in graph.inputs:
        shape = tuple(s if isinstance(s, int) else sizes.get(s, 2) for s in tensor.shape)
        if tensor.dtype in ("float32", "float16"):
            made[tensor.name] = rng.normal(size=shape).astype(tensor.dtype)
        else:
            made[tensor.name] = backend.zeros(shape, tensor.dtype)
    return made


def _halves(graph: GraphSpec) -> tuple[str, ...]:
    """Outputs that numpy cannot hold."""
    return tuple(t.name for t in graph.outputs if t.dtype == "bfloat16")


def _each(bundle: Bundle, backend: str, threads: int, one: Callable[[Backend, GraphSpec], str]) -> int:
    """Run something for every graph and print what it says; 1 where one failed."""
    runner = make_backend(bundle, backend, threads)
    print(f"{bundle.about.name} with {runner.name} on {runner.device}")
    code = 0
    for graph in bundle.graphs.values():
        try:
            said = one(runner, graph)
        except (InputError, RuntimeError) as error:
            said, code = f"FAILED: {error}", 1
        print(f"  {graph.name:24s} {said}", flush=True)
    return code


def run(arguments: list[str]) -> int:
    """`sam3d engines ...`; returns the exit code: 0 done, 1 a graph failed, 2 it cannot be done, 130 stopped."""
    commands: dict[str, Callable[..., int]] = {
        "export": export,
        "build": build,
        "check": check,
        "bench": bench,
        "list": plans,
        "prune": prune,
    }
    try:
        code: int | None = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="sam3d engines",
            description="Graphs and TensorRT plans on this machine.",
            args=arguments or ["--help"],
        )
    except (InputError, ModuleNotFoundError) as error:
        print(f"sam3d engines: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Cancelled):
        print("sam3d engines: stopped", file=sys.stderr)
        return 130
    return int(code or 0)
