"""Stand-ins for `cuda.bindings.runtime` and `tensorrt` that run on a CPU, record every call, and refuse misuse.

The device is ordinary memory that the host may not touch but through copies; work is queued on a stream and done when
somebody waits for it, so that code which forgets to wait reads old bytes. The "plan" is the ONNX file, run by ONNX
Runtime. Names and signatures are compared with NVIDIA's own by test_trt_contract.py.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import types
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import onnx
import pytest

from codriver.arrays import Arrays
from codriver.engines.base import GraphFiles, Signature, Tensor
from codriver.engines.ort import OrtEngine
from codriver.engines.trt.build import NUMPY_NAMES

DTYPES = {onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.UINT8: "UINT8"}
PLAN = b"plan of "
Op = Callable[[], None]


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureInvalidated = 901


class _Stream:
    def __init__(self, handle: int) -> None:
        self.number = handle
        self.queue: list[Op] = []
        self.recording: list[Op] | None = None

    def __int__(self) -> int:
        return self.number

    def add(self, op: Op) -> None:
        (self.queue if self.recording is None else self.recording).append(op)


class Cudart(types.ModuleType):
    """`cuda.bindings.runtime`: every function returns the error and then its results."""

    cudaStreamNonBlocking = 1
    cudaHostAllocDefault = 0
    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.calls: list[str] = []
        self.fails: dict[str, Error] = {}
        self.devices = 1
        self.memory: dict[int, tuple[str, Any]] = {}  # what is allocated: host or device, by address
        self.streams: dict[int, _Stream] = {}
        self.graphs: list[list[Op]] = []
        self.current: dict[int, int] = {}  # device by thread

    def _done(self, name: str, *results: Any) -> tuple[Any, ...]:
        self.calls.append(name)
        return (self.fails.get(name, Error.cudaSuccess), *results)

    def _allocate(self, kind: str, size: int) -> int:
        memory = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(memory)] = (kind, memory)
        return ctypes.addressof(memory)

    def _free(self, name: str, kind: str, address: int) -> tuple[Any, ...]:
        busy = any(stream.queue for stream in self.streams.values())
        if self.memory.get(address, ("", None))[0] != kind or busy:
            return (Error.cudaErrorInvalidValue,)
        del self.memory[address]
        return self._done(name)

    def array(self, address: int, kind: str) -> np.ndarray[Any, Any]:
        """The bytes at an address, if they are of this kind."""
        found, memory = self.memory[address]
        assert found == kind, f"{address:x} is memory of the {found}, expected {kind}"
        return np.ctypeslib.as_array(memory)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return self._done("cudaGetDeviceCount", self.devices)

    def cudaGetDevice(self) -> tuple[Any, ...]:
        return self._done("cudaGetDevice", self.current.get(threading.get_ident(), 0))

    def cudaSetDevice(self, device: int) -> tuple[Any, ...]:
        self.current[threading.get_ident()] = device
        return self._done("cudaSetDevice")

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        facts = {"name": b"Orin\0\0", "major": 8, "minor": 7, "multiProcessorCount": 8}
        return self._done("cudaGetDeviceProperties", types.SimpleNamespace(**facts))

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return self._done("cudaDriverGetVersion", 12060)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        stream = _Stream(0x5000 + len(self.calls))
        self.streams[int(stream)] = stream
        return self._done("cudaStreamCreateWithFlags", stream)

    def cudaStreamDestroy(self, stream: _Stream) -> tuple[Any, ...]:
        del self.streams[int(stream)]
        return self._done("cudaStreamDestroy")

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        return self._done("cudaHostAlloc", self._allocate("host", size))

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if "cudaMalloc" in self.fails:
            return (self.fails["cudaMalloc"], None)
        return self._done("cudaMalloc", self._allocate("device", size))

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        return self._free("cudaFree", "device", devPtr)

    def cudaFreeHost(self, ptr: int) -> tuple[Any, ...]:
        return self._free("cudaFreeHost", "host", ptr)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: int, stream: _Stream) -> tuple[Any, ...]:
        to, of = ("device", "host") if kind == 1 else ("host", "device")
        target, source = self.array(dst, to), self.array(src, of)
        assert len(target) == len(source) == count

        def copy() -> None:
            target[:] = source

        stream.add(copy)
        return self._done("cudaMemcpyAsync")

    def cudaStreamSynchronize(self, stream: _Stream) -> tuple[Any, ...]:
        assert stream.recording is None, "waiting for a stream breaks its recording"
        while stream.queue:
            stream.queue.pop(0)()
        return self._done("cudaStreamSynchronize")

    def cudaStreamBeginCapture(self, stream: _Stream, mode: int) -> tuple[Any, ...]:
        assert not stream.queue, "recording begins on a stream that is still at work"
        stream.recording = []
        return self._done("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, stream: _Stream) -> tuple[Any, ...]:
        graph, stream.recording = stream.recording, None
        return self._done("cudaStreamEndCapture", graph)

    def cudaGraphInstantiate(self, graph: list[Op], flags: int) -> tuple[Any, ...]:
        self.graphs.append(executable := list(graph))
        return self._done("cudaGraphInstantiate", executable)

    def cudaGraphDestroy(self, graph: list[Op]) -> tuple[Any, ...]:
        return self._done("cudaGraphDestroy")

    def cudaGraphLaunch(self, graphExec: list[Op], stream: _Stream) -> tuple[Any, ...]:
        for op in graphExec:
            stream.add(op)
        return self._done("cudaGraphLaunch")

    def cudaGraphExecDestroy(self, graphExec: list[Op]) -> tuple[Any, ...]:
        self.graphs[:] = [graph for graph in self.graphs if graph is not graphExec]
        return self._done("cudaGraphExecDestroy")


class _Seen:
    """Notes which public attributes are used: test_trt_contract.py compares them with its list from the source."""

    seen: set[tuple[str, str]] = set()  # noqa: RUF012

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            _Seen.seen.add((type(self).__name__, name))
        return super().__getattribute__(name)


class ILogger(_Seen):
    ERROR, INTERNAL_ERROR, WARNING = "error", "internal error", "warning"


class IProgressMonitor(_Seen):
    pass


class DataType(_Seen):
    def __init__(self, name: str) -> None:
        self.name = name


class ITensor(_Seen):
    def __init__(self, info: Any) -> None:
        kind = info.type.tensor_type
        self.name = info.name
        self.dtype = DataType(DTYPES[kind.elem_type])
        self.shape = tuple(d.dim_value for d in kind.shape.dim)


class INetworkDefinition(_Seen):
    _model: onnx.ModelProto

    @property
    def num_inputs(self) -> int:
        return len(self._model.graph.input)

    @property
    def num_outputs(self) -> int:
        return len(self._model.graph.output)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._model.graph.input[index])

    def get_output(self, index: int) -> ITensor:
        return ITensor(self._model.graph.output[index])


class ParserError(_Seen):
    def desc(self) -> str:
        return "no ONNX model"


class OnnxParser(_Seen):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    num_errors = 1

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            self._network._model = onnx.load_from_string(model)
        except Exception:
            return False
        return True

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class IHostMemory(bytes):
    pass


class ITimingCache(_Seen):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._content)


class IBuilderConfig(_Seen):
    def __init__(self, events: list[str]) -> None:
        self._events, self._cache = events, None
        self._monitor: Any = None

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        return None if serialized_timing_cache == b"of another TensorRT" else ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache

    def set_flag(self, flag: str) -> None:
        self._events.append(f"flag {flag}")

    def set_memory_pool_limit(self, pool: str, pool_size: int) -> None:
        self._events.append(f"{pool} {pool_size}")

    progress_monitor = property(lambda self: self._monitor, lambda self, value: setattr(self, "_monitor", value))
    builder_optimization_level = 0
    profiling_verbosity = ""


class Runtime(_Seen):
    _trt: FakeTensorRT
    engine_host_code_allowed = True

    def __init__(self, logger: ILogger) -> None:
        pass

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        assert not self.engine_host_code_allowed
        self._trt.events.append("deserialize")
        return ICudaEngine(self._trt, serialized_engine) if serialized_engine.startswith(PLAN) else None


class ICudaEngine(_Seen):
    def __init__(self, trt: FakeTensorRT, plan: bytes) -> None:
        self._trt = trt
        graph = onnx.load_from_string(plan.removeprefix(PLAN)).graph
        self._io = [(ITensor(i), "input") for i in graph.input] + [(ITensor(o), "output") for o in graph.output]
        sides = [{t.name: _tensor(t) for t, side in self._io if side == which} for which in ("input", "output")]
        signature = Signature(inputs=sides[0], outputs=sides[1])
        self._signature = signature
        self._model = OrtEngine(GraphFiles(plan.removeprefix(PLAN)), signature, threads=1)

    @property
    def num_io_tensors(self) -> int:
        return len(self._io)

    def get_tensor_name(self, index: int) -> str:
        return self._io[index][0].name

    def get_tensor_mode(self, name: str) -> str:
        return next(side for tensor, side in self._io if tensor.name == name)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return next(tensor.shape for tensor, _ in self._io if tensor.name == name)

    def get_tensor_dtype(self, name: str) -> DataType:
        return next(tensor.dtype for tensor, _ in self._io if tensor.name == name)

    def create_execution_context(self) -> IExecutionContext | None:
        return None if self._trt.no_context else IExecutionContext(self)


def _tensor(tensor: ITensor) -> Tensor:
    return Tensor(NUMPY_NAMES[tensor.dtype.name], tensor.shape)


class IExecutionContext(_Seen):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._trt = engine, engine._trt
        self._thread = threading.get_ident()
        self._addresses: dict[str, int] = {}
        self._runs = 0
        self._trt.contexts.append(self)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._trt.events.append("address")
        self._addresses[name] = memory
        return memory in self._trt.cudart.memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        cudart, signature = self._trt.cudart, self._engine._signature
        stream = cudart.streams[stream_handle]
        assert threading.get_ident() == self._thread, "a context belongs to one thread"
        assert set(self._addresses) == {*signature.inputs, *signature.outputs}, "a tensor without an address"
        recording = stream.recording is not None
        self._trt.events.append("record" if recording else "run")
        if recording and (self._runs == 0 or self._trt.no_recording):
            return False  # kernels load at their first run, which a recording forbids
        self._runs += 1
        arrays = {name: self._array(name, tensor) for name, tensor in (signature.inputs | signature.outputs).items()}

        def compute() -> None:
            inputs: Arrays = {name: arrays[name].copy() for name in signature.inputs}
            for name, values in self._engine._model.infer(inputs).items():
                arrays[name][:] = values

        stream.add(compute)
        return True

    def _array(self, name: str, tensor: Tensor) -> Any:
        return self._trt.cudart.array(self._addresses[name], "device").view(tensor.dtype).reshape(tensor.shape)


class FakeTensorRT(types.ModuleType):
    """`tensorrt`, of a version, on the memory of a fake CUDA."""

    def __init__(self, version: str, cudart: Cudart) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.cudart = cudart
        self.events: list[str] = []
        self.contexts: list[IExecutionContext] = []
        self.no_context = self.no_recording = self.no_plan = False
        self.builds = 0
        self.on_step: Op = lambda: None
        self.ILogger, self.IProgressMonitor, self.OnnxParser = ILogger, IProgressMonitor, OnnxParser
        self.Runtime = type("Runtime", (Runtime,), {"_trt": self})
        self.Builder = type("Builder", (Builder,), {"_trt": self})
        self.NetworkDefinitionCreationFlag = types.SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = types.SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = types.SimpleNamespace(DETAILED="detailed")
        self.TensorIOMode = types.SimpleNamespace(INPUT="input", OUTPUT="output")
        new = tuple(map(int, version.split(".")[:2])) >= (10, 16)
        self.BuilderFlag = types.SimpleNamespace(**({"EDITABLE_TIMING_CACHE": "editable timing cache"} if new else {}))


class Builder(_Seen):
    _trt: FakeTensorRT

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        self._trt.events.append(f"network {flags}")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self._trt.events)

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        self._trt.builds += 1
        config._monitor.phase_start("build", None, 3)
        for step in range(3):
            self._trt.on_step()
            if not config._monitor.step_complete("build", step):
                return None
        config._monitor.phase_finish("build")
        if self._trt.no_plan:
            self._logger.log(ILogger.ERROR, "no implementation for node 7")
            return None
        config._cache._content += b"timed;"
        return IHostMemory(PLAN + network._model.SerializeToString())


def install(patch: pytest.MonkeyPatch, version: str = "10.16.2") -> FakeTensorRT:
    """Both in place of the real ones, as long as the patch lasts."""
    cudart = Cudart()
    trt = FakeTensorRT(version, cudart)
    cuda, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
    bindings.runtime = cudart  # type: ignore[attr-defined]
    for name, module in (("cuda", cuda), ("cuda.bindings", bindings), ("cuda.bindings.runtime", cudart)):
        patch.setitem(sys.modules, name, module)
    patch.setitem(sys.modules, "tensorrt", trt)
    return trt
