"""Checkpoints and the running mean by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sam3d_ros.train.checkpoint import Checkpoints, Progress, load_weights, save_weights
from sam3d_ros.train.ema import Ema
from sam3d_ros.types import InputError


def stepped(steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer, Ema]:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    network[0].bias.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 0.1)
    ema = Ema(network, 0.5)
    for _ in range(steps):
        network(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(network)
    return network, optimizer, ema


def test_everything_comes_back(tmp_path: Path) -> None:
    """Weights, frozen ones, buffers, moments, mean: the next step is the same."""
    network, optimizer, ema = stepped()
    kept = Checkpoints(tmp_path)
    kept.save(network, optimizer, ema, Progress(2, 1, 7, {"name": "s"}))
    other, its_optimizer, its_ema = stepped(0)
    assert kept.load(other, its_optimizer, its_ema) == Progress(2, 1, 7, {"name": "s"})
    assert its_ema.count == ema.count
    for x in (torch.randn(4, 3), torch.randn(4, 3)):
        for net, opt, mean in ((network, optimizer, ema), (other, its_optimizer, its_ema)):
            net(x).square().mean().backward()
            opt.step()
            opt.zero_grad()
            mean.update(net)
    mine, its = network.state_dict(), other.state_dict()
    assert all(torch.equal(mine[n], its[n]) for n in mine)
    assert all(torch.equal(ema.mean[n], its_ema.mean[n]) for n in ema.mean)


def test_the_last_two_stay_and_the_rest_goes(tmp_path: Path) -> None:
    network, optimizer, _ = stepped()
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3, 100_000_000):
        kept.save(network, optimizer, None, Progress(step))
    assert [p.name for p in kept.paths()] == ["step-00000003", "step-100000000"]
    assert sorted(p.name for p in kept.paths()[0].iterdir()) == [
        "network.safetensors", "optimizer.safetensors", "state.json",
    ]  # fmt: skip


@pytest.mark.parametrize("file", ["network.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_one_is_named(tmp_path: Path, file: str) -> None:
    network, optimizer, _ = stepped()
    path = Checkpoints(tmp_path).save(network, optimizer, None, Progress(1))
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"step-00000001 cannot be read"):
        Checkpoints(tmp_path).load(network, optimizer, None)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network, *_ = stepped()
    path = tmp_path / "deep" / "w.safetensors"
    save_weights(path, network.state_dict(), {"stage": "s"})
    load_weights(network, path)
    with pytest.raises(InputError, match=r"0.weight is \(3, 3\), not \(3, 4\)"):
        load_weights(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), path)
    with pytest.raises(InputError, match="holds no weights"):
        load_weights(network, tmp_path / "nothing.safetensors")


def test_a_part_of_the_weights_for_a_first_stage(tmp_path: Path) -> None:
    network, *_ = stepped()
    part = {"0.weight": torch.full((3, 3), 5.0)}
    save_weights(tmp_path / "w", part, {})
    before = network[0].bias.detach().clone()  # type: ignore[index,union-attr]
    load_weights(network, tmp_path / "w", partial=True)
    assert torch.equal(network.state_dict()["0.weight"], part["0.weight"])
    assert torch.equal(network.state_dict()["0.bias"], before)
    with pytest.raises(InputError, match="another network"):
        load_weights(network, tmp_path / "w")


def test_running_mean_by_hand() -> None:
    """Decays 1/10, 2/11 and then 0.25, the limit."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    ema = Ema(network, 0.25)
    expected = 0.0
    for value, keep in ((1.0, 1 / 10), (2.0, 2 / 11), (3.0, 0.25), (4.0, 0.25)):
        nn.init.constant_(network.weight, value)
        ema.update(network)
        expected = keep * expected + (1 - keep) * value
    assert float(ema.mean["weight"]) == pytest.approx(expected)
    with ema.applied(network):
        assert network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 4.0
