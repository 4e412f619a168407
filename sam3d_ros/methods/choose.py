"""Which method runs on this machine, and why: decided once, where a model's bundle is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

from sam3d_ros.compact.model import CompactModel, Sampling
from sam3d_ros.methods.settings import FALLBACK, Settings
from sam3d_ros.runtime.find import find_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class Chosen:
    """method: one of METHODS. reason: for the log, a sentence without its full stop. model: of `compact`, None for the
    others; sampling: how it is asked. Several threads may use one."""

    method: str
    reason: str
    model: CompactModel | None = None
    sampling: Sampling = field(default_factory=Sampling)


def choose(settings: Settings) -> Chosen:
    """Load what the settings ask for.

    Raises InputError where `compact` is asked for by name and its bundle is missing, damaged or of another kind, or
    onnxruntime is not installed. With "auto" these are the reasons for the classical method.
    """
    if settings.method not in ("auto", "compact"):
        return Chosen(settings.method, "as set")
    try:
        return _compact(settings)
    except InputError as error:
        if settings.method == "compact":
            raise
        return Chosen(FALLBACK, f"no model: {error}")


def _compact(settings: Settings) -> Chosen:
    bundle = find_bundle(settings.model)
    backend = OnnxRuntimeBackend(settings.threads)
    model = CompactModel(bundle, backend)
    about = bundle.about
    threads = f"{settings.threads or 'all'} threads"
    reason = (
        f"{about.name} {about.version} of {bundle.folder} by {backend.name} on {backend.device}, {threads}"
    )
    return Chosen("compact", reason, model, model.sampling)
