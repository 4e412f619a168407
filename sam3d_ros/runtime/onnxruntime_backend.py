"""ONNX Runtime: runs every fp32 graph on any CPU, and on CUDA where the package for it is installed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sam3d_ros.types import InputError

from .backend import Array, EngineError, Handle, Value, check_interface, check_keep, iterate_plainly
from .spec import GraphSpec

if TYPE_CHECKING:
    import onnxruntime

TYPES = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16", "int64": "int64", "int32": "int32",
         "int8": "int8", "uint8": "uint8", "bool": "bool"}  # fmt: skip

BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


@dataclass(frozen=True)
class OrtHandle:
    """A tensor in ONNX Runtime's memory."""

    value: onnxruntime.OrtValue

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape())

    @property
    def dtype(self) -> str:
        return _dtype(self.value.data_type())

    def numpy(self) -> Array:
        if self.dtype == "bfloat16":
            raise InputError("bfloat16 stays on the device: numpy does not have it")
        return np.asarray(self.value.numpy())


class OnnxRuntimeEngine:
    """A session. Several threads may call it at once."""

    def __init__(self, spec: GraphSpec, session: onnxruntime.InferenceSession, device: str) -> None:
        self.spec = spec
        self._session = session
        self._device = device

    def __call__(self, inputs: Mapping[str, Value], keep: Collection[str] = ()) -> dict[str, Value]:
        check_keep(self.spec, keep)
        self.spec.bind(inputs)
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, self._value(name, value))
        for tensor in self.spec.outputs:
            binding.bind_output(tensor.name, self._device if tensor.name in keep else "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise EngineError(f"{self.spec.name}: ONNX Runtime: {error}") from error
        handles = {
            t.name: OrtHandle(value)
            for t, value in zip(self.spec.outputs, binding.get_outputs(), strict=True)
        }
        return {n: h if n in keep else h.numpy() for n, h in handles.items()}

    def iterate(
        self, state: Mapping[str, Value], stepwise: Mapping[str, Array], constants: Mapping[str, Value]
    ) -> dict[str, Array]:
        return iterate_plainly(self, state, stepwise, constants)

    def _value(self, name: str, value: Value) -> onnxruntime.OrtValue:
        import onnxruntime

        if isinstance(value, OrtHandle):
            return value.value
        if isinstance(value, Handle) and not isinstance(value, np.ndarray):
            raise InputError(f"{self.spec.name}: {name} is a handle of another backend")
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value))


class OnnxRuntimeBackend:
    """Loads graphs into ONNX Runtime.

    threads: of one session, 0 for one per physical core. device: "cpu", or "cuda" with onnxruntime-gpu.
    Raises InputError where onnxruntime, or its CUDA provider, is not installed.
    """

    name = "onnxruntime"

    def __init__(self, threads: int = 0, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"onnxruntime cannot be loaded ({error}): pip install onnxruntime") from error
        if threads < 0:
            raise InputError(f"threads must be 0 (one per core) or more, not {threads}")
        if device not in ("cpu", "cuda"):
            raise InputError(f"device {device!r} is not cpu or cuda")
        known = onnxruntime.get_available_providers()
        if device == "cuda" and "CUDAExecutionProvider" not in known:
            raise InputError(f"this onnxruntime has no CUDA provider, only {', '.join(known)}")
        self.device = device
        self.threads = threads

    def load(self, spec: GraphSpec) -> OnnxRuntimeEngine:
        """A session for the graph. Raises InputError where files, names or dtypes are not those of the spec."""
        import onnxruntime

        path = spec.verify()
        providers = ["CPUExecutionProvider"]
        if self.device == "cuda":
            providers.insert(0, "CUDAExecutionProvider")
        try:
            session = onnxruntime.InferenceSession(path, self._options(), providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise InputError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        if self.device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
            raise InputError(
                "ONNX Runtime could not start its CUDA provider; is the CUDA it was built for there?"
            )
        inputs = {i.name: _dtype(i.type) for i in session.get_inputs()}
        outputs = {o.name: _dtype(o.type) for o in session.get_outputs()}
        check_interface(spec, inputs, outputs, str(path))
        return OnnxRuntimeEngine(spec, session, self.device)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> OrtHandle:
        """A tensor of zeros; bfloat16 is two zero bytes, which is what its zero is made of."""
        import onnxruntime

        if dtype == "bfloat16":
            bits = np.zeros(shape, np.uint16)
            return OrtHandle(onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16))
        return OrtHandle(onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype)))

    def _options(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Waiting threads sleep. By default they spin, which takes the cores from everything else on a robot.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        return options


def _dtype(kind: str) -> str:
    """numpy's name for ONNX Runtime's "tensor(float)"; the kind itself where it is none we know."""
    return TYPES.get(kind.removeprefix("tensor(").removesuffix(")"), kind)
