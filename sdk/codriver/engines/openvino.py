"""OpenVINO on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from codriver.arrays import Arrays
from codriver.device.cpu import default_threads
from codriver.device.imports import load
from codriver.engines.base import GraphFiles, Signature, Tensor, check_tensors, describe
from codriver.engines.graphcheck.openvino import check_ir
from codriver.errors import EngineError

DEVICE = "CPU"


class OpenVinoEngine:
    """One compiled model with one request. One thread at a time may call it, as a Perceiver does."""

    def __init__(self, graph: GraphFiles, signature: Signature, *, threads: int | None = None) -> None:
        compiled = _compiled(graph, threads or default_threads())
        check_tensors("the graph's inputs", _tensors(compiled.inputs, signature.inputs), signature.inputs)
        check_tensors("the graph's outputs", _tensors(compiled.outputs, signature.outputs), signature.outputs)
        self._signature = signature
        self._places = {name: place for place, port in enumerate(compiled.outputs) for name in port.names}
        self._request: Any = compiled.create_infer_request()

    def infer(self, inputs: Arrays) -> Arrays:
        if self._request is None:
            raise EngineError("this engine is closed; open the bundle again")
        check_tensors("inputs given", describe(inputs), self._signature.inputs)  # OpenVINO would cast and reshape
        try:
            values = self._request.infer(inputs, share_inputs=True)
        except Exception as error:  # RuntimeError and TypeError, by version
            raise EngineError(f"OpenVINO failed while running the graph: {error}") from error
        return {name: values[self._places[name]] for name in self._signature.outputs}  # copies: outputs are not shared

    def close(self) -> None:
        self._request = None  # memory and threads go with the last reference


@functools.lru_cache(maxsize=1)
def shared_core() -> Any:
    """The process's one Core, which lives as long as the process.

    A Core that has compiled for the CPU gives the thread another signal stack, and puts the earlier one back when it
    goes. Two that go in the order in which they came leave the stack of one that is gone: the next signal, a Ctrl-C or
    a SIGTERM, kills the process with a segmentation fault (seen with 2026.4.1; DECISIONS.md).
    """
    import openvino

    return openvino.Core()


def _compiled(graph: GraphFiles, threads: int) -> Any:
    openvino = load("openvino", "OpenVINO is not installed: pip install 'codriver[openvino]'", "Core")
    if not graph.model.lstrip().startswith(b"<"):
        # It would read ONNX too, and compute wrong numbers from signed Q/DQ without a word (reference/int8.md 3.3).
        raise EngineError("OpenVINO refused the graph: it is no IR (XML and weights); build the bundle for OpenVINO")
    check_ir(graph.model, graph.weights)  # before the runtime sees a byte
    try:
        core = shared_core()
        compiled = core.compile_model(core.read_model(graph.model, graph.weights), DEVICE, _properties(threads))
    except Exception as error:  # RuntimeError mostly, but not by promise
        raise EngineError(f"OpenVINO {openvino.__version__} refused the graph: {_first_line(error)}") from error
    if compiled.get_property("EXECUTION_DEVICES") != [DEVICE]:
        raise EngineError(f"OpenVINO took {compiled.get_property('EXECUTION_DEVICES')}, expected {DEVICE}")
    return compiled


def _properties(threads: int) -> dict[str, str | int]:
    """Low jitter before throughput (reference/int8.md 3.3). Nothing is cached on the disk: no CACHE_DIR."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # else what is not INT8 runs in 16 bits wherever the processor can
    }


def _tensors(ports: Iterable[Any], wanted: Iterable[str]) -> dict[str, Tensor]:
    """By the name that the signature has for it: a port may have several."""
    named = {next((n for n in wanted if n in port.names), min(port.names, default="?")): port for port in ports}
    return {name: Tensor(str(port.element_type.to_dtype()), _shape(port)) for name, port in named.items()}


def _shape(port: Any) -> tuple[int, ...]:
    """-1 where a dimension is not fixed."""
    return tuple(d.get_length() if d.is_static else -1 for d in port.partial_shape)


def _first_line(error: Exception) -> str:
    """Its messages begin with places in its own source."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[0] if lines else str(error)
