"""Every loss against a case computed by hand or by a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sam3d_ros.train.losses import (
    clean_weight,
    consistency_target,
    draw_noise,
    draw_shortcut,
    draw_times,
    flow_matching,
    guided,
    interpolate,
    preference,
    self_consistency,
    velocity_of_clean,
)
from sam3d_ros.train.stages import Shortcut, Times
from sam3d_ros.train.terms import Latents, Terms


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_flow_matching_by_hand() -> None:
    """x_0 = 0, x_1 = (2, 4): the velocity is x_1; a prediction of 1 errs by (1, 3), squared mean 5, weight 0.5."""
    seen = {}

    def predict(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        seen.update(x=x["a"], t=t, d=d)
        return {"a": torch.ones(1, 2)}

    x1 = {"a": torch.tensor([[2.0, 4.0]])}
    got = flow_matching(predict, x1, {"a": torch.zeros(1, 2)}, torch.tensor([0.25]), Terms({"a": 0.5}))
    assert float(got["a"]) == pytest.approx(0.5 * (1 + 9) / 2)
    assert seen["x"].tolist() == [[0.5, 1.0]]
    # Networks read thousandths.
    assert seen["t"].tolist() == [250.0]
    assert seen["d"].tolist() == [0.0]


def test_latents_of_a_sample_share_their_time() -> None:
    x0 = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 1, 4)}
    x1 = {name: torch.ones_like(x) for name, x in x0.items()}
    xt = interpolate(x0, x1, torch.tensor([0.25, 0.75]), Terms({"a": 1.0}))
    assert xt["a"][:, 0].tolist() == xt["b"][:, 0, 0].tolist() == [0.25, 0.75]


def test_clean_prediction_without_cap_is_the_velocitys_error() -> None:
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x0, x1 = {"a": normal(3, 5)}, {"a": normal(3, 5, seed=1)}
    terms = Terms({"a": 1.0})

    def clean(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        return {"a": 0.3 * x["a"].sin()}

    of_velocity = flow_matching(velocity_of_clean(clean, terms), x1, x0, t, terms)
    assert torch.allclose(flow_matching(clean, x1, x0, t, terms, cap=1e9)["a"], of_velocity["a"])
    # And with it each sample's factor is bounded.
    assert clean_weight(torch.tensor([0.0, 0.5, 0.9, 1.0]), 4.0).tolist() == [1.0, 4.0, 4.0, 4.0]


def test_elements_and_rows_are_weighted_as_they_say() -> None:
    """Two samples in three rows: the mean over each sample's own rows first, the narrow band counting four times."""
    error = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    owner = torch.tensor([0, 0, 1])
    terms = Terms({"v": 1.0}, rows=("v",), owner=owner)
    assert terms.per_sample("v", error).tolist() == [1.0, 2.5]
    banded = Terms({"v": 1.0}, elements={"v": torch.tensor([4.0, 1.0])}, rows=("v",), owner=owner)
    assert banded.per_sample("v", error).tolist() == [4.0, 10.0]
    assert terms.spread("v", torch.tensor([0.5, 2.0]), error).tolist() == [[0.5], [0.5], [2.0]]


def test_a_missing_label_adds_nothing_and_sends_no_gradient() -> None:
    label = torch.tensor([True, False])
    x1 = {"a": torch.tensor([[1.0], [float("nan")]]), "b": torch.ones(2, 1)}
    x0 = {name: torch.zeros(2, 1) for name in x1}
    out = torch.zeros(2, 1, requires_grad=True)
    inputs = []

    def predict(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        inputs.append(x["a"])
        return {"a": out, "b": 0 * out}

    t = torch.full((2,), 0.5)
    terms = flow_matching(predict, x1, x0, t, Terms({"a": 1.0, "b": 1.0}, {"a": label}))
    assert terms["a"].item() == pytest.approx(1 / 2)  # of two samples, one of which counts as 0
    sum(terms.values()).backward()
    assert out.grad is not None
    assert out.grad.flatten().tolist() == [-1.0, 0.0]
    assert torch.isfinite(inputs[0]).all()


def test_a_latent_without_weight_is_no_term_but_in_the_graph() -> None:
    unused = torch.ones(1, 1, requires_grad=True)
    used = torch.ones(1, 1, requires_grad=True)
    x = {"a": torch.zeros(1, 1), "b": torch.zeros(1, 1)}
    terms = flow_matching(
        lambda *_: {"a": unused, "b": used}, x, x, torch.zeros(1), Terms({"a": 0.0, "b": 1.0})
    )
    assert terms.keys() == {"b"}
    terms["b"].backward()
    assert unused.grad is not None
    assert float(unused.grad) == 0
    assert float(used.grad) == 2  # type: ignore[arg-type]


def test_times_follow_their_law() -> None:
    t = draw_times(Times(mean=-1.0, std=1.0, zero=0.25), 40_000, seeded())
    assert float((t == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    logit = torch.logit(t[t > 0])
    assert float(logit.mean()) == pytest.approx(-1.0, abs=0.02)
    assert float(logit.std()) == pytest.approx(1.0, abs=0.02)


def test_noise_does_not_depend_on_the_order_of_the_latents() -> None:
    x = {"b": torch.zeros(2, 3), "a": torch.zeros(2, 1)}
    one, other = (draw_noise(dict(items), seeded(3)) for items in (x.items(), reversed(x.items())))
    assert all(torch.equal(one[n], other[n]) for n in x)


def test_half_steps_lie_on_their_grid_and_end_inside_the_flow() -> None:
    t, d = draw_shortcut(Shortcut(finest=16), 4000, seeded())
    assert set(d.tolist()) == {1 / 2, 1 / 4, 1 / 8, 1 / 16}
    assert torch.equal((t / d).round() * d, t)
    assert float((t + 2 * d).max()) <= 1
    assert t.min() >= 0
    at_quarter = t[d == 1 / 4]
    assert set(at_quarter.tolist()) == {0.0, 0.25, 0.5}


def field(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
    """A velocity that depends on everything."""
    extra = (t / 1000 + 2 * d / 1000)[:, None]
    return {"a": x["a"].cos() + extra, "b": 0.5 * x["a"].sum(1, keepdim=True) - extra * x["b"]}


def no_condition(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
    return {"a": x["a"].sin(), "b": -x["b"]}


def test_consistency_target_equals_a_plain_loop() -> None:
    """Sample by sample with Euler steps written out, guidance on one latent, the finest half step at step size 0."""
    count, finest = 6, 8
    x = {"a": normal(count, 3), "b": normal(count, 1, seed=1)}
    t = torch.tensor([0, 0.25, 0.5, 0, 0.125, 0.5], dtype=torch.float64)
    d = torch.tensor([0.5, 0.25, 0.25, 0.125, 0.125, 0.125], dtype=torch.float64)
    teacher = guided(field, no_condition, {"a": 2.0})
    got = consistency_target(teacher, x, t, d, finest, Terms({"a": 1.0}))
    for i in range(count):
        state = {n: v[i : i + 1] for n, v in x.items()}
        start, half, now = dict(state), float(d[i]), float(t[i])
        for _ in range(2):
            at, size = torch.tensor([1000 * now]), torch.tensor([1000 * half if half > 1 / finest else 0.0])
            v, v0 = field(state, at, size), no_condition(state, at, size)
            v["a"] = v0["a"] + 2.0 * (v["a"] - v0["a"])
            state = {n: state[n] + half * v[n] for n in state}
            now += half
        for n in state:
            assert torch.allclose(got[n][i : i + 1], (state[n] - start[n]) / (2 * half))


def test_a_student_that_already_agrees_has_no_loss_and_the_teacher_no_gradient() -> None:
    """A constant velocity is its own shortcut; the student is asked for the double step."""
    weight = torch.tensor(2.0, requires_grad=True)
    asked = []

    def constant(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        asked.append(d)
        return {"a": weight * torch.ones_like(x["a"])}

    steps = (torch.tensor([0.0, 0.5]), torch.tensor([0.25, 0.25]))
    x = {"a": torch.zeros(2, 1)}
    loss = self_consistency(constant, constant, x, x, steps, 8, Terms({"a": 1.0}))
    assert float(loss["a"]) == 0
    assert [a.tolist() for a in asked] == [[250.0, 250.0], [250.0, 250.0], [500.0, 500.0]]
    # With a student that differs the gradient is that of (weight - 2)^2 alone: the target is a constant.
    shifted = self_consistency(
        lambda x, t, d: {"a": 2 * constant(x, t, d)["a"]}, constant, x, x, steps, 8, Terms({"a": 1.0})
    )
    shifted["a"].backward()
    assert float(weight.grad) == pytest.approx(2 * 2 * (4 - 2))  # type: ignore[arg-type]


def test_guidance_is_the_papers_formula() -> None:
    x, t = {"a": normal(2, 3), "b": normal(2, 1)}, torch.zeros(2)
    got = guided(field, no_condition, {"a": 3.0})(x, t, t)
    v, v0 = field(x, t, t), no_condition(x, t, t)
    assert torch.allclose(got["a"], v0["a"] + 3 * (v["a"] - v0["a"]))
    assert torch.equal(got["b"], v["b"])


def pair(weight: Tensor) -> dict[str, Tensor]:
    """Preference loss of a network that predicts `weight` everywhere; winner 1, loser -1, noise 0, reference 0."""
    return preference(
        lambda x, t, d: {"a": weight * torch.ones_like(x["a"])},
        lambda x, t, d: {"a": torch.zeros_like(x["a"])},
        {"a": torch.ones(1, 1)},
        {"a": -torch.ones(1, 1)},
        {"a": torch.zeros(1, 1)},
        torch.tensor([0.5]),
        beta=0.25,
        terms=Terms({"a": 1.0}),
    )


def test_preference_by_hand_and_its_gradients_sign() -> None:
    weight = torch.tensor(0.0, requires_grad=True)
    loss = pair(weight)["a"]
    assert float(loss) == pytest.approx(math.log(2))  # at the reference
    loss.backward()
    # D = (w - 1)^2 - (w + 1)^2 = -4 w; -log sigmoid(w) falls with slope 1/2: towards the winner.
    assert float(weight.grad) == pytest.approx(-0.5)  # type: ignore[arg-type]
    assert float(pair(torch.tensor(0.5))["a"]) == pytest.approx(math.log(1 + math.exp(-0.5)))
    assert float(pair(torch.tensor(-0.5))["a"]) > math.log(2)


def test_preference_shares_noise_and_time_between_winner_and_loser() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def predict(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
        seen.append((x["a"], t))
        return {"a": torch.zeros_like(x["a"])}

    x0, same = {"a": normal(2, 3)}, {"a": normal(2, 3, seed=1)}
    preference(predict, field_of_a, same, same, x0, torch.tensor([0.2, 0.7]), 1.0, Terms({"a": 1.0}))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


def field_of_a(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
    return {"a": x["a"]}
