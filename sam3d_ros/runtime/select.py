"""Which backend runs a bundle here, and why: `auto` takes the fastest that works and says what kept it from a faster.

A probe of TensorRT runs in a process of its own, since a broken installation may crash instead of raising.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from sam3d_ros.types import InputError

from .backend import Backend
from .bundle import Bundle
from .gpu import find_gpu

Choice: TypeAlias = Literal["auto", "tensorrt", "onnxruntime-cuda", "onnxruntime"]
CHOICES: tuple[str, ...] = get_args(Choice)
PROBE_SECONDS = 60
PROBE = """
import tensorrt
runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
print(tensorrt.__version__ if runtime is not None else "")
"""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Option:
    """A backend on this machine. text: its version and device where it is usable, else what is missing."""

    name: str
    usable: bool
    text: str


@cache
def options() -> tuple[Option, ...]:
    """Every backend, the fastest first. Asked once per process; loads nothing heavy into it."""
    return (_tensorrt(), *_onnxruntime())


def _tensorrt() -> Option:
    gpu = find_gpu()
    if isinstance(gpu, str):
        return Option("tensorrt", False, gpu)
    for module in ("tensorrt", "cuda.bindings"):
        if not _installed(module):
            return Option("tensorrt", False, f"no module {module} (docs/engines.md)")
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Option("tensorrt", False, f"its runtime did not start within {PROBE_SECONDS} s")
    version = done.stdout.strip()
    if done.returncode or not version:
        lines = done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"]
        return Option("tensorrt", False, f"its runtime does not start: {lines[-1]}")
    return Option("tensorrt", True, f"{version} on {gpu}")


def _onnxruntime() -> tuple[Option, Option]:
    if not _installed("onnxruntime"):
        missing = "no module onnxruntime"
        return Option("onnxruntime-cuda", False, missing), Option("onnxruntime", False, missing)
    import onnxruntime

    gpu = find_gpu()
    if isinstance(gpu, str):
        cuda = Option("onnxruntime-cuda", False, gpu)
    elif "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        cuda = Option("onnxruntime-cuda", True, f"{onnxruntime.__version__} on {gpu}")
    else:
        cuda = Option("onnxruntime-cuda", False, "the installed onnxruntime is the one for CPUs")
    return cuda, Option("onnxruntime", True, f"{onnxruntime.__version__} on the CPU")


def choose(bundle: Bundle, choice: str = "auto") -> Option:
    """The backend for a bundle. Raises InputError where the one asked for, or any, cannot run it."""
    return able(bundle, choice)[0]


def able(bundle: Bundle, choice: str = "auto") -> list[Option]:
    """The backends that can run a bundle, the fastest first: where one of them fails at loading it, the next may not.
    Raises InputError as `choose` does."""
    if choice not in CHOICES:
        raise InputError(f"backend {choice!r} is not one of {', '.join(CHOICES)}")
    asked = [option for option in options() if choice in ("auto", option.name)]
    found = [option for option in asked if not _obstacle(option, bundle)]
    if not found:
        reasons = "; ".join(f"{option.name}: {_obstacle(option, bundle)}" for option in asked)
        raise InputError(f"{bundle.about.name} cannot run here: {reasons}")
    return found


def _obstacle(option: Option, bundle: Bundle) -> str:
    """What keeps a backend from running this bundle, or ""."""
    return _cannot_run(option, bundle) if option.usable else option.text


def _cannot_run(option: Option, bundle: Bundle) -> str:
    """Why a usable backend cannot run this bundle, or ""."""
    if option.name == "onnxruntime" and (
        half := [g.name for g in bundle.graphs.values() if g.precision == "bf16"]
    ):
        return f"{', '.join(half)} in bf16, which it does not have on CPUs"
    if option.name == "tensorrt" and (
        bare := [g.name for g in bundle.graphs.values() if g.symbols and not g.profiles]
    ):
        return f"{', '.join(bare)} without the profiles it needs"
    return ""


def make_backend(bundle: Bundle, choice: str = "auto", threads: int = 0) -> Backend:
    """The backend for a bundle, and a line in the log with the reason.

    threads: of ONNX Runtime on the CPU, 0 for one per core. Raises InputError as `choose` does.
    """
    option = choose(bundle, choice)
    log.info("%s runs with %s", bundle.about.name, reason(option, bundle, choice))
    return start(option, threads)


def reason(
    option: Option, bundle: Bundle, choice: str = "auto", failed: Mapping[str, str] = MappingProxyType({})
) -> str:
    """In words what was chosen, and after "auto" what kept the bundle from the faster ones. failed: by name, how those
    failed that could not load it."""
    faster = [
        f"{o.name}: {failed.get(o.name) or _obstacle(o, bundle)}"
        for o in options()[: options().index(option)]
    ]
    why = f" ({'; '.join(faster)})" if faster and choice == "auto" else ""
    return f"{option.name}, {option.text}{why}"


def start(option: Option, threads: int = 0) -> Backend:
    """The backend itself; threads as in `make_backend`."""
    if option.name == "tensorrt":
        from .tensorrt_backend import TensorRtBackend

        return TensorRtBackend()
    from .onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(threads, "cuda" if option.name == "onnxruntime-cuda" else "cpu")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
