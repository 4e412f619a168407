"""Losses of the compact model against hand-computed cases and plain loops, with real networks in tiny width."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_compact import GEOMETRY, TEXTURE, batch, examples, shaken
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.conditions import NO_COLOUR, shown, without_points
from sam3d_ros.train.compact.geometry_loss import (
    geometry_loss,
    geometry_task,
    shape_error,
    to_latents,
)
from sam3d_ros.train.compact.stages import STAGES
from sam3d_ros.train.compact.task import Task, flow_loss, shortcut_loss, stage_loss
from sam3d_ros.train.compact.texture_loss import texture_loss, texture_task
from sam3d_ros.train.losses import draw_noise, draw_shortcut
from sam3d_ros.train.stages import Shortcut, Stage, Times

PRE, DISTIL = STAGES["geometry-pre"], STAGES["geometry-distil"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def geometry() -> CompactGeometry:
    torch.manual_seed(0)
    return shaken(CompactGeometry(GEOMETRY)).eval()


def texture() -> CompactTexture:
    torch.manual_seed(1)
    return shaken(CompactTexture(TEXTURE)).eval()


def test_shape_error_by_hand() -> None:
    """Two cells in the band and one cut off; errors 0.05 (quadratic), 0.3 and 1 (linear)."""
    truth = torch.tensor([0.5, -0.2, 1.0]).reshape(1, 1, 3, 1, 1)
    answer = torch.tensor([0.55, 0.1, 0.0]).reshape(1, 1, 3, 1, 1)
    expected = (4 * 0.05**2 / 0.2 + 4 * (0.3 - 0.05) + 1 * (1 - 0.05)) / 9
    assert shape_error(answer, truth).tolist() == pytest.approx([expected])


def test_pictures_are_hidden_as_often_as_said() -> None:
    stage = replace(PRE, p_uncond=0.1)
    left = shown(stage, {"picture": torch.ones(4000, 8, 1, 1)}, seeded())["picture"][..., 0, 0]
    nothing, grey = (left == 0).all(1), (left[:, :3] == 0).all(1) & (left[:, 3:] == 1).all(1)
    assert nothing.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert grey.float().mean().item() == pytest.approx(NO_COLOUR, abs=0.02)
    assert ((left == 1).all(1) | nothing | grey).all()


def test_without_points_only_rays_and_colours_are_left() -> None:
    one = batch(examples(3))
    blind = without_points(one)
    height, silhouette = 4, 5
    assert torch.equal(blind["grid"][:, [height, silhouette]], one["grid"][:, [height, silhouette]])
    assert torch.equal(blind["picture"][:, :4], one["picture"][:, :4])
    assert all(len(blind["grid"][:, channel].unique()) == 1 for channel in range(height))
    assert all(len(blind["picture"][:, channel].unique()) == 1 for channel in range(4, 8))
    assert torch.equal(blind["globals"], one["globals"])
    assert not torch.equal(blind["grid"], one["grid"]), "the batch itself stays"


def test_points_are_hidden_as_often_as_said() -> None:
    one = batch(examples(1))
    many = {name: value.expand(2000, *value.shape[1:]) for name, value in one.items()}
    few = {"grid": many["grid"][..., :1, :1, :1], "picture": many["picture"][..., :1, :1]}
    seen = shown(replace(PRE, p_no_pointmap=0.3), few, seeded())["grid"]
    gone = (seen[:, :4, 0, 0, 0] == torch.tensor([1.0, 1.0, -1.0, 0.0])).all(1)
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(seen[~gone], few["grid"][~gone])


def test_a_sample_counts_by_its_time_up_to_the_cap() -> None:
    """With t = 0 the clean error counts once, late it counts `weight_cap` times."""
    latents = {"x": torch.ones(2, 1)}

    def error(answer: dict[str, Tensor], truth: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
        return {"x": (weight * (answer["x"] - truth["x"]).abs()[:, 0]).mean()}

    task = Task(latents, lambda x, t, d: {"x": torch.full((2, 1), 1.5)}, lambda x, t, d: {}, error)  # type: ignore[arg-type]
    at_noise = replace(PRE, times=Times(zero=1.0))
    late = replace(PRE, times=Times(mean=9.0, std=0.0), weight_cap=3.0)
    assert flow_loss(at_noise, task, seeded())["x"].item() == pytest.approx(0.5)
    assert flow_loss(late, task, seeded())["x"].item() == pytest.approx(1.5)


def test_rotation_counts_only_where_it_is_known() -> None:
    network, made = geometry(), examples(4)
    known = batch(made)
    before = geometry_loss(PRE, network, known, seeded())["rotation"]
    unknown = {**known, "has_rotation": torch.zeros(4)}
    assert geometry_loss(PRE, network, unknown, seeded())["rotation"].item() == 0
    task = geometry_task(PRE.weights, network, known)
    far = {name: x + 1 for name, x in task.latents.items()}
    terms = task.error(far, task.latents, torch.ones(4))
    assert terms["rotation"].item() == pytest.approx(PRE.weights["rotation"] * 2 / 4)
    assert terms["scale"].item() == pytest.approx(PRE.weights["scale"])
    assert before.item() > 0


def test_layout_latents_are_normalised() -> None:
    one = batch(examples(2))
    latents = to_latents(one, GEOMETRY)
    for name in LAYOUT:
        mean, std = torch.tensor(GEOMETRY.layout_mean[name]), torch.tensor(GEOMETRY.layout_std[name])
        assert torch.allclose(latents[name][:, 0] * std + mean, one[name], atol=1e-6)
    assert torch.equal(latents["shape"][:, 0], 0.5 * one["shape"])


def shortcut_by_hand(task: Task, shortcut: Shortcut, cap: float) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Targets of a plain loop, sample by sample and step by step, and the weights of the samples."""
    generator = seeded(5)
    t, d = draw_shortcut(shortcut, task.size, generator)
    x0 = draw_noise(task.latents, generator)
    targets: dict[str, list[Tensor]] = {name: [] for name in x0}
    weights = []
    for i in range(task.size):
        now, step = float(t[i]), float(d[i])
        assert now / step == int(now / step)
        assert now + 2 * step <= 1
        x = {n: (1 - now) * x0[n] + now * task.latents[n] for n in x0}  # of the whole batch, row i counts
        start = {n: v.clone() for n, v in x.items()}
        total = {n: torch.zeros_like(v) for n, v in x.items()}
        for half in range(2):
            time = now + half * step
            told = 0.0 if step == 1 / shortcut.finest else step
            clean = task.predict(
                x, torch.full((task.size,), 1000 * time), torch.full((task.size,), 1000 * told)
            )
            v = {n: (clean[n] - x[n]) / (1 - time) for n in x}
            if shortcut.guidance:
                blind = task.blind(
                    x, torch.full((task.size,), 1000 * time), torch.full((task.size,), 1000 * told)
                )
                v0 = {n: (blind[n] - x[n]) / (1 - time) for n in x}
                for n, strength in shortcut.guidance.items():
                    v[n] = v0[n] + strength * (v[n] - v0[n])
            x = {n: x[n] + step * v[n] for n in x}
            total = {n: total[n] + v[n] / 2 for n in x}
        for n in x:
            targets[n].append((start[n] + (1 - now) * total[n])[i])
        weights.append(torch.tensor(min(cap, 1 / (1 - now) ** 2)))
    return {n: torch.stack(rows).detach() for n, rows in targets.items()}, weights


@pytest.mark.parametrize("guidance", [{}, {"shape": 2.0}])
@pytest.mark.parametrize("kind", ["geometry", "texture"])
def test_self_consistency_is_that_of_a_plain_loop(kind: str, guidance: dict[str, float]) -> None:
    """One step of size 2 d has to go where two of size d went, with a network to which d means something."""
    one = batch(examples(6, fine=True))
    if kind == "geometry":
        task = geometry_task(DISTIL.weights, geometry(), one)
    else:
        guidance = {"distance": 2.0} if guidance else {}
        coarse = one["shape"][:, None]
        task = texture_task(STAGES["texture-distil"].weights, texture(), one, coarse)
    shortcut = Shortcut(finest=8, guidance=guidance)
    stage = replace(DISTIL, shortcut=shortcut)
    asked: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []

    def predict(x: dict[str, Tensor], t: Tensor, d: Tensor) -> dict[str, Tensor]:
        asked.append((t, d, x))
        return task.predict(x, t, d)

    terms = shortcut_loss(stage, replace(task, predict=predict), seeded(5))  # type: ignore[arg-type]
    t, d, xt = asked[-1]  # the student is asked last
    targets, weights = shortcut_by_hand(task, shortcut, stage.weight_cap)
    assert set((d / 1000).tolist()) <= {1.0, 0.5, 0.25}
    assert (t / 1000 + d / 1000 <= 1).all()
    expected = task.error(task.predict(xt, t, d), targets, torch.stack(weights))
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-7), name
    sum(terms.values()).backward()  # type: ignore[union-attr]


def test_a_consistent_network_has_no_shortcut_error() -> None:
    """Whatever d: a network that always expects the same end walks there on a straight line."""
    one = batch(examples(4))
    task = geometry_task(DISTIL.weights, geometry(), one)
    exact = replace(task, predict=lambda x, t, d: task.latents, blind=lambda x, t, d: task.latents)
    terms = shortcut_loss(DISTIL, exact, seeded())
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in terms.values())


def test_a_quarter_of_the_batches_distils() -> None:
    """The first number of a batch's random stream decides: below the share it learns self-consistency."""
    network, one = geometry(), batch(examples(2))
    for seed in range(8):
        distils = torch.rand((), generator=seeded(seed)).item() < 0.25
        only = replace(DISTIL, shortcut=Shortcut(share=1.0 if distils else 0.0, finest=8))
        assert loss_of(DISTIL, network, one, seed) == loss_of(only, network, one, seed)


def loss_of(stage: Stage, network: CompactGeometry, one: dict[str, Tensor], seed: int) -> dict[str, float]:
    generator = seeded(seed)
    stage = replace(stage, p_uncond=0.0)
    task = geometry_task(stage.weights, network, one)
    return {name: value.item() for name, value in stage_loss(stage, task, generator).items()}


def test_a_compiled_network_has_the_same_loss() -> None:
    """With a backend that only records what it is given: the pass of the losses is the compiled one."""
    passes: list[torch.fx.GraphModule] = []

    def recorded(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        passes.append(graph)
        return graph

    network, one = geometry(), batch(examples(2))
    plain = geometry_loss(PRE, network, one, seeded())
    network.compile(backend=recorded)
    compiled = geometry_loss(PRE, network, one, seeded())
    assert passes
    assert all(plain[n].item() == pytest.approx(compiled[n].item(), rel=1e-4) for n in plain)
    compiled_once = len(passes)
    with torch.no_grad():
        geometry_loss(PRE, network, batch(examples(3)), seeded())
    assert len(passes) == compiled_once, "measurements have other sizes and are not compiled"


def test_texture_terms_by_hand() -> None:
    """Colours count near the surface only, as a mean of absolute errors."""
    one, network = batch(examples(3, fine=True)), texture()
    weights = STAGES["texture-pre"].weights
    task = texture_task(weights, network, one, one["shape"][:, None])
    off = {"distance": task.latents["distance"], "colour": task.latents["colour"] + 0.25}
    near = (one["shape"].abs() < 0.6).flatten(1).sum(1)
    expected = weights["colour"] * (0.5 * 3 * near / (3 * near + 1)).mean()
    terms = task.error(off, task.latents, torch.ones(3))
    assert terms["colour"].item() == pytest.approx(expected.item())
    assert terms["distance"].item() == 0


def test_the_geometry_model_stays_as_it_is_while_texture_learns() -> None:
    network, frozen, one = texture(), geometry(), batch(examples(2, fine=True))
    terms = texture_loss(STAGES["texture-pre"], network, frozen, one, seeded())
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in frozen.parameters())
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


class NothingTravels(TorchDispatchMode):
    """Refuses numbers that go from the host to the device or back, which a recorded step cannot have."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten.lift_fresh.default, torch.ops.aten._local_scalar_dense.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("refining", [False, True])
def test_a_flow_step_can_be_recorded(refining: bool) -> None:
    """Forward and backward, once constants are where they belong."""
    base, refiner, data, generator = geometry(), texture(), batch(examples(2, fine=True)), seeded()
    for mode in (nullcontext(), NothingTravels()):
        with mode:
            if refining:
                terms = texture_loss(STAGES["texture-pre"], refiner, base, data, generator)
            else:
                terms = geometry_loss(PRE, base, data, generator)
            torch.stack(list(terms.values())).sum().backward()
