"""torch: the plain reference. It runs the modules that the graphs were exported from, on the same inputs by name."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sam3d_ros.types import InputError

from .backend import Array, EngineError, Handle, Value, check_keep, iterate_plainly
from .spec import GraphSpec, dtype_name

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TorchHandle:
    """A tensor on torch's device."""

    value: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def dtype(self) -> str:
        return dtype_name(self.value)

    def numpy(self) -> Array:
        if self.dtype == "bfloat16":
            raise InputError("bfloat16 stays on the device: numpy does not have it")
        return self.value.cpu().numpy()


class TorchEngine:
    """A module behind the protocol."""

    def __init__(self, spec: GraphSpec, module: Callable[..., Any], device: str) -> None:
        self.spec = spec
        self._module = module
        self._device = device

    def __call__(self, inputs: Mapping[str, Value], keep: Collection[str] = ()) -> dict[str, Value]:
        import torch

        check_keep(self.spec, keep)
        self.spec.bind(inputs)
        given = [self._tensor(t.name, inputs[t.name]) for t in self.spec.inputs]
        try:
            with torch.inference_mode():
                result = self._module(*given)
        except RuntimeError as error:
            raise EngineError(f"{self.spec.name}: torch: {error}") from error
        values = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        handles = {t.name: TorchHandle(v) for t, v in zip(self.spec.outputs, values, strict=True)}
        return {n: h if n in keep else h.numpy() for n, h in handles.items()}

    def iterate(
        self, state: Mapping[str, Value], stepwise: Mapping[str, Array], constants: Mapping[str, Value]
    ) -> dict[str, Array]:
        return iterate_plainly(self, state, stepwise, constants)

    def _tensor(self, name: str, value: Value) -> torch.Tensor:
        import torch

        if isinstance(value, TorchHandle):
            return value.value
        if isinstance(value, Handle) and not isinstance(value, np.ndarray):
            raise InputError(f"{self.spec.name}: {name} is a handle of another backend")
        return torch.as_tensor(np.asarray(value), device=self._device)


class TorchBackend:
    """Runs torch modules by graph name.

    modules: graph name -> callable that takes the graph's inputs in the order of its spec and returns its outputs in
    theirs. Nothing is read from the spec's files.
    """

    name = "torch"

    def __init__(self, modules: Mapping[str, Callable[..., Any]], device: str = "cpu") -> None:
        self.device = device
        self._modules = modules

    def load(self, spec: GraphSpec) -> TorchEngine:
        """The engine of a graph. Raises InputError where there is no module of its name."""
        if spec.name not in self._modules:
            raise InputError(f"no torch module for {spec.name}, only {', '.join(self._modules) or 'none'}")
        return TorchEngine(spec, self._modules[spec.name], self.device)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> TorchHandle:
        """A tensor of zeros."""
        import torch

        return TorchHandle(torch.zeros(shape, dtype=getattr(torch, dtype), device=self.device))
