"""From ONNX to a TensorRT plan, on the device that will run it. TensorRT 10.3, 10.16 and 11.4 (reference/int8.md 2).

The network is strongly typed: INT8 is where the graph has Q/DQ, FP16 where its tensors are float16, and nothing is left
to the builder's taste. No precision flag is ever set, and TensorRT 11 has none.

Not run on hardware yet: names and arguments are checked against NVIDIA's bindings of all three versions, behaviour is
not, because TensorRT's libraries are not on the package indexes (tests/sdk/engines/test_trt_contract.py).
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from codriver.console import Progress
from codriver.device.imports import load
from codriver.device.jetson import is_jetson
from codriver.engines.base import Signature, Tensor, check_tensors
from codriver.errors import BackendMissing, EngineError

OLDEST, NEWEST = (10, 3), (12, 0)  # from the first, to before the second
NUMPY_NAMES = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT8": "int8", "INT32": "int32"}
ON_JETSON = (
    "on a Jetson it comes with JetPack: sudo apt install python3-libnvinfer, then a virtual environment with "
    "--system-site-packages"
)
ON_DESKTOP = "pip install 'codriver[tensorrt]'; its libraries come from NVIDIA's own package index"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What shapes a plan, beside the graph and the device. All of it is part of the plan's key in the store."""

    workspace_mb: int = 1024  # scratch memory that a kernel may ask for; 4 GB boards share theirs with the cameras
    optimization_level: int = 3  # 0..5, TensorRT's default is 3; higher searches longer


def import_tensorrt() -> Any:
    """The module, if it is there and of a version that this code is written for."""
    way_out = ON_JETSON if is_jetson() else ON_DESKTOP
    trt = load("tensorrt", f"TensorRT is not installed; {way_out}", "Builder")
    if not OLDEST <= release(trt) < NEWEST:
        raise BackendMissing(f"TensorRT {trt.__version__} came, expected 10.3 to 11; {way_out}")
    return trt


def release(trt: Any) -> tuple[int, int]:
    """(10, 16). Code that only some versions have stands behind `if release(trt) >= ...:`."""
    major, minor, *_ = trt.__version__.split(".")
    return int(major), int(minor)


def make_log(trt: Any) -> Any:
    """A logger that keeps the last complaints, for the message of the error that follows."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=3)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(msg)

        def told(self) -> str:
            return " | ".join(self.errors) or "TensorRT gave no reason"

    return Log()


def build_plan(
    trt: Any, model: bytes, signature: Signature, options: BuildOptions, timing_cache: bytes
) -> tuple[bytes, bytes]:
    """The plan, and what was measured on the way, for the next build. Minutes on a small board; Ctrl-C ends it.

    timing_cache: what an earlier build on this device gave, or b"".
    """
    log = make_log(trt)
    builder = trt.Builder(log)
    network = _parse(trt, builder, log, model)
    check_tensors("the graph's inputs", _tensors(network.get_input, network.num_inputs), signature.inputs)
    check_tensors("the graph's outputs", _tensors(network.get_output, network.num_outputs), signature.outputs)
    config = _config(trt, builder, options)
    _reuse_timings(config, timing_cache)
    with _watched(trt, config) as cancelled:
        plan = builder.build_serialized_network(network, config)
    if cancelled():
        raise KeyboardInterrupt
    if plan is None:
        raise EngineError(f"TensorRT {trt.__version__} built no engine: {log.told()}")
    cache = config.get_timing_cache()
    return bytes(plan), bytes(cache.serialize()) if cache is not None else b""


def _parse(trt: Any, builder: Any, log: Any, model: bytes) -> Any:
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        faults = [fault.desc() for fault in (parser.get_error(place) for place in range(parser.num_errors))]
        raise EngineError(f"TensorRT {trt.__version__} refused the graph: {'; '.join(faults) or log.told()}")
    return network


def _config(trt: Any, builder: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    config.builder_optimization_level = options.optimization_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that an audit can ask each layer for its types
    if release(trt) >= (10, 16):
        # The kernels that a cache names are taken again: a plan rebuilt on this device is the same plan.
        config.set_flag(trt.BuilderFlag.EDITABLE_TIMING_CACHE)
    return config


def _reuse_timings(config: Any, timing_cache: bytes) -> None:
    """A cache that TensorRT does not take costs time, nothing else."""
    for content in (timing_cache, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


@contextmanager
def _watched(trt: Any, config: Any) -> Iterator[Callable[[], bool]]:
    """Progress on the terminal, and Ctrl-C. Yields whether somebody asked to stop.

    The builder calls back from C++, through which no exception may pass: so the signal only leaves a note.
    """
    stop = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda number, frame: stop.set()) if main else None
    try:
        with Progress("TensorRT builds an engine", 0) as progress:
            config.progress_monitor = _make_monitor(trt, progress, stop)
            yield stop.is_set
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _make_monitor(trt: Any, progress: Progress, stop: threading.Event) -> Any:
    lock = threading.Lock()  # the builder may call from several threads

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with lock:
                progress.total = (progress.total or 0) + num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            with lock:
                progress.step()
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            """Its steps were counted one by one."""

    return Monitor()


def _tensors(at: Callable[[int], Any], count: int) -> dict[str, Tensor]:
    return {tensor.name: Tensor(numpy_name(tensor.dtype), tuple(tensor.shape)) for tensor in map(at, range(count))}


def numpy_name(dtype: Any) -> str:
    """TensorRT's name is kept where numpy has none."""
    return NUMPY_NAMES.get(dtype.name, str(dtype.name))
