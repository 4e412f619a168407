"""Memory, copies, streams and captured graphs of CUDA, through NVIDIA's cuda-bindings. One GPU, one stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3d_ros.types import InputError

from .backend import EngineError


class Cuda:
    """The GPU's stream. Raises InputError where cuda-bindings is not installed."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise InputError(
                f"cuda-bindings cannot be loaded ({error}): pip install cuda-bindings"
            ) from error
        self._rt: Any = runtime
        self.stream = int(self._ask(runtime.cudaStreamCreate()))

    def buffer(self, size: int) -> Buffer:
        """Device memory, freed with the object, in the stream's order."""
        return Buffer(self, int(self._ask(self._rt.cudaMallocAsync(max(size, 1), self.stream))), size)

    def upload(self, target: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._ask(self._rt.cudaMemcpyAsync(target, array.ctypes.data, array.nbytes, kind, self.stream))

    def download(self, source: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Copy to the host; waits for everything that was enqueued before."""
        array = np.empty(shape, dtype)
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._ask(self._rt.cudaMemcpyAsync(array.ctypes.data, source, array.nbytes, kind, self.stream))
        self.wait()
        return array

    def clear(self, buffer: Buffer) -> None:
        """Fill with zero bytes."""
        self._ask(self._rt.cudaMemsetAsync(buffer.address, 0, buffer.size, self.stream))

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy on the device."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._ask(self._rt.cudaMemcpyAsync(target, source, size, kind, self.stream))

    def wait(self) -> None:
        """Until the stream is empty."""
        self._ask(self._rt.cudaStreamSynchronize(self.stream))

    def capture(self, enqueue: Callable[[], None]) -> CapturedGraph:
        """Record what `enqueue` puts into the stream as a graph; `launch` runs it."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._ask(self._rt.cudaStreamBeginCapture(self.stream, mode))
        try:
            enqueue()
        finally:
            graph = self._ask(self._rt.cudaStreamEndCapture(self.stream))
        return CapturedGraph(self._rt, self._ask(self._rt.cudaGraphInstantiate(graph, 0)))

    def launch(self, graph: CapturedGraph) -> None:
        """Run a captured graph in the stream."""
        self._ask(self._rt.cudaGraphLaunch(graph.executable, self.stream))

    def free(self, address: int) -> None:
        """Give memory back, in the stream's order."""
        self._rt.cudaFreeAsync(address, self.stream)

    def _ask(self, answer: tuple[Any, ...]) -> Any:
        """The result of a call; EngineError with CUDA's words where it failed."""
        error, *result = answer
        if error != self._rt.cudaError_t.cudaSuccess:
            said = self._rt.cudaGetErrorString(error)[1]
            raise EngineError(f"CUDA: {said.decode() if isinstance(said, bytes) else said}")
        return result[0] if result else None


class Buffer:
    """Device memory that is freed when nobody holds it."""

    def __init__(self, cuda: Cuda, address: int, size: int) -> None:
        self.address, self.size = address, size
        self._cuda = cuda

    def __del__(self) -> None:
        self._cuda.free(self.address)


class CapturedGraph:
    """A graph that can be launched; destroyed when nobody holds it."""

    def __init__(self, runtime: Any, executable: Any) -> None:
        self.executable = executable
        self._rt = runtime

    def __del__(self) -> None:
        self._rt.cudaGraphExecDestroy(self.executable)
