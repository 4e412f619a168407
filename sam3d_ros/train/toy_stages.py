"""The same stages in a size that a CPU walks through in seconds, on solids that are made on the spot (`toy`)."""

from __future__ import annotations

from dataclasses import replace

from sam3d_ros.train import published_stages
from sam3d_ros.train.stages import Shortcut, Stage

STEPS = {"flow": 300, "dpo": 40, "distil": 100}
RATE = {"flow": 3e-3, "dpo": 1e-4, "distil": 1e-3}
# The toy's image encoders begin untrained, so they learn; these parts of theirs no forward pass uses.
UNUSED = ("condition.encoders.image.mask_token", "condition.encoders.mask.mask_token")
UNUSED_IN_TEXTURE = ("condition.encoders.image.norm.", "condition.encoders.mask.norm.")


def small(stage: Stage) -> Stage:
    """A stage of the paper with its losses and conditions, and few steps of few samples."""
    learned = tuple(prefix for prefix in stage.frozen if prefix not in published_stages.ENCODERS)
    texture = stage.name.startswith("texture")
    return replace(
        stage,
        mix={"toy": 1.0},
        steps=STEPS[stage.kind],
        batch=16,
        learning_rate=RATE[stage.kind],
        warmup=10,
        decay_from=0.6,
        ema=0.99 if stage.ema else None,
        frozen=learned + UNUSED + (UNUSED_IN_TEXTURE if texture else ()),
        beta=200.0 if stage.beta else None,
        shortcut=replace(stage.shortcut, finest=8) if isinstance(stage.shortcut, Shortcut) else None,
    )


STAGES = {name: small(stage) for name, stage in published_stages.STAGES.items()}
