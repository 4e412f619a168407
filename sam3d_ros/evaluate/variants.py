"""One way to run the compact model, written as one word: compact:steps=25:candidates=4:rgb=no.

The fields of `Variant` are what can be said; what is not said is as the bundle has it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from dataclasses import dataclass
from typing import Any

from sam3d_ros.compact.model import Sampling
from sam3d_ros.methods.choose import choose
from sam3d_ros.methods.settings import MODEL, Settings
from sam3d_ros.pipeline import Reconstructor
from sam3d_ros.runtime.bundle import MANIFEST
from sam3d_ros.runtime.find import find_bundle
from sam3d_ros.types import InputError

PREFIX = "compact"
WORDS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Variant:
    """model: name of the bundle or its folder. steps, rescale, shortcut, candidates, looks, pick, level, fine_level,
    seed: of `Sampling`. rgb: no takes the colours away from the model, and from the mesh. fallback: no counts as
    missing what the model rejects. threads, backend: of the model, as in `Settings`."""

    model: str = MODEL
    steps: int | None = None
    rescale: float | None = None
    shortcut: bool | None = None
    candidates: int | None = None
    looks: int | None = None
    pick: str | None = None
    level: float | None = None
    fine_level: float | None = None
    seed: int | None = None
    rgb: bool = True
    fallback: bool = True
    threads: int = 1
    backend: str = "auto"

    @staticmethod
    def parse(word: str) -> Variant:
        """From `compact`, or `compact:name=value:...`. Raises InputError for a name or a value that cannot be."""
        kinds = typing.get_type_hints(Variant)
        values: dict[str, Any] = {}
        head, *parts = word.split(":")
        if head != PREFIX:
            raise InputError(f"{word!r} does not begin with {PREFIX}")
        for part in parts:
            name, equals, text = part.partition("=")
            if not equals or name not in kinds:
                raise InputError(f"{word!r}: {part!r} is not one of {', '.join(kinds)} with =value")
            values[name] = _value(text, kinds[name], f"{word!r}: {name}")
        return Variant(**values)

    def reconstructor(self) -> Reconstructor:
        """The pipeline with this model, without a limit on the confidence. Raises InputError as `choose` and
        `Sampling`."""
        settings = Settings(
            method="compact",
            model=self.model,
            threads=self.threads,
            backend=self.backend,  # type: ignore[arg-type]  # `Settings` checks it
            fallback=self.fallback,
            min_confidence=0.0,
        )
        chosen = choose(settings)
        names = [f.name for f in dataclasses.fields(Sampling)]
        said = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return Reconstructor(
            settings, dataclasses.replace(chosen, sampling=dataclasses.replace(chosen.sampling, **said))
        )

    @property
    def fingerprint(self) -> str:
        """Changes where the bundle does: its manifest has the hashes of all its files. Raises InputError where there
        is none."""
        manifest = find_bundle(self.model).folder / MANIFEST
        return hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]


def is_variant(word: str) -> bool:
    """Whether a method's name means the compact model."""
    return word.partition(":")[0] == PREFIX


def _value(text: str, kind: Any, where: str) -> Any:
    """The text as the field's type, whose None is never written."""
    kind = next((k for k in typing.get_args(kind) if k is not type(None)), kind)
    try:
        return WORDS[text] if kind is bool else kind(text)
    except (KeyError, ValueError):
        wanted = "yes or no" if kind is bool else f"of type {kind.__name__}"
        raise InputError(f"{where} must be {wanted}, not {text!r}") from None
