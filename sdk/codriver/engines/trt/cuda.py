"""The little of CUDA that an engine needs: a stream, memory that both sides see, and a recorded sequence of calls.

Two ways to it, one set of methods: NVIDIA's cuda-bindings, and pycuda where that is what a device has. Both work on the
device's primary context, the one that TensorRT and torch use too. pycuda cannot record graphs, so it is the second
choice: it has no stream capture (read in 2026.1).

Not run on hardware yet: names and arguments are checked against the real cuda-bindings, order and lifetimes against a
recording stand-in (tests/sdk/engines/test_trt.py).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import EngineError

Call = tuple[Any, ...]  # what cuda-bindings returns: the error, then the results


@dataclass(frozen=True)
class Gpu:
    """The device that the current thread works on."""

    name: str
    compute_capability: str  # "8.7"
    multiprocessors: int  # that this power mode leaves on
    driver: str  # CUDA version that the driver offers, "12.6"


@dataclass(frozen=True, eq=False)
class Buffer:
    """The same bytes twice: pinned on the host, and on the device."""

    host: NDArray[np.uint8]
    device: int  # address
    owner: Any  # what has to live as long as the buffer


class CudaBindings:
    """Through `cuda.bindings.runtime`. Every method raises an EngineError if CUDA refuses."""

    records = True  # whether begin_recording and what follows from it are there

    def __init__(self) -> None:
        from cuda.bindings import runtime as cudart

        self._cudart = cudart
        (count,) = self._check(cudart.cudaGetDeviceCount())
        if not count:
            raise _no_gpu("none is visible")
        (self._device,) = self._check(cudart.cudaGetDevice())

    def attach(self) -> None:
        """Make the device current in this thread. Once per thread, before anything else."""
        self._check(self._cudart.cudaSetDevice(self._device))

    def gpu(self) -> Gpu:
        (properties,) = self._check(self._cudart.cudaGetDeviceProperties(self._device))
        (version,) = self._check(self._cudart.cudaDriverGetVersion())
        return Gpu(
            name=properties.name.decode(errors="replace").rstrip("\0"),
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=properties.multiProcessorCount,
            driver=f"{version // 1000}.{version % 1000 // 10}",
        )

    def new_stream(self) -> Any:
        cudart = self._cudart
        # Not tied to the default stream: what another library does there must not hold us up, nor break a recording.
        (stream,) = self._check(cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        return stream

    def handle(self, stream: Any) -> int:
        return int(stream)

    def new_buffer(self, size: int) -> Buffer:
        cudart = self._cudart
        (host,) = self._check(cudart.cudaHostAlloc(size, cudart.cudaHostAllocDefault))
        try:
            (device,) = self._check(cudart.cudaMalloc(size))
        except EngineError:
            cudart.cudaFreeHost(host)
            raise
        memory = (ctypes.c_uint8 * size).from_address(int(host))
        return Buffer(np.ctypeslib.as_array(memory), int(device), int(host))

    def copy_in(self, buffer: Buffer, stream: Any) -> None:
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check(cudart.cudaMemcpyAsync(buffer.device, buffer.owner, buffer.host.nbytes, kind, stream))

    def copy_out(self, buffer: Buffer, stream: Any) -> None:
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check(cudart.cudaMemcpyAsync(buffer.owner, buffer.device, buffer.host.nbytes, kind, stream))

    def wait(self, stream: Any) -> None:
        self._check(self._cudart.cudaStreamSynchronize(stream))

    def begin_recording(self, stream: Any) -> None:
        cudart = self._cudart
        # Thread-local: other threads may allocate and copy while this one records.
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check(cudart.cudaStreamBeginCapture(stream, mode))

    def end_recording(self, stream: Any) -> Any:
        """What was asked of the stream since, as a graph that can be replayed."""
        cudart = self._cudart
        (graph,) = self._check(cudart.cudaStreamEndCapture(stream))
        try:
            (executable,) = self._check(cudart.cudaGraphInstantiate(graph, 0))
        finally:
            cudart.cudaGraphDestroy(graph)  # the executable does not need it
        return executable

    def replay(self, graph: Any, stream: Any) -> None:
        self._check(self._cudart.cudaGraphLaunch(graph, stream))

    def free_graph(self, graph: Any) -> None:
        self._check(self._cudart.cudaGraphExecDestroy(graph))

    def free_buffer(self, buffer: Buffer) -> None:
        self._check(self._cudart.cudaFree(buffer.device))
        self._check(self._cudart.cudaFreeHost(buffer.owner))

    def free_stream(self, stream: Any) -> None:
        self._check(self._cudart.cudaStreamDestroy(stream))

    def _check(self, returned: Call) -> Call:
        """The results without the error, which must be 0."""
        error, *results = returned
        if int(error) == 0:
            return tuple(results)
        if error.name in ("cudaErrorNoDevice", "cudaErrorInsufficientDriver"):
            raise _no_gpu(error.name)
        raise _failed(error.name)


def _no_gpu(why: str) -> EngineError:
    return EngineError(
        f"there is no NVIDIA GPU that CUDA can use ({why}); see whether nvidia-smi lists one with a driver as "
        "new as the CUDA libraries, and in a container, whether the GPU was passed in; or take a variant for the CPU"
    )


def _failed(what: str) -> EngineError:
    return EngineError(
        f"CUDA failed: {what}; after an error on the device, only a new process can use it: restart this one"
    )
