"""What a user of the pipeline sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.runtime.select import CHOICES, Choice
from sam3d_ros.types import InputError

Classical: TypeAlias = Literal["extrude", "hull", "mirror"]
Method: TypeAlias = Literal["auto", "compact", "extrude", "hull", "mirror"]
CLASSICAL: tuple[Classical, ...] = get_args(Classical)
METHODS = ("compact", *CLASSICAL)
BACKENDS = CHOICES
"""What may run the model (runtime/select.py)."""
FALLBACK: Classical = "extrude"
"""Takes over where there is no model, and for an object that the model rejects."""
MODEL = "compact"
"""Name of the bundle that is used by default."""


@dataclass(frozen=True)
class Settings:
    """method: how the hidden side is completed; "auto" is `compact` where its bundle can be used, else `extrude`.
    model: name of the bundle, or its folder. backend: what runs it; "auto" is the fastest that can. threads: of the
    model on the CPU, 0 for one per core. fallback: whether a classical method takes over for an object that the model
    rejects, or whose confidence is below `doubt` while the classical shape fits better. limits: what a mask must have,
    and the largest size (m) of an object. max_objects: usable masks beyond this many, in the order given, are rejected.
    min_confidence: below it a result is rejected. max_faces: meshes with more are simplified where they stay closed."""

    method: Method = "auto"
    model: str = MODEL
    backend: Choice = "auto"
    threads: int = 0
    fallback: bool = True
    doubt: float = 0.3
    limits: MaskLimits = field(default_factory=MaskLimits)
    max_objects: int = 32
    min_confidence: float = 0.1
    max_faces: int = 20_000

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(f"method {self.method!r} is not one of {', '.join(get_args(Method))}")
        if self.backend not in BACKENDS:
            raise InputError(f"backend {self.backend!r} is not one of {', '.join(BACKENDS)}")
        if not self.model or self.threads < 0:
            raise InputError("model needs a name or a folder; threads is 0 (one per core) or more")
        if self.max_objects < 1 or self.max_faces < 4:
            raise InputError("max_objects is at least 1, max_faces at least 4")
        if not 0 <= self.min_confidence <= 1 or not 0 <= self.doubt <= 1:
            raise InputError("min_confidence and doubt lie between 0 and 1")
