"""The published architecture as something to train: in tiny width on toy data, and in its own size without memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sam3d_ros.train import published, toy
from sam3d_ros.train.initialise import zero_step_embedder
from sam3d_ros.train.journal import read_lines
from sam3d_ros.train.loop import Every, freeze, train
from sam3d_ros.train.objective import Batch, draw_keep, flow_loss, objective
from sam3d_ros.train.recipes import Data
from sam3d_ros.train.sampling import sample
from sam3d_ros.train.toy_data import ToyBatches, geometry_batch

GEOMETRY, TEXTURE = toy.STAGES["geometry-swap"], toy.STAGES["texture-mid"]


def stirred(stage: Any) -> Any:
    """The stage's network with nothing at zero, so that every path matters."""
    torch.manual_seed(0)
    network = toy.network(stage)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def one(stage: Any, network: nn.Module, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    reference = toy.network(stage) if stage.kind == "dpo" else None
    return objective(stage, reference)(network, batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list(toy.STAGES))
def test_every_stage_takes_a_step_that_reaches_all_it_does_not_freeze(name: str) -> None:
    stage = replace(toy.STAGES[name], p_uncond=0.0, p_no_pointmap=0.0)
    network = stirred(stage)
    freeze(network, stage.frozen)
    batch = ToyBatches(name.startswith("texture"), stage.kind == "dpo", 3)(0)
    terms = one(stage, network, batch)
    assert terms.keys() == {n for n, w in stage.weights.items() if w}
    assert all(torch.isfinite(v) for v in terms.values())
    sum(terms.values()).backward()  # type: ignore[union-attr]
    silent = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def test_layout_never_bends_the_shape_stream() -> None:
    network = stirred(GEOMETRY)
    layout_only = replace(GEOMETRY, weights={"rotation": 1.0, "translation": 1.0, "scale": 1.0})
    sum(one(layout_only, network, geometry_batch([0, 1])).values()).backward()  # type: ignore[union-attr]
    for name, parameter in network.flow.named_parameters():
        if ".shape." in name:
            assert parameter.grad is None or not parameter.grad.any(), name
    assert network.flow.blocks[0].layout.qkv.weight.grad.any()


def test_shape_without_pose_trains_the_shape_alone() -> None:
    """Sample 3 has no pose (its targets are NaN)."""
    network = stirred(GEOMETRY)
    terms = one(GEOMETRY, network, geometry_batch([3]))
    assert [terms[n].item() for n in ("rotation", "translation", "scale")] == [0, 0, 0]
    sum(terms.values()).backward()  # type: ignore[union-attr]
    for name, parameter in network.flow.named_parameters():
        if ".layout." in name:
            assert parameter.grad is None or not parameter.grad.any(), name
    assert network.flow.blocks[0].shape.qkv.weight.grad.any()


def test_training_computes_what_the_model_computes() -> None:
    """The two streams in two calls, with dropped conditions as zero tokens, against `GeometryFlow.forward`."""
    network = stirred(GEOMETRY).eval()
    batch = geometry_batch([0, 1])
    keep = {name: torch.tensor([1.0, 0.0]) for name in GEOMETRY.conditions}
    t, d = torch.tensor([100.0, 700.0]), torch.tensor([0.0, 250.0])
    with torch.no_grad():
        got = network.predict(network.tokens(batch.inputs, keep, 2))(batch.latents, t, d)
        full = network.flow.prepare(network.condition(batch.inputs))
        seen = network.flow(batch.latents, t, d, full)
        unseen = network.flow(batch.latents, t, d, None)
    for name in got:
        assert torch.allclose(got[name][:1], seen[name][:1], atol=1e-5)
        assert torch.allclose(got[name][1:], unseen[name][1:], atol=1e-5)


@pytest.mark.parametrize("name", ["geometry-swap", "texture-mid"])
def test_compiled_networks_keep_their_names_and_results(name: str) -> None:
    """Through torch.compile's capture, without its C++ compiler."""
    stage = toy.STAGES[name]
    plain, compiled = stirred(stage), stirred(stage)
    compiled.compile(backend="eager")
    batch = ToyBatches(name.startswith("texture"), pairs=False, size=2)(0)
    terms, others = one(stage, plain, batch), one(stage, compiled, batch)
    for n in terms:
        assert torch.allclose(terms[n], others[n], rtol=1e-5)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_conditions_are_dropped_as_often_as_the_stage_says() -> None:
    stage = replace(GEOMETRY, p_uncond=0.2, p_no_pointmap=0.5)
    many = Batch({"shape": torch.zeros(20_000, 1)}, {}, None)
    keep = draw_keep(stage, many, torch.Generator().manual_seed(0))
    assert torch.equal(keep["crop"], keep["full"])
    assert float(keep["crop"].mean()) == pytest.approx(0.8, abs=0.01)
    assert float(keep["pointmap"].mean()) == pytest.approx(0.8 * 0.5, abs=0.01)


def test_groups_out_of_use_need_no_views() -> None:
    network = stirred(GEOMETRY)
    batch = geometry_batch([0])
    crop = {n: batch.inputs[n] for n in ("image", "mask")}
    tokens = network.tokens(crop, {"crop": torch.ones(1)}, 1)
    others = {n: batch.inputs[n] for n in network.condition.views}
    expected = network.condition(others, drop=[n for n in others if n not in crop])
    assert torch.allclose(tokens, expected)


def test_step_sizes_say_nothing_before_the_distillation() -> None:
    torch.manual_seed(0)
    fresh = toy.network(GEOMETRY)
    assert not fresh.flow.step_embed.fc2.weight.any()  # type: ignore[union-attr,operator]
    network, batch = stirred(GEOMETRY), geometry_batch([0])
    zero_step_embedder(network.flow)
    velocity = network.predict(None)
    t = torch.tensor([300.0])
    with torch.no_grad():
        plain, asked = (velocity(batch.latents, t, torch.tensor([d])) for d in (0.0, 500.0))
        assert all(torch.equal(plain[n], asked[n]) for n in plain)
        # The new layer is the one thing that changes it.
        network.flow.step_embed.fc2.weight.normal_()
        assert not torch.equal(plain["shape"], velocity(batch.latents, t, torch.tensor([500.0]))["shape"])


def test_a_fresh_network_predicts_nothing() -> None:
    """All blocks are the identity and all readouts zero: the first loss is the velocity's own square."""
    batch = geometry_batch([0, 1, 2])
    with torch.no_grad():
        v = toy.network(GEOMETRY).predict(None)(batch.latents, torch.full((3,), 300.0), torch.zeros(3))  # type: ignore[operator]
    assert all(not value.any() for value in v.values())


def test_the_toy_learns(tmp_path: Path) -> None:
    stage = replace(toy.STAGES["geometry-pre"], steps=30, batch=8)
    torch.manual_seed(0)
    made = toy.batches(stage, Data((), 8, 0, 0))
    train(stage, toy.network(stage), objective(stage), made, tmp_path, every=Every(5, 1000, 1000))
    shape = [line["shape"] for line in read_lines(tmp_path / "log.jsonl")]
    assert shape[-1] < 0.6 * shape[0]


@pytest.mark.parametrize("kind", ["geometry-pre", "geometry-distil"])
def test_samples_have_the_latents_shapes_and_follow_the_seed(kind: str) -> None:
    network, batch = stirred(GEOMETRY), geometry_batch([0, 1])
    stage = toy.STAGES[kind]
    first, again, other = (sample(network, batch, stage, seed, steps=2) for seed in (0, 0, 1))
    assert {n: v.shape for n, v in first.items()} == {n: v.shape for n, v in batch.latents.items()}
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["shape"], other["shape"])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["geometry-swap", "texture-mid"])
def test_the_published_size_takes_a_step_without_memory(name: str) -> None:
    """On the meta device: the same code with 24 blocks of width 1024, every shape checked, no number computed."""
    stage = published.STAGES[name]
    with torch.device("meta"):
        network: Any = published.network(stage)
    size = sum(p.numel() for p in network.flow.parameters())
    assert size == pytest.approx(960e6 if name == "geometry-swap" else 600e6, rel=0.01)
    freeze(network, stage.frozen)
    batch = published_batch(network, geometry=name == "geometry-swap")
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], stage.rate(0))
    sum(flow_loss(stage, network, batch, torch.Generator()).values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    optimizer.step()


def published_batch(network: Any, geometry: bool) -> Batch:
    """One sample of the published sizes, on the meta device."""
    with torch.device("meta"):
        inputs = {n: torch.randn(1, 1 if "mask" in n else 3, 518, 518) for n in network.condition.views}
        if geometry:
            config = network.flow.config
            latents = {n: torch.randn(1, config.tokens[n], c) for n, c in config.channels.items()}
            return Batch(latents, {}, inputs)
    toy_batch = ToyBatches(texture=True, pairs=False, size=1)(0)
    tables = type(toy_batch.beside)(*(t if t is None else t.to("meta") for t in toy_batch.beside))
    slat = {"slat": toy_batch.latents["slat"].to("meta")}
    # Without values nobody can count whose rows they are: all are the one sample's.
    return Batch(slat, {}, inputs, owner=torch.zeros(1, dtype=torch.int64), beside=tables)
