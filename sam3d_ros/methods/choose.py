"""Which method runs on this machine, and why: decided once, where a model's bundle is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

from sam3d_ros.compact.model import CompactModel, Sampling
from sam3d_ros.methods.settings import FALLBACK, Settings
from sam3d_ros.runtime import select
from sam3d_ros.runtime.backend import EngineError
from sam3d_ros.runtime.find import find_bundle
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

    Raises InputError where `compact` is asked for by name and its bundle is missing, damaged or of another kind, or the
    backend that is set, or any, cannot run it. With the method "auto" these are the reasons for the classical one.
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
    """With the fastest backend that loads the bundle."""
    bundle = find_bundle(settings.model)
    failed: dict[str, str] = {}
    for option in select.able(bundle, settings.backend):
        try:
            model = CompactModel(bundle, select.start(option, settings.threads))
        except EngineError as error:
            failed[option.name] = f"cannot load {bundle.folder}: {error}"
            continue
        about, by = bundle.about, select.reason(option, bundle, settings.backend, failed)
        reason = (
            f"{about.name} {about.version} of {bundle.folder}, {settings.threads or 'all'} threads, by {by}"
        )
        return Chosen("compact", reason, model, model.sampling)
    raise InputError("; ".join(f"{name} {what}" for name, what in failed.items()))
