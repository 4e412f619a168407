"""The losses of every stage as pure functions over latents by name (paper: objective, DPO, distillation).

Conventions, those of `model.flow`: x_t = (1 - t) x_0 + t x_1 with noise x_0 and data x_1, velocity x_1 - x_0. t and d
are (B,) in [0, 1] here; a network gets them in thousandths. All latents of a sample share t.

A network predicts velocities, or clean latents x_1 (`cap` given): their squared error counts min(cap, 1 / (1 - t)^2)
times, which without the cap is the velocity's error, since v = (x_1 - x_t) / (1 - t).
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sam3d_ros.train.stages import Shortcut, Times
from sam3d_ros.train.terms import Latents, Terms

Predict = Callable[[Latents, Tensor, Tensor], dict[str, Tensor]]
"""predict(x, t, d): velocities or clean latents; t and d (B,) in thousandths."""


def draw_times(
    law: Times, count: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """(count,) flow times in [0, 1)."""
    normal = torch.randn(count, generator=generator, device=device)
    t = torch.sigmoid(law.mean + law.std * normal)
    at_zero = torch.rand(count, generator=generator, device=device) < law.zero
    return torch.where(at_zero, torch.zeros_like(t), t)


def draw_noise(x1: Latents, generator: torch.Generator) -> dict[str, Tensor]:
    """Standard normal noise in the shape of the latents, in alphabetical order of their names."""
    return {
        name: torch.randn(x1[name].shape, generator=generator, device=x1[name].device, dtype=x1[name].dtype)
        for name in sorted(x1)
    }


def interpolate(x0: Latents, x1: Latents, t: Tensor, terms: Terms) -> dict[str, Tensor]:
    """x_t = (1 - t) x_0 + t x_1."""
    spread = {name: terms.spread(name, t, x1[name]) for name in x1}
    return {name: (1 - s) * x0[name] + s * x1[name] for name, s in spread.items()}


def flow_matching(
    predict: Predict, x1: Latents, x0: Latents, t: Tensor, terms: Terms, cap: float | None = None
) -> dict[str, Tensor]:
    """Weighted mean squared error at step size 0 by latent (paper, L_CFM)."""
    x1 = terms.filled(x1)
    truth = {name: x1[name] - x0[name] for name in x1}
    return matching(predict, interpolate(x0, x1, t, terms), truth, t, torch.zeros_like(t), terms, cap)


def matching(
    predict: Predict, xt: Latents, truth: Latents, t: Tensor, d: Tensor, terms: Terms, cap: float | None
) -> dict[str, Tensor]:
    """Weighted mean squared error by latent against given velocities at x_t."""
    return terms.means(errors(predict(xt, 1000 * t, 1000 * d), xt, truth, t, terms, cap))


def errors(
    got: Latents, xt: Latents, truth: Latents, t: Tensor, terms: Terms, cap: float | None
) -> dict[str, Tensor]:
    """(B,) mean squared error of every sample by latent. got: velocities, or with a cap clean latents."""
    if cap is None:
        return {n: terms.per_sample(n, (got[n] - truth[n]).square()) for n in terms.weights}
    factor, out = clean_weight(t, cap), {}
    for n in terms.weights:
        x1 = xt[n] + terms.spread(n, 1 - t, xt[n]) * truth[n]
        out[n] = factor * terms.per_sample(n, (got[n] - x1).square())
    return out


def clean_weight(t: Tensor, cap: float) -> Tensor:
    """min(cap, 1 / (1 - t)^2), also at t = 1."""
    return 1 / (1 - t).square().clamp_min(1 / cap)


def velocity_of_clean(clean: Predict, terms: Terms, least: float = 1e-3) -> Predict:
    """The velocity (x_1 - x_t) / (1 - t) of a network that predicts clean latents; 1 - t is at least `least`."""

    def velocity(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        got = clean(x, t, d)
        left = (1 - t / 1000).clamp_min(least)
        return {n: (got[n] - x[n]) / terms.spread(n, left, x[n]) for n in got}

    return velocity


def guided(conditional: Predict, unconditional: Predict, strength: Mapping[str, float]) -> Predict:
    """v_0 + w (v_c - v_0) with w by latent; latents without an entry stay conditional (w = 1)."""
    if all(w == 1 for w in strength.values()):
        return conditional

    def velocity(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        v = conditional(x, t, d)
        v0 = unconditional(x, t, d)
        return {n: v0[n] + strength[n] * (v[n] - v0[n]) if n in strength else v[n] for n in v}

    return velocity


def draw_shortcut(
    law: Shortcut, count: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """(count,) times t and half steps d: d from {1/2, 1/4, ..., 1/finest}, t a multiple of d in [0, 1 - 2 d].

    So both half steps end inside the flow, which a t from the law of flow matching would not ensure.
    """
    powers = law.finest.bit_length() - 1
    parts = 2.0 ** torch.randint(1, powers + 1, (count,), generator=generator, device=device)
    number = (torch.rand(count, generator=generator, device=device) * (parts - 1)).floor()
    # torch.rand is below 1, but its product with a large number may round up to it.
    return torch.minimum(number, parts - 2) / parts, 1 / parts


@torch.no_grad()
def consistency_target(
    velocity: Predict, xt: Latents, t: Tensor, d: Tensor, finest: int, terms: Terms
) -> dict[str, Tensor]:
    """Mean velocity of two half steps of size d from x_t: what one step of size 2 d should have. No gradient.

    The smallest half step 1 / finest is asked for at step size 0, which flow matching trains; no sample trains the
    step size 1 / finest itself (Frans et al. 2024).
    """
    small = torch.where(d > 1 / finest, d, torch.zeros_like(d))
    v1 = velocity(xt, 1000 * t, 1000 * small)
    middle = {n: xt[n] + terms.spread(n, d, xt[n]) * v1[n] for n in xt}
    v2 = velocity(middle, 1000 * (t + d), 1000 * small)
    return {n: (v1[n] + v2[n]) / 2 for n in xt}


def self_consistency(
    predict: Predict,
    teacher: Predict,
    x1: Latents,
    x0: Latents,
    steps: tuple[Tensor, Tensor],
    finest: int,
    terms: Terms,
    cap: float | None = None,
) -> dict[str, Tensor]:
    """One step of size 2 d against two of size d by latent (paper, distillation).

    teacher: velocities of the same network, guided where that is wanted. steps: t and d from `draw_shortcut`.
    """
    t, d = steps
    xt = interpolate(x0, terms.filled(x1), t, terms)
    truth = consistency_target(teacher, xt, t, d, finest, terms)
    return matching(predict, xt, truth, t, 2 * d, terms, cap)


def preference(
    predict: Predict,
    reference: Predict,
    winner: Latents,
    loser: Latents,
    x0: Latents,
    t: Tensor,
    beta: float,
    terms: Terms,
    cap: float | None = None,
) -> dict[str, Tensor]:
    """Preference optimisation of a flow (paper, DPO; Wallace et al. 2024), by latent: - mean log sigmoid(- beta D).

    D = (error of the network - error of the reference) at the winner, minus the same at the loser. Winner and loser
    share the noise x_0 and t: then they differ in nothing but what was judged, and the noise's part of both errors
    cancels. The paper leaves this open, as it does the weight of t, which is 1 here. reference: the frozen model that
    the stage started from.
    """
    zero = torch.zeros_like(t)
    gains = []
    for data in (winner, loser):
        x1 = terms.filled(data)
        truth = {name: x1[name] - x0[name] for name in x1}
        xt = interpolate(x0, x1, t, terms)
        own = errors(predict(xt, 1000 * t, zero), xt, truth, t, terms, cap)
        with torch.no_grad():
            other = errors(reference(xt, 1000 * t, zero), xt, truth, t, terms, cap)
        gains.append({n: own[n] - other[n] for n in own})
    won, lost = gains
    return terms.means({n: -F.logsigmoid(-beta * (won[n] - lost[n])) for n in won})
