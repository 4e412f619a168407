"""A running mean of the weights: what is evaluated and shipped instead of the last step's weights."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Exponential mean of a network's trainable parameters, in fp32.

    The decay grows from 0.1 with the steps as (1 + n) / (10 + n) up to `decay`, so that short runs do not carry their
    random start along. Sharded parameters (FSDP) are averaged shard by shard.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.mean = {n: p.detach().float().clone() for n, p in trainable(network)}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """After a step of the optimiser."""
        keep = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        now = dict(trainable(network))
        # One kernel for all tensors; one by one costs a tenth of a small network's step.
        torch._foreach_lerp_(list(self.mean.values()), [now[n].detach().float() for n in self.mean], 1 - keep)

    def restart(self, network: nn.Module, count: int) -> None:
        """Take the network's weights for the mean after `count` updates."""
        self.count = count
        _put(self.mean, dict(trainable(network)))

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Inside, the network has the mean weights."""
        parameters = dict(trainable(network))
        kept = {n: p.detach().clone() for n, p in parameters.items()}
        _put(parameters, self.mean)
        try:
            yield
        finally:
            _put(parameters, kept)


def trainable(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that are not frozen, with their names."""
    return [(n, p) for n, p in network.named_parameters() if p.requires_grad]


@torch.no_grad()
def _put(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
