"""ONNX Runtime: on the CPU, and, where somebody asks for it by name, on an NVIDIA GPU through one of its providers.

The GPU providers are there to compare with, not to ship: they compile anew at each start, and ONNX Runtime's TensorRT
is weakly typed, so it may take FP16 for what our graph wants in FP32. Not run on hardware yet.
"""

from __future__ import annotations

import weakref
from typing import Any

from codriver.arrays import Arrays
from codriver.device.cpu import default_threads
from codriver.device.imports import load
from codriver.engines.base import GraphFiles, Signature, Tensor, check_tensors, describe
from codriver.engines.graphcheck.onnx import check_graph
from codriver.engines.in_place import Run, by_copy
from codriver.errors import BackendMissing, EngineError

CPU = "CPUExecutionProvider"
PROVIDERS = {  # by engine; what the first one leaves, the next one takes
    "onnxruntime": (CPU,),
    "onnxruntime-cuda": ("CUDAExecutionProvider",),
    "onnxruntime-tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}  # others keep ONNX Runtime's name


class OrtEngine:
    """One session. Safe to call from several threads; a Perceiver never does.

    name: one of PROVIDERS. threads: on the CPU; nothing to a GPU.
    """

    def __init__(
        self, graph: GraphFiles, signature: Signature, *, threads: int | None = None, name: str = "onnxruntime"
    ) -> None:
        self._session = _session(graph.model, threads or default_threads(), PROVIDERS[name])
        check_tensors("the graph's inputs", _tensors(self._session.get_inputs()), signature.inputs)
        check_tensors("the graph's outputs", _tensors(self._session.get_outputs()), signature.outputs)
        self._signature, self._on_gpu = signature, CPU not in PROVIDERS[name]
        self._outputs = list(signature.outputs)
        self._runs: weakref.WeakSet[_Run] = weakref.WeakSet()

    def infer(self, inputs: Arrays) -> Arrays:
        try:
            values = self.session.run(self._outputs, inputs)
        except Exception as error:  # its exceptions share no base class
            raise self.failed(error, inputs) from error
        return dict(zip(self._outputs, values, strict=True))

    def bind(self, inputs: Arrays, outputs: Arrays) -> Run:
        """See engines.in_place."""
        check_tensors("inputs given", describe(inputs), self._signature.inputs)
        check_tensors("outputs given", describe(outputs), self._signature.outputs)
        if not all(values.flags.c_contiguous for values in (*inputs.values(), *outputs.values())):
            raise EngineError("arrays to bind must lie in memory in one piece; give np.ascontiguousarray(values)")
        if self._on_gpu:  # its answers are there when it says so, which a bound run may not wait for; not run yet
            return by_copy(self, inputs, outputs)
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        for name, values in inputs.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(values))
        for name, values in outputs.items():
            binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(values))
        run = _Run(self, binding, inputs, outputs)
        self._runs.add(run)
        return run

    @property
    def session(self) -> Any:
        if self._session is None:
            raise EngineError("this engine is closed; open the bundle again")
        return self._session

    def failed(self, error: Exception, inputs: Arrays) -> EngineError:
        """What to say of an error that came of these inputs."""
        if isinstance(error, EngineError):
            return error
        check_tensors("inputs given", describe(inputs), self._signature.inputs)
        return EngineError(f"ONNX Runtime failed while running the graph: {error}")

    def close(self) -> None:
        for run in self._runs:
            run.binding = None
        self._session = None  # memory and threads go with the last reference


class _Run:
    """A session on arrays of its caller, which it keeps: ONNX Runtime 1.23 does not, and writes where they were."""

    def __init__(self, engine: OrtEngine, binding: Any, inputs: Arrays, outputs: Arrays) -> None:
        self.binding, self._engine = binding, engine
        self._inputs, self._outputs = dict(inputs), dict(outputs)

    def __call__(self) -> None:
        try:
            self._engine.session.run_with_iobinding(self.binding)
        except Exception as error:
            raise self._engine.failed(error, self._inputs) from error


def _session(graph: bytes, threads: int, wanted: tuple[str, ...]) -> Any:
    onnxruntime = load(
        "onnxruntime", "ONNX Runtime is not installed: pip install 'codriver[onnxruntime]'", "InferenceSession"
    )
    onnxruntime.disable_telemetry_events()  # for a program that imported it before codriver; see codriver.quiet
    check_graph(graph)  # before the runtime sees a byte
    _check_there(onnxruntime, wanted)
    try:
        # enable_fallback=0: else it goes on with other providers where one fails, and prints that (also while running)
        session = onnxruntime.InferenceSession(
            graph,
            _options(onnxruntime, threads, wanted),
            providers=[(name, _provider_options(name, graph)) for name in wanted],
            enable_fallback=0,
        )
    except Exception as error:
        hint = "" if CPU in wanted else f"; no part of it may run on the CPU here: {_WAY_OUT}"
        raise EngineError(f"ONNX Runtime {onnxruntime.__version__} refused the graph: {error}{hint}") from error
    took = [name for name in session.get_providers() if name != CPU or CPU in wanted]  # it always adds the CPU
    if took != list(wanted):
        raise EngineError(f"ONNX Runtime took {', '.join(took) or CPU}, expected {', '.join(wanted)}; {_WAY_OUT}")
    return session


_WAY_OUT = (
    "see whether nvidia-smi lists a GPU, and whether the CUDA, cuDNN and TensorRT that this onnxruntime-gpu was built "
    "for can be loaded; or take engine onnxruntime for the CPU"
)


def _check_there(onnxruntime: Any, wanted: tuple[str, ...]) -> None:
    """It would warn and go on without what it was not built with."""
    there = onnxruntime.get_available_providers()
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise BackendMissing(
            f"this ONNX Runtime {onnxruntime.__version__} was built without {', '.join(lacking)}, it has "
            f"{', '.join(there)}; pip uninstall onnxruntime, then pip install onnxruntime-gpu (not for Jetsons: "
            "engine tensorrt there), or take engine onnxruntime for the CPU"
        )


def _provider_options(name: str, graph: bytes) -> dict[str, str]:
    """TensorRT may use what the graph asks for. Its cache stays off: a plan from a file is code that nobody vouched
    for (reference/int8.md 2.4)."""
    if name != "TensorrtExecutionProvider":
        return {}
    return {
        "trt_int8_enable": str(int(b"QuantizeLinear" in graph)),  # without Q/DQ it would ask for a calibration table
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "0",
    }


def _options(onnxruntime: Any, threads: int, wanted: tuple[str, ...]) -> Any:
    """Low jitter before throughput (reference/int8.md 3.1)."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    # Encoder and fuser take turns: a pool that spins while it waits takes the cores from the other one.
    # Measured, both together with two threads on two busy cores: spinning 105 ms (91 ms of processor time),
    # stopped after each run 74 (53), never spinning 30 (33). With one thread there is no difference.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if CPU not in wanted:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # a part on the CPU is refused
    return options


def _tensors(arguments: Any) -> dict[str, Tensor]:
    return {a.name: Tensor(DTYPES.get(a.type, a.type), tuple(a.shape)) for a in arguments}
