"""ONNX to a TensorRT plan: parse, set the profiles, build. Only names that TensorRT 10.3 to 11.4 all have.

`trt` is the module to build with: `tensorrt`, or TensorRT for RTX under its own name, which has the same names and
builds on a machine without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sam3d_ros.types import Cancelled, InputError

from .spec import GraphSpec

Progress = Callable[[str, int, int], None]
"""progress(phase, done steps, all steps)."""


def build_plan(
    spec: GraphSpec,
    trt: Any,
    timing: Path | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    level: int = 3,
    workspace: int | None = None,
) -> memoryview:
    """The plan of a graph.

    timing: file with the builder's measurements, read and updated. level: how long the builder searches, 0 to 5.
    workspace: bytes of device memory that it may use, all by default. Raises InputError where the graph's files are not
    as they should be, or TensorRT refuses the graph or a profile, with TensorRT's own words; Cancelled where
    should_stop said so.
    """
    path = spec.verify()
    if spec.symbols and not spec.profiles:
        raise InputError(f"{path}: TensorRT needs a profile with the sizes of {', '.join(spec.symbols)}")
    log = _log(trt)
    builder = trt.Builder(log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise InputError(f"{path}: TensorRT cannot read it: {errors}")
    config = builder.create_builder_config()
    config.builder_optimization_level = level
    if spec.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    for number, sizes in enumerate(spec.profiles):
        profile = builder.create_optimization_profile()
        for tensor in spec.inputs:
            if any(isinstance(s, str) for s in tensor.shape):
                shapes = [[s if isinstance(s, int) else sizes[s][i] for s in tensor.shape] for i in range(3)]
                profile.set_shape(tensor.name, *shapes)
        log.errors.clear()
        if config.add_optimization_profile(profile) < 0:
            raise InputError(f"{path}: TensorRT refuses profile {number} {dict(sizes)}: {log.said()}")
    timing_cache = None
    if timing is not None:
        timing_cache = config.create_timing_cache(timing.read_bytes() if timing.is_file() else b"")
        config.set_timing_cache(timing_cache, ignore_mismatch=False)
    log.errors.clear()
    monitor = _monitor(trt, progress, should_stop)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.stopped:
        raise Cancelled(f"stopped building {spec.name}")
    if plan is None:
        raise InputError(f"{path}: TensorRT cannot build it: {log.said()}")
    if timing is not None and timing_cache is not None:
        _update(timing, memoryview(timing_cache.serialize()))
    return memoryview(plan)


def _update(timing: Path, content: memoryview) -> None:
    """Two builders at once: the last one's measurements stay, whole. What cannot be kept is measured again."""
    partial = timing.with_name(f"{timing.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(timing)
    except OSError:
        partial.unlink(missing_ok=True)


def _log(trt: Any) -> Any:
    """A logger that keeps the errors for the exception's text."""

    class Log(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message.strip())

        def said(self) -> str:
            return "; ".join(self.errors) or "no reason given"

    return Log()


def _monitor(trt: Any, progress: Progress | None, should_stop: Callable[[], bool] | None) -> Any:
    """Tells how far the builder is, and stops it. It calls from threads of its own."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress is not None:
                progress(phase_name, step + 1, self.steps.get(phase_name, 0))
            self.stopped = self.stopped or (should_stop is not None and should_stop())
            return not self.stopped

    return Monitor()
