"""The passes forward and backward of a step, recorded once as a CUDA graph and replayed: for networks whose kernels are
shorter than the time a CPU needs to start them."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sam3d_ros.train.stages import Stage
from sam3d_ros.types import InputError

Passes = Callable[[Any], dict[str, Tensor]]
"""passes(batch): terms () of the loss by name, without gradient; the parameters have theirs afterwards."""
WARM = 3
"""Calls before the recording: libraries choose kernels and take workspace, constants move to the device."""


class Recorded:
    """Satisfies `Passes`. Batches are dicts of tensors of the same shapes every time.

    The passes may neither read a number from the device nor send one to it, and draw from torch's own generator and
    from `generator` only: every call continues from their state, as without a recording. `parameters` come without
    gradients.
    """

    def __init__(
        self, passes: Passes, parameters: Sequence[nn.Parameter], generator: torch.Generator
    ) -> None:
        self.passes, self.parameters, self.generator = passes, parameters, generator
        self.stream = torch.cuda.Stream()
        self.left = WARM
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: dict[str, Tensor] = {}
        self.terms: dict[str, Tensor] = {}
        self.gradients: list[Tensor | None] = []

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.left:
            self.left -= 1
            return self._beside(batch)
        if self.graph is None:
            self.graph = self._record(batch)
        for name, held in self.batch.items():
            held.copy_(batch[name])
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return {name: value.clone() for name, value in self.terms.items()}

    def _beside(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Plain passes on the stream of the recording."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            terms = self.passes(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return terms

    def _record(self, batch: dict[str, Tensor]) -> torch.cuda.CUDAGraph:
        self.batch = {name: tensor.clone() for name, tensor in batch.items()}
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        # Other threads may go on meanwhile, such as one that brings data.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self.terms = self.passes(self.batch)
        self.gradients = [parameter.grad for parameter in self.parameters]
        return graph


def check_recordable(stage: Stage, device: torch.device, micro_batches: int) -> None:
    """Raises InputError where a step of the stage cannot be recorded; micro_batches: of a step, on all processes."""
    if device.type != "cuda":
        raise InputError(f"{stage.name}: only a CUDA device records steps, this is {device.type}")
    if micro_batches > 1:
        raise InputError(
            f"{stage.name}: a recorded step is one micro-batch of one process, not {micro_batches}"
        )
    if stage.kind != "flow":
        raise InputError(
            f"{stage.name}: only flow matching is recorded; steps of kind {stage.kind} differ from one another"
        )
