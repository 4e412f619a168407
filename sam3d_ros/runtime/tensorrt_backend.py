"""TensorRT: plans built on this machine, tensors that stay on the GPU, the steps of a flow as one CUDA graph.

Uses only names that TensorRT 10.3 to 11.4 all have. Written without a GPU: `docs/engines.md` says what was run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam3d_ros.types import InputError

from .backend import Array, EngineError, Handle, Value, check_interface, check_keep, iterate_plainly
from .cache import PlanCache, PlanKey
from .cuda import Buffer, Cuda
from .gpu import find_gpu
from .spec import GraphSpec, Profile
from .tensorrt_build import Progress, build_plan

ITEM = {"float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}


@dataclass(frozen=True)
class GpuHandle:
    """A tensor in the GPU's memory."""

    cuda: Cuda
    buffer: Buffer
    shape: tuple[int, ...]
    dtype: str

    def numpy(self) -> Array:
        if self.dtype == "bfloat16":
            raise InputError("bfloat16 stays on the device: numpy does not have it")
        return self.cuda.download(self.buffer.address, self.shape, self.dtype)


class TensorRtBackend:
    """Builds plans where the cache has none, and runs them.

    progress, should_stop: of building, see `tensorrt_build`. waiting: called where another process builds the same.
    Raises InputError with the reason where there is no GPU, no TensorRT or no cuda-bindings.
    """

    name = "tensorrt"
    device = "cuda"

    def __init__(
        self,
        cache: PlanCache | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        waiting: Callable[[], None] | None = None,
        level: int = 3,
    ) -> None:
        gpu = find_gpu()  # first: parts of TensorRT crash where there is none
        if isinstance(gpu, str):
            raise InputError(f"TensorRT needs a CUDA GPU: {gpu}")
        try:
            import tensorrt
        except ImportError as error:
            raise InputError(
                f"tensorrt cannot be loaded ({error}); docs/engines.md says how to get it"
            ) from error
        self._trt: Any = tensorrt
        self._gpu = gpu
        self._builder = f"tensorrt {tensorrt.__version__}"
        self._cache = cache or PlanCache()
        self._options = {"level": str(level)}
        self._level, self._progress, self._should_stop, self._waiting = level, progress, should_stop, waiting
        self._log = tensorrt.Logger(tensorrt.Logger.WARNING)
        self._runtime = tensorrt.Runtime(self._log)
        self._shared = Shared(Cuda())

    def plan(self, spec: GraphSpec) -> Path:
        """The graph's plan, built where the cache has none. Raises InputError, or Cancelled from building."""
        key = PlanKey.of(spec, self._builder, str(self._gpu), self._options)
        timing = self._cache.timing_file(self._builder, str(self._gpu))

        def build() -> memoryview:
            return build_plan(spec, self._trt, timing, self._progress, self._should_stop, self._level)

        return self._cache.get(key, build, self._waiting)

    def load(self, spec: GraphSpec) -> TensorRtEngine:
        """The graph's engine. Raises InputError where the graph or its plan cannot be used."""
        path = self.plan(spec)
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise InputError(
                f"{path}: TensorRT refuses the plan; `sam3d engines prune --all` and build again"
            )
        types = {self._trt.DataType.FLOAT: "float32", self._trt.DataType.HALF: "float16",
                 self._trt.DataType.BF16: "bfloat16", self._trt.DataType.INT64: "int64",
                 self._trt.DataType.INT32: "int32", self._trt.DataType.INT8: "int8",
                 self._trt.DataType.UINT8: "uint8", self._trt.DataType.BOOL: "bool"}  # fmt: skip
        inputs: dict[str, str] = {}
        outputs: dict[str, str] = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            is_input = engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
            (inputs if is_input else outputs)[name] = types[engine.get_tensor_dtype(name)]
        check_interface(spec, inputs, outputs, str(path))
        # The activations of all engines lie in the same memory: they run one after the other.
        context = engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise EngineError(f"{spec.name}: no memory for TensorRT's context")
        with self._shared.lock:
            self._shared.need(engine.device_memory_size_v2)
        return TensorRtEngine(spec, context, self._shared)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> GpuHandle:
        """A tensor of zeros."""
        cuda = self._shared.cuda
        buffer = cuda.buffer(size_of(shape, dtype))
        cuda.clear(buffer)
        return GpuHandle(cuda, buffer, shape, dtype)


class Shared:
    """What the engines of a backend share: the stream, one piece of memory for activations, and who runs now."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.lock = threading.Lock()
        self.scratch = cuda.buffer(0)
        self.generation = 0

    def need(self, size: int) -> None:
        """At least so many bytes for activations. Captured graphs of before know an address that is gone."""
        if size > self.scratch.size:
            self.scratch = self.cuda.buffer(size)
            self.generation += 1


class TensorRtEngine:
    """An execution context. Calls from several threads run one after the other."""

    def __init__(self, spec: GraphSpec, context: Any, shared: Shared) -> None:
        self.spec = spec
        self._context = context
        self._shared = shared
        self._cuda = shared.cuda
        self._recorded: Steps | None = None
        self._sizes_before: tuple[Any, ...] = ()

    def __call__(self, inputs: Mapping[str, Value], keep: Collection[str] = ()) -> dict[str, Value]:
        check_keep(self.spec, keep)
        profile = profile_of(self.spec, self.spec.bind(inputs))
        with self._shared.lock:
            given = {name: self._on_device(name, value) for name, value in inputs.items()}
            self._prepare(profile, {name: handle.shape for name, handle in given.items()})
            results = {tensor.name: self._empty(tensor.name, tensor.dtype) for tensor in self.spec.outputs}
            self._enqueue({n: h.buffer.address for n, h in (given | results).items()})
            return {n: h if n in keep else h.numpy() for n, h in results.items()}

    def iterate(
        self, state: Mapping[str, Value], stepwise: Mapping[str, Array], constants: Mapping[str, Value]
    ) -> dict[str, Array]:
        """All steps as one CUDA graph, where the sizes are those of the call before; capturing others does not pay."""
        steps = len(next(iter(stepwise.values())))
        first = {**state, **{n: v[0] for n, v in stepwise.items()}, **constants}
        sizes = self.spec.bind(first)
        with self._shared.lock:
            key = (steps, tuple(sorted(sizes.items())), self._shared.generation)
            again, self._sizes_before = key == self._sizes_before, key
            if again and (self._recorded is None or self._recorded.key != key):
                self._recorded = None  # before the new buffers are made: two sets may not fit
                self._prepare(profile_of(self.spec, sizes), {n: tuple(v.shape) for n, v in first.items()})
                self._recorded = self._record(key, {**state, **constants}, stepwise, tuple(state))
            if again and (recorded := self._recorded) is not None:
                self._fill(recorded.inputs, {**state, **constants}, recorded.stepwise, stepwise)
                self._cuda.launch(recorded.graph)
                return {name: recorded.results[name].numpy() for name in state}
        return iterate_plainly(self, state, stepwise, constants)

    def _fill(
        self,
        inputs: Mapping[str, GpuHandle],
        values: Mapping[str, Value],
        tables: Mapping[str, list[Buffer]],
        stepwise: Mapping[str, Array],
    ) -> None:
        """Copy a call's values into the buffers of a recorded sampling."""
        for name, value in values.items():
            given = self._on_device(name, value).buffer
            self._cuda.copy(inputs[name].buffer.address, given.address, given.size)
        for name, steps in stepwise.items():
            for buffer, values_now in zip(tables[name], steps, strict=True):
                self._cuda.upload(buffer.address, np.ascontiguousarray(values_now))

    def _record(
        self,
        key: tuple[Any, ...],
        values: Mapping[str, Value],
        stepwise: Mapping[str, Array],
        state: tuple[str, ...],
    ) -> Steps:
        """Fixed buffers for every tensor, and the graph of all steps on them: the state goes to and fro between two."""
        count: int = key[0]
        first = {**values, **{n: v[0] for n, v in stepwise.items()}}
        inputs = {t.name: self._handle(tuple(first[t.name].shape), t.dtype) for t in self.spec.inputs}
        outputs = {t.name: self._empty(t.name, t.dtype) for t in self.spec.outputs}
        # A buffer per step: TensorRT wants addresses that are multiples of 256.
        tables = {n: [self._cuda.buffer(inputs[n].buffer.size) for _ in range(count)] for n in stepwise}

        def addresses(step: int) -> dict[str, int]:
            at = {n: h.buffer.address for n, h in (inputs | outputs).items()}
            for name in stepwise:
                at[name] = tables[name][step].address
            if step % 2:
                for name in state:
                    at[name], at[f"{name}_next"] = at[f"{name}_next"], at[name]
            return at

        def enqueue() -> None:
            for step in range(count):
                self._enqueue(addresses(step))

        # TensorRT wants one run at these sizes before a capture; on true values, since index tables must be in range.
        self._fill(inputs, values, tables, stepwise)
        self._enqueue(addresses(0))
        self._cuda.wait()
        # After an even number of steps the state is back where it began.
        last = inputs if count % 2 == 0 else {name: outputs[f"{name}_next"] for name in state}
        results = {name: last[name] for name in state}
        return Steps(key, self._cuda.capture(enqueue), inputs, outputs, tables, results)

    def _prepare(self, profile: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Profile, activations' memory and input shapes of the next run."""
        context, shared = self._context, self._shared
        if self.spec.profiles and context.active_optimization_profile != profile:
            context.set_optimization_profile_async(profile, shared.cuda.stream)
        context.set_device_memory(shared.scratch.address, shared.scratch.size)
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"{self.spec.name}: TensorRT refuses {name} with shape {list(shape)}")

    def _enqueue(self, addresses: Mapping[str, int]) -> None:
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EngineError(f"{self.spec.name}: TensorRT could not run it; its log says why")

    def _on_device(self, name: str, value: Value) -> GpuHandle:
        if isinstance(value, GpuHandle):
            return value
        if isinstance(value, Handle) and not isinstance(value, np.ndarray):
            raise InputError(f"{self.spec.name}: {name} is a handle of another backend")
        array = np.ascontiguousarray(value)
        handle = self._handle(array.shape, str(array.dtype))
        self._cuda.upload(handle.buffer.address, array)
        return handle

    def _empty(self, name: str, dtype: str) -> GpuHandle:
        """Memory for an output at the shapes of `_prepare`."""
        return self._handle(tuple(self._context.get_tensor_shape(name)), dtype)

    def _handle(self, shape: tuple[int, ...], dtype: str) -> GpuHandle:
        return GpuHandle(self._cuda, self._cuda.buffer(size_of(shape, dtype)), shape, dtype)


@dataclass(frozen=True)
class Steps:
    """A captured sampling: its graph, and the buffers that the graph reads and writes. The graph holds their
    addresses, so they live as long as it. key: number of steps, sizes, generation of the activations' memory."""

    key: tuple[Any, ...]
    graph: Any
    inputs: Mapping[str, GpuHandle]
    outputs: Mapping[str, GpuHandle]
    stepwise: Mapping[str, list[Buffer]]
    results: Mapping[str, GpuHandle]


def size_of(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of a tensor."""
    return int(np.prod(shape, dtype=np.int64)) * ITEM[dtype]


def profile_of(spec: GraphSpec, sizes: Mapping[str, int]) -> int:
    """The narrowest profile that holds the sizes; 0 where the graph has none. Raises InputError where none does."""
    if not spec.symbols:
        return 0

    def fits(range_of: Profile) -> bool:
        return all(low <= sizes[name] <= high for name, (low, _, high) in range_of.items())

    def width(index: int) -> tuple[int, ...]:
        return tuple(high for _, _, high in spec.profiles[index].values())

    fitting = [i for i, given in enumerate(spec.profiles) if fits(given)]
    if not fitting:
        asked = ", ".join(f"{k} = {v}" for k, v in sizes.items())
        raise InputError(f"{spec.name}: no profile for {asked}; there are {[dict(p) for p in spec.profiles]}")
    return min(fitting, key=width)
