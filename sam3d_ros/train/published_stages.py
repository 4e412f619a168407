"""The paper's stages (tables 5 and 6).

Steps follow from epochs, meshes and hardware given there: batch = 6 samples per GPU (geometry), 4 (texture), 3 (its
DPO). Numbers that the paper leaves open, and what stands here instead: warm-up 1000 steps and a clip of the gradient
at 1 (usual for rectified flow), DPO's beta 2000 on mean squared errors with w(t) = 1, and the learning rate of the
distillation, that of SFT. mitl-3do and art-3do are not public: whoever has them names a folder of shards like this.
"""

from __future__ import annotations

from dataclasses import replace

from sam3d_ros.train.stages import Shortcut, Stage, table

CROP = ("crop",)
FULL = ("crop", "full")
EVERYTHING = ("crop", "full", "pointmap")
SHAPE_ROTATION = {"shape": 1.0, "rotation": 0.1}
LAYOUT = {"shape": 1.0, "rotation": 0.1, "translation": 1.0, "scale": 0.1}
# DINOv2 stays as it is. The embedder of step sizes is new in the distillation; until then its last layer is zero.
ENCODERS = ("condition.encoders.image.", "condition.encoders.mask.")
POINTS = ("condition.encoders.point.", "condition.projections.point.")
STEP_SIZE = ("flow.step_embed.",)

_PRE = Stage(
    name="geometry-pre",
    mix={"iso-3do": 1.0},
    conditions=CROP,
    weights=SHAPE_ROTATION,
    steps=176_000,
    batch=3072,
    learning_rate=1e-4,
    frozen=ENCODERS + POINTS + STEP_SIZE,
)
_SFT = replace(
    _PRE,
    name="geometry-sft",
    mix={"mitl-3do": 1.0},
    conditions=EVERYTHING,
    weights=LAYOUT,
    steps=70_000,
    batch=768,
    learning_rate=1e-5,
    p_no_pointmap=0.1,
    frozen=ENCODERS + STEP_SIZE,
)
_TEXTURE = Stage(
    name="texture-pre",
    mix={"iso-3do-500k": 1.0},
    conditions=CROP,
    weights={"slat": 1.0},
    steps=84_000,
    batch=1024,
    learning_rate=1e-4,
    ema=0.9999,
    frozen=ENCODERS,
)

GEOMETRY = table(
    _PRE,
    # 50 epochs at 1920 samples a step and 50 at 768 in the paper; here all of these samples at 1920.
    replace(
        _PRE, name="geometry-occlusion", mix={"rp-3do-fo": 1.0}, conditions=FULL, steps=150_000, batch=1920
    ),
    replace(
        _PRE,
        name="geometry-swap",
        mix={"rp-3do-os-r": 0.9, "procthor": 0.1},
        conditions=EVERYTHING,
        weights=LAYOUT,
        steps=18_600,
        batch=1536,
        p_no_pointmap=0.1,
        frozen=ENCODERS + STEP_SIZE,
    ),
    _SFT,
    replace(_SFT, name="geometry-sft-art", mix={"art-3do": 1.0}, steps=7_000),
    # The preferences judge shapes, so the layout stream stays as it is.
    replace(
        _SFT,
        name="geometry-dpo",
        mix={"mitl-3do-preferences": 1.0},
        weights={"shape": 1.0},
        steps=60,
        learning_rate=2.5e-6,
        warmup=10,
        kind="dpo",
        beta=2000.0,
        p_uncond=0.0,
    ),
    replace(
        _SFT,
        name="geometry-distil",
        steps=4_000,
        warmup=100,
        frozen=ENCODERS,
        kind="distil",
        shortcut=Shortcut(guidance={"shape": 2.0}),
    ),
)
"""In the order of the paper; each starts from the weights of the one before."""

TEXTURE = table(
    _TEXTURE,
    replace(
        _TEXTURE,
        name="texture-mid",
        mix={"rp-3do-fo": 0.86, "rp-3do-os-a": 0.14},
        conditions=FULL,
        steps=62_000,
    ),
    replace(
        _TEXTURE,
        name="texture-sft",
        mix={"mitl-3do-texture": 1.0},
        conditions=FULL,
        steps=11_600,
        batch=768,
        learning_rate=1e-5,
        ema=0.999,
    ),
    replace(
        _TEXTURE,
        name="texture-dpo",
        mix={"mitl-3do-texture-preferences": 1.0},
        conditions=FULL,
        steps=380,
        batch=384,
        learning_rate=1e-6,
        warmup=20,
        ema=0.99,
        p_uncond=0.0,
        kind="dpo",
        beta=2000.0,
    ),
)

STAGES = {**GEOMETRY, **TEXTURE}
