"""The stages of the compact model: the same for `nano`, on the cores of one machine, and for `compact`, on one GPU.

The mix weighs objects by kind (`kinds.kind`): in every round an example of the folder is used with the chance of its
weight over the largest. What the folder itself holds is decided where it is filled (`sam3d train-data`).
"""

from __future__ import annotations

from dataclasses import replace

from sam3d_ros.train.stages import Shortcut, Stage, Times, table

ALL = {"procedural": 1.0, "random_urdfs": 1.0, "artist": 1.0}
BETTER = {"procedural": 0.5, "random_urdfs": 0.25, "artist": 1.0}
"""What people made first, then our own designs; a few random shapes, or they are forgotten."""

_PRE = Stage(
    name="geometry-pre",
    mix=ALL,
    conditions=("crop", "pointmap"),
    weights={"shape": 1.0, "rotation": 0.01, "translation": 0.05, "scale": 0.05},
    steps=10_000,
    batch=16,
    learning_rate=1.5e-3,
    warmup=150,
    decay_from=0.35,
    betas=(0.9, 0.98),
    ema=0.998,
    # Everything is decided at t = 0, and one step from there is the best guess of the mean: a third of the samples.
    times=Times(mean=-0.8, std=1.0, zero=0.35),
    clean=True,
)
_TEXTURE_PRE = replace(
    _PRE,
    name="texture-pre",
    weights={"distance": 1.0, "colour": 0.3},
    steps=3_000,
    warmup=100,
    ema=0.99,
    times=Times(mean=-0.5, std=1.0, zero=0.35),
)


def distilled(stage: Stage, name: str) -> Stage:
    """Shortcut distillation of what `stage` trained. Steps of 1, 1/2 and 1/4 are learned: more than four steps were of
    no use."""
    return replace(
        stage,
        name=name,
        kind="distil",
        steps=600,
        learning_rate=5e-4,
        warmup=20,
        ema=0.99,
        shortcut=Shortcut(share=0.25, finest=8),
    )


STAGES = table(
    _PRE,
    replace(_PRE, name="geometry-sft", mix=BETTER, steps=1_000, learning_rate=3e-4, warmup=20, ema=0.99),
    replace(
        _PRE,
        name="geometry-dpo",
        kind="dpo",
        weights={"shape": 1.0},
        steps=200,
        learning_rate=3e-5,
        warmup=10,
        ema=0.99,
        p_uncond=0.0,
        beta=5000.0,
    ),
    distilled(_PRE, "geometry-distil"),
    _TEXTURE_PRE,
    distilled(_TEXTURE_PRE, "texture-distil"),
)

_ON_A_GPU = {
    # steps, learning rate, warmup: for a quarter of an hour on an H100
    "geometry-pre": (3_200, 2e-3, 200),
    "geometry-sft": (150, 3e-4, 20),
    "geometry-dpo": (25, 3e-5, 10),
    "geometry-distil": (200, 5e-4, 20),
    "texture-pre": (700, 1e-3, 50),
    "texture-distil": (200, 3e-4, 20),
}
GPU_STAGES = table(
    *(
        replace(stage, batch=256, steps=steps, learning_rate=rate, warmup=warmup)
        for stage in STAGES.values()
        for steps, rate, warmup in [_ON_A_GPU[stage.name]]
    )
)
"""The same stages in batches of 256."""
