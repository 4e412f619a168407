"""The protocol of all backends: load a graph, call it with arrays by name, keep on the device what stays there.

backend = OnnxRuntimeBackend(threads=2)
prepare, step = (backend.load(bundle.graph(name)) for name in ("prepare", "step"))
context = prepare({"condition": tokens}, keep=("kv",))["kv"]  # a handle: stays on the device
v = step({"x": x, "t": t, "kv": context})["velocity"]         # a numpy array
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import InputError

from .spec import GraphSpec

Array: TypeAlias = NDArray[Any]


class EngineError(RuntimeError):
    """A backend failed although the inputs fit: no memory, a driver error. The text says what it said."""


@runtime_checkable
class Handle(Protocol):
    """An output kept on the backend's device; input of other engines of the same backend."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    def numpy(self) -> Array:
        """A copy on the host. Raises InputError for bfloat16, which numpy does not have."""


Value: TypeAlias = Array | Handle


class Engine(Protocol):
    """A graph that is ready to run."""

    spec: GraphSpec

    def __call__(self, inputs: Mapping[str, Value], keep: Collection[str] = ()) -> dict[str, Value]:
        """Every output by name: a Handle where named in `keep`, else a numpy array.

        Raises InputError where inputs do not fit the graph or come from another backend, EngineError where the backend
        fails.
        """

    def iterate(
        self, state: Mapping[str, Value], stepwise: Mapping[str, Array], constants: Mapping[str, Value]
    ) -> dict[str, Array]:
        """Call the graph once per step and feed its results back: the whole of a flow's sampling.

        state: inputs for which the graph has an output `<name>_next`. stepwise: inputs whose first axis counts the
        steps. constants: all other inputs. Returns the state after the last step. Raises as __call__.
        """


class Backend(Protocol):
    """Something that runs graphs. name: "onnxruntime", "tensorrt" or "torch". device: "cpu" or "cuda"."""

    name: str
    device: str

    def load(self, spec: GraphSpec) -> Engine:
        """Ready to run; files are verified first. Raises InputError where they are not what the spec says."""

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Handle:
        """A tensor of zeros on the device, also of types that numpy does not have; for checks and measurements."""


def iterate_plainly(
    engine: Engine, state: Mapping[str, Value], stepwise: Mapping[str, Array], constants: Mapping[str, Value]
) -> dict[str, Array]:
    """`Engine.iterate` as one call per step; between the steps the state stays on the device."""
    steps = {len(values) for values in stepwise.values()}
    if len(steps) != 1:
        raise InputError(
            f"{engine.spec.name}: stepwise inputs must have equal numbers of steps, not {sorted(steps)}"
        )
    ahead = {name: f"{name}_next" for name in state}
    now: Mapping[str, Value] = state
    for i in range(steps.pop()):
        here = {name: values[i] for name, values in stepwise.items()}
        outputs = engine({**now, **here, **constants}, keep=tuple(ahead.values()))
        now = {name: outputs[following] for name, following in ahead.items()}
    return arrays(now)


def arrays(outputs: Mapping[str, Value]) -> dict[str, Array]:
    """All outputs on the host."""
    return {n: v if isinstance(v, np.ndarray) else v.numpy() for n, v in outputs.items()}


def check_keep(spec: GraphSpec, keep: Collection[str]) -> None:
    """Raises InputError where `keep` names something that is no output."""
    if unknown := sorted(set(keep) - {t.name for t in spec.outputs}):
        raise InputError(f"{spec.name} has no output {', '.join(unknown)}")


def check_interface(
    spec: GraphSpec, inputs: Mapping[str, str], outputs: Mapping[str, str], where: str
) -> None:
    """Raises InputError where a loaded graph's names and dtypes (name -> dtype) are not those of its spec."""
    for kind, said, found in (("inputs", spec.inputs, inputs), ("outputs", spec.outputs, outputs)):
        wanted = {t.name: t.dtype for t in said}
        if wanted != found:
            raise InputError(f"{where}: the manifest says {kind} {wanted}, the graph has {dict(found)}")
