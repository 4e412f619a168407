"""A training stage as data: what it sees, what it learns, how fast (paper, tables 5 and 6). No torch needed.

The tables of stages lie beside: `published_stages`, `toy_stages`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sam3d_ros.types import InputError

Kind = Literal["flow", "dpo", "distil"]
CONDITIONS = ("crop", "full", "pointmap")
"""Groups of condition tokens: picture and mask around the object, of the full frame, and the pointmap of both."""


@dataclass(frozen=True)
class Times:
    """Law of the flow time: sigmoid(N(mean, std)), 0 noise and 1 data; a share `zero` of the samples is at exactly 0.

    Published: mean -1, std 1. zero > 0 trains the first step from pure noise, which decides the most.
    """

    mean: float = -1.0
    std: float = 1.0
    zero: float = 0.0


@dataclass(frozen=True)
class Shortcut:
    """Self-consistency (paper, distillation; Frans et al. 2024).

    share: of the micro-batches that learn a step of two half steps; the rest learns flow matching. finest: the smallest
    half step is 1 / finest, a power of 2; the steps learned are 1, 1/2, ... 2 / finest, so sampling in 4 needs at least
    8. guidance: strength w in v_0 + w (v_c - v_0) of the target, by latent; those without an entry have none.
    """

    share: float = 0.25
    finest: int = 128
    guidance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    mix: weight of each data set by its name (`SampleSet.name`). conditions: groups of condition tokens in use, the
    others are zero. weights: weight of each latent's loss; a latent with weight 0 is noised and predicted but not
    learned, one without entry does not take part. kind: flow matching, preference optimisation, or shortcut
    distillation.

    steps: of the optimiser. batch: samples per step over all processes and accumulated parts. learning_rate: after
    `warmup` steps; constant, then from the share `decay_from` of the steps on a cosine down to 0; 1 keeps it.
    clip: largest norm of the gradient. ema: decay of the running mean of the weights, None for none.

    p_uncond: share of samples without any condition, what guidance needs. p_no_pointmap: share without pointmap.
    frozen: parameters whose names begin with one of these stay as they are.
    clean: the network predicts the clean latent instead of the velocity; weight_cap: its loss is weighted by
    min(weight_cap, 1 / (1 - t)^2).
    shortcut: only for kind "distil". beta: sharpness of the preference, only for kind "dpo". times: law of t; dpo
    draws t evenly as the paper does and does not use it.

    Raises InputError for values that contradict each other.
    """

    name: str
    mix: Mapping[str, float]
    conditions: tuple[str, ...]
    weights: Mapping[str, float]
    steps: int
    batch: int
    learning_rate: float
    kind: Kind = "flow"
    warmup: int = 1000
    decay_from: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float | None = None
    p_uncond: float = 0.1
    p_no_pointmap: float = 0.0
    frozen: tuple[str, ...] = ()
    times: Times = Times()
    clean: bool = False
    weight_cap: float = 4.0
    shortcut: Shortcut | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        unknown = set(self.conditions) - set(CONDITIONS)
        finest = self.shortcut.finest if self.shortcut else 2
        wrong = {
            f"unknown conditions {sorted(unknown)}": bool(unknown),
            "the mix needs positive weights": not self.mix or min(self.mix.values()) <= 0,
            "weights of losses must not be negative": any(w < 0 for w in self.weights.values()),
            "no loss has a weight": not any(self.weights.values()),
            "steps and batch must be at least 1": min(self.steps, self.batch) < 1,
            "the learning rate must be positive": not self.learning_rate > 0,
            "shares lie between 0 and 1": not all(
                0 <= p <= 1 for p in (self.p_uncond, self.p_no_pointmap, self.decay_from, self.times.zero)
            ),
            "distil needs `shortcut`, other kinds have none": (self.kind == "distil")
            != (self.shortcut is not None),
            "dpo needs `beta`, other kinds have none": (self.kind == "dpo") != (self.beta is not None),
            "the finest half step is 1 / 2, 1 / 4, 1 / 8, ...": finest < 2 or finest & (finest - 1) != 0,
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise InputError(f"stage {self.name}: {message}")

    def rate(self, step: int) -> float:
        """Learning rate of step 0 .. steps - 1."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = step / self.steps
        if done < self.decay_from or self.decay_from >= 1:
            return self.learning_rate
        progress = (done - self.decay_from) / (1 - self.decay_from)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


Table = Mapping[str, Stage]
"""Stages by name, in the order of the training."""


def table(*stages: Stage) -> dict[str, Stage]:
    """Stages by their names."""
    return {stage.name: stage for stage in stages}


def find(stages: Table, name: str) -> Stage:
    """A stage by name. Raises InputError with the names there are."""
    if name not in stages:
        raise InputError(f"there is no stage {name!r}; there are: {', '.join(stages)}")
    return stages[name]


def differences(stage: Stage, recorded: Mapping[str, Any]) -> list[str]:
    """Fields in which a stage differs from one that was written with `dataclasses.asdict` and json, as sentences."""
    import json
    from dataclasses import asdict

    own = json.loads(json.dumps(asdict(stage)))
    names = [*own, *(n for n in recorded if n not in own)]
    return [
        f"{n}: {recorded.get(n)} -> {own.get(n)}" for n in names if own.get(n) != recorded.get(n, own.get(n))
    ]
