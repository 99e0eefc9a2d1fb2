"""TensorRT on an NVIDIA GPU: the plan is built on this device, kept in the engine store, and replayed as a CUDA graph.

Not run on hardware yet. What is proven: every name, flag and argument exists in NVIDIA's bindings of TensorRT 10.3,
10.16 and 11.4 (tests/sdk/engines/test_trt_contract.py), and order, shapes, streams and lifetimes against a recording
stand-in (tests/sdk/engines/test_trt.py). What is not: that TensorRT takes the graphs, its numbers, its speed.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from codriver.arrays import Arrays
from codriver.device.jetson import driver_version, power_mode
from codriver.engines.base import GraphFiles, Signature, Tensor, check_tensors, describe
from codriver.engines.trt.build import BuildOptions, build_plan, import_tensorrt, make_log, numpy_name
from codriver.engines.trt.cuda import Buffer, CudaBindings, Gpu
from codriver.engines.trt.pycuda import PyCuda
from codriver.engines.trt.store import EngineStore
from codriver.errors import BackendMissing, EngineError
from codriver.files.atomic import sha256

Cuda = CudaBindings | PyCuda
_users_store = cache(EngineStore)  # one for all engines
WARM_UP_RUNS = 2  # kernels load at their first run, and loading is not allowed while a graph is recorded


class TrtEngine:
    """One plan; a context, stream and set of buffers for each thread that calls. Threads do not wait for one another.

    threads: of a CPU; nothing to a GPU, taken so that all engines open alike. store: None: the user's own.
    """

    def __init__(
        self,
        graph: GraphFiles,
        signature: Signature,
        *,
        threads: int | None = None,
        store: EngineStore | None = None,
        options: BuildOptions | None = None,
    ) -> None:
        if graph.weights:
            raise EngineError("TensorRT takes an ONNX file with its weights inside; build the bundle for this target")
        trt = import_tensorrt()
        self._cuda = open_cuda()
        self._signature = signature
        options = options or BuildOptions()
        plan = _plan(trt, self._cuda.gpu(), graph.model, signature, options, store or _users_store())
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._runtime.engine_host_code_allowed = False  # a plan may carry host code; ours has no need of it
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT {trt.__version__} cannot load what it built: {self._log.told()}")
        self._check_tensors(trt)
        self._lanes: dict[int, _Lane] = {}  # by thread
        self._lock = threading.Lock()
        self._closed = False

    def infer(self, inputs: Arrays) -> Arrays:
        check_tensors("inputs given", describe(inputs), self._signature.inputs)
        return self._lane().run(inputs)

    def close(self) -> None:
        """Closing twice is fine. No thread may be inside `infer`."""
        with self._lock:
            self._closed = True
            while self._lanes:
                self._lanes.popitem()[1].close()
            self._engine = None
            self._runtime = None  # after the engine: it must outlive what it made

    def _lane(self) -> _Lane:
        """This thread's. A new thread may find the lane of one that ended and had its number: it is free to take it."""
        thread = threading.get_ident()
        lane = self._lanes.get(thread)
        if lane is None:
            with self._lock:
                if self._closed:
                    raise EngineError("this engine is closed; open the bundle again")
                lane = self._lanes[thread] = _Lane(self._engine, self._cuda, self._signature)
        return lane

    def _check_tensors(self, trt: Any) -> None:
        engine, found = self._engine, (dict[str, Tensor](), dict[str, Tensor]())
        for place in range(engine.num_io_tensors):
            name = engine.get_tensor_name(place)
            side = found[engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
            side[name] = Tensor(numpy_name(engine.get_tensor_dtype(name)), tuple(engine.get_tensor_shape(name)))
        check_tensors("the engine's inputs", found[0], self._signature.inputs)
        check_tensors("the engine's outputs", found[1], self._signature.outputs)


class _Lane:
    """One thread's way through the engine: context, stream, buffers at fixed addresses, and the graph of one run."""

    def __init__(self, engine: Any, cuda: Cuda, signature: Signature) -> None:
        self._cuda = cuda
        self._signature = signature
        self._tensors = {**signature.inputs, **signature.outputs}
        self._views: Arrays = {}
        self._ready_for: tuple[Buffer, ...] = ()
        self._graph: Any = None
        cuda.attach()
        with ExitStack() as held:  # let go in the reverse order: graph, context, buffers, stream
            self._stream = cuda.new_stream()
            held.callback(cuda.free_stream, self._stream)
            self._buffers = {name: self._new_buffer(held, tensor) for name, tensor in self._tensors.items()}
            self._context = engine.create_execution_context()
            held.callback(self._drop_context)
            held.callback(self._drop_graph)
            if self._context is None:
                raise EngineError(
                    "TensorRT made no execution context: the GPU has no memory left; close other programs"
                )
            self._held = held.pop_all()

    def run(self, inputs: Arrays) -> Arrays:
        if self._ready_for != tuple(self._buffers.values()):
            self._prepare()
        for name in self._signature.inputs:
            np.copyto(self._views[name], inputs[name])
        if self._graph is None:
            self._enqueue()
        else:
            self._cuda.replay(self._graph, self._stream)
        self._cuda.wait(self._stream)
        return {name: self._views[name].copy() for name in self._signature.outputs}

    def close(self) -> None:
        self._held.close()

    def _prepare(self) -> None:
        """Addresses, warm-up, recording. Again whenever a buffer is another one: a graph holds its addresses."""
        self._drop_graph()
        for name, buffer in self._buffers.items():
            tensor = self._tensors[name]
            self._views[name] = buffer.host.view(tensor.dtype).reshape(tensor.shape)
            if not self._context.set_tensor_address(name, buffer.device):
                raise EngineError(f"TensorRT refused the address of {name}; the engine does not fit the manifest")
        for _ in range(WARM_UP_RUNS):
            self._enqueue()
        self._cuda.wait(self._stream)
        if self._cuda.records:
            self._record()
        self._ready_for = tuple(self._buffers.values())

    def _record(self) -> None:
        self._cuda.begin_recording(self._stream)
        try:
            self._enqueue()
        except EngineError as error:
            with suppress(EngineError):  # ends the recording, which is void
                self._cuda.free_graph(self._cuda.end_recording(self._stream))
            warnings.warn(f"runs without a CUDA graph, a little slower: {error}", RuntimeWarning, stacklevel=5)
        else:
            self._graph = self._cuda.end_recording(self._stream)

    def _enqueue(self) -> None:
        for name in self._signature.inputs:
            self._cuda.copy_in(self._buffers[name], self._stream)
        if not self._context.execute_async_v3(self._cuda.handle(self._stream)):
            raise EngineError("TensorRT failed while running the engine; restart this process")
        for name in self._signature.outputs:
            self._cuda.copy_out(self._buffers[name], self._stream)

    def _new_buffer(self, held: ExitStack, tensor: Tensor) -> Buffer:
        buffer = self._cuda.new_buffer(int(np.prod(tensor.shape)) * np.dtype(tensor.dtype).itemsize)
        held.callback(self._cuda.free_buffer, buffer)
        return buffer

    def _drop_context(self) -> None:
        self._context = None

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._cuda.free_graph(self._graph)
        self._graph = None


def _plan(trt: Any, gpu: Gpu, model: bytes, signature: Signature, options: BuildOptions, store: EngineStore) -> bytes:
    device = device_facts(trt, gpu)
    timings = {"kind": "timing cache", **device}

    def build() -> bytes:
        plan, measured = build_plan(trt, model, signature, options, store.get(timings) or b"")
        if measured:
            store.put(timings, measured)
        return plan

    choices = {name: str(value) for name, value in asdict(options).items()}
    return store.get_or_build({"kind": "plan", "graph": sha256(model), **device, **choices}, build)


def device_facts(trt: Any, gpu: Gpu) -> dict[str, str]:
    """All about this device that a plan depends on (reference/int8.md 2.4)."""
    return {
        "tensorrt": str(trt.__version__),
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "multiprocessors": str(gpu.multiprocessors),
        "cuda_driver": gpu.driver,
        "driver": driver_version() or "",
        "power_mode": power_mode() or "",
    }


def open_cuda() -> Cuda:
    """cuda-bindings, else pycuda. A BackendMissing says what to install, an EngineError that there is no GPU."""
    for make in (CudaBindings, PyCuda):
        try:
            return make()
        except ImportError:
            continue
    raise BackendMissing("neither cuda-bindings nor pycuda is installed: pip install cuda-bindings")
