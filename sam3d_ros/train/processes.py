"""One network on all processes: copied to each (DDP), or its parameters, gradients and moments shared out (FSDP)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from sam3d_ros.train.checkpoint import spread


class Entrance(nn.Module):
    """A network whose forward pass is any function of it.

    DDP and FSDP work around one forward pass. A whole loss as that pass may call the network's methods as often as it
    likes: several velocities for one condition, a guided teacher, a winner and a loser.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(self.network, *args)


class Distributed:
    """A network prepared for the processes at hand. Every process begins with the weights of the main one.

    network: itself, with its own parameter names; call(function, ...) = function(network, ...) on all processes
    together. sharded: FSDP in one group of all parameters, gathered for each pass; every process keeps its share of
    parameters, gradients and moments, 16 bytes per parameter divided by their number. (Groups of single blocks would
    need blocks that are called as modules; those of the flows have several entrances.)
    """

    def __init__(self, accelerator: Accelerator, network: nn.Module, sharded: bool) -> None:
        self.accelerator, self.network = accelerator, network
        entrance = Entrance(network)
        if not sharded or accelerator.num_processes == 1:
            self.call: nn.Module = accelerator.prepare_model(entrance)
            return
        weights = {n: t.clone() for n, t in network.state_dict().items()}
        entrance.to(accelerator.device)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        fully_shard(entrance, mesh=mesh, reshard_after_forward=True)
        self.call = entrance
        spread(network, weights if accelerator.is_main_process else {})

    def added_up(self, last: bool) -> AbstractContextManager[Any]:
        """Around the passes of one micro-batch: gradients travel between processes with a step's last one only."""
        if isinstance(self.call, FSDPModule):
            self.call.set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else self.accelerator.no_sync(self.call)

    def clip(self, most: float) -> Tensor:
        """Shorten the gradient of all parameters to a norm; returns the norm it had, ()."""
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), most)
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
