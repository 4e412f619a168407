"""Sampling: rectified flow and its shortcut form (paper section 3; Frans et al. 2024). No torch needed.

The state is a dict of arrays by latent name, numpy or torch alike; the velocity is any callable, so a torch
module, an ONNX Runtime session and a TensorRT engine are sampled by the same code. x_t = (1 - t) x_0 + t x_1:
noise at t = 0, data at t = 1, and the velocity is x_1 - x_0.

    velocity = guided(conditional, unconditional, Guidance(7.0))       # 25 steps, guidance
    x = sample(velocity, noise, time_steps(25, rescale=3))
    x = sample(conditional, noise, time_steps(4, rescale=3), step=1 / 4)   # distilled: 4 steps, no guidance
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import Cancelled

State = dict[str, Any]
"""Latents by name: numpy arrays or torch tensors."""
Velocity = Callable[[State, float, float], State]
"""velocity(x, t, d): t and d in thousandths, as the networks read them."""

GEOMETRY_NOISE_ORDER = ("rotation", "scale", "shape", "translation", "translation_scale")
"""Order in which the published pipeline draws the noise of the geometry latents from one random stream."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance v = (1 + s) v_cond - s v_uncond inside an interval of the flow time.

    strength: for every latent without an entry in `per_latent`. interval: both ends inclusive, in
    thousandths; outside of it only the conditional pass runs. Published: 7 on [0, 500] for geometry, 1 on [0,
    500] for texture.
    """

    strength: float
    interval: tuple[float, float] = (0.0, 500.0)
    per_latent: Mapping[str, float] = field(default_factory=dict)

    def active(self, t: float) -> bool:
        """Whether guidance changes anything at time t (thousandths)."""
        strengths = (self.strength, *self.per_latent.values())
        return self.interval[0] <= t <= self.interval[1] and any(s != 0 for s in strengths)


def time_steps(steps: int, rescale: float = 1.0, dtype: type = np.float64) -> NDArray[Any]:
    """Times of the Euler steps, (steps + 1,) from 0 to 1.

    u / (1 + (rescale - 1)(1 - u)) on an even grid u: rescale 3 spends more steps near the noise (geometry), 1
    is even. The published geometry model computes in float64, the texture model in float32.
    """
    if steps < 1:
        raise ValueError(f"at least one step is needed, not {steps}")
    u: NDArray[Any] = np.linspace(0.0, 1.0, steps + 1).astype(dtype)
    if rescale == 1.0:
        return u
    return (u / (1.0 + (rescale - 1.0) * (1.0 - u))).astype(dtype)


def guided(conditional: Velocity, unconditional: Velocity, guidance: Guidance) -> Velocity:
    """Velocity with guidance; the unconditional pass runs only where it counts."""

    def velocity(x: State, t: float, d: float) -> State:
        v = conditional(x, t, d)
        if not guidance.active(t):
            return v
        v0 = unconditional(x, t, d)
        strength = {name: guidance.per_latent.get(name, guidance.strength) for name in v}
        return {name: (1 + strength[name]) * v[name] - strength[name] * v0[name] for name in v}

    return velocity


def sample(
    velocity: Velocity,
    noise: State,
    times: NDArray[Any],
    step: float = 0.0,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> State:
    """Euler integration of the velocity from noise to data.

    noise: latents by name, any leading batch axis. times: from `time_steps`. step: 0 for flow matching; 1 /
    steps for the distilled (shortcut) mode, constant even where the times are rescaled. on_step(done, total)
    reports progress; should_stop is asked before every step and raises `Cancelled` when it says so.
    """
    x = dict(noise)
    total = len(times) - 1
    for i in range(total):
        if should_stop is not None and should_stop():
            raise Cancelled(f"stopped after {i} of {total} steps")
        v = velocity(x, float(times[i] * 1000), step * 1000)
        dt = float(times[i + 1] - times[i])
        x = {name: x[name] + dt * v[name] for name in x}
        if on_step is not None:
            on_step(i + 1, total)
    return x


def draw_noise(
    shapes: Mapping[str, tuple[int, ...]],
    randn: Callable[[tuple[int, ...]], Any],
    order: tuple[str, ...] = GEOMETRY_NOISE_ORDER,
) -> State:
    """Standard normal noise for every latent, in a fixed order so that a seed always means the same.

    shapes: by latent name. randn: e.g. `numpy.random.default_rng(seed).standard_normal`, or
    `functools.partial(torch.randn, generator=g)`. Names outside `order` follow alphabetically.
    """
    known = [name for name in order if name in shapes]
    rest = sorted(set(shapes) - set(known))
    return {name: randn(shapes[name]) for name in [*known, *rest]}
