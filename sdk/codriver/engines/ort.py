"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

from codriver.cpu import default_threads
from codriver.engines import Arrays, GraphFiles, Signature, Tensor, check_tensors, describe
from codriver.errors import BackendMissing, EngineError
from codriver.onnx_check import check_graph

PROVIDER = "CPUExecutionProvider"
DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}  # others keep ONNX Runtime's name


class OrtEngine:
    """One session. Safe to call from several threads; a Perceiver never does."""

    def __init__(self, graph: GraphFiles, signature: Signature, *, threads: int | None = None) -> None:
        self._session = _session(graph.model, threads or default_threads())
        check_tensors("the graph's inputs", _tensors(self._session.get_inputs()), signature.inputs)
        check_tensors("the graph's outputs", _tensors(self._session.get_outputs()), signature.outputs)
        self._inputs = signature.inputs
        self._outputs = list(signature.outputs)

    def infer(self, inputs: Arrays) -> Arrays:
        if self._session is None:
            raise EngineError("this engine is closed; open the bundle again")
        try:
            values = self._session.run(self._outputs, inputs)
        except Exception as error:  # its exceptions share no base class
            check_tensors("inputs given", describe(inputs), self._inputs)
            raise EngineError(f"ONNX Runtime failed while running the graph: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        self._session = None  # memory and threads go with the last reference


def _session(graph: bytes, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing("ONNX Runtime is not installed: pip install 'codriver[onnxruntime]'") from error
    onnxruntime.disable_telemetry_events()  # for a program that imported it before codriver; see codriver.quiet
    check_graph(graph)  # before the runtime sees a byte
    try:
        session = onnxruntime.InferenceSession(graph, _options(onnxruntime, threads), providers=[PROVIDER])
    except Exception as error:
        raise EngineError(f"ONNX Runtime {onnxruntime.__version__} refused the graph: {error}") from error
    if session.get_providers() != [PROVIDER]:
        raise EngineError(f"ONNX Runtime took {session.get_providers()}, expected {PROVIDER}; reinstall it")
    return session


def _options(onnxruntime: Any, threads: int) -> Any:
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
    return options


def _tensors(arguments: Any) -> dict[str, Tensor]:
    return {a.name: Tensor(DTYPES.get(a.type, a.type), tuple(a.shape)) for a in arguments}
