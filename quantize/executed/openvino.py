"""OpenVINO's runtime model, and its own counters of running it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from codriver.console import Progress
from codriver.engines.openvino import shared_core
from codriver.errors import BackendMissing, CodriverError, EngineError
from quantize.executed.layers import (
    Executed,
    ExecutedLayer,
    convolution_macs,
    example,
    median_ms,
    product_macs,
    transposed_macs,
)
from workshop.onnx_files.shapes import Shapes

# Its layer types that multiply and accumulate, and those that do so in a way that is not counted here.
PRODUCTS = ("FullyConnected", "MatMul")
UNCOUNTED = ("MHA", "ScaledDotProductAttention", "RNNSeq", "RNNCell", "LSTMSequence", "DeformableConvolution")
NO_LAYERS = ("Const", "Input", "Output")
GROUPED = "Subgraph"  # generated code for several operators of the model, products among them


def executed(path: Path, shapes: Shapes, *, threads: int, runs: int) -> Executed:
    try:
        import openvino
    except ImportError as error:
        raise BackendMissing("OpenVINO is not installed: pip install 'codriver[openvino]'") from error
    core = shared_core()
    try:
        model = core.read_model(str(path))
        settled = shapes.settled({port.get_any_name(): _sizes(port) for port in model.inputs})
        model.reshape({port: list(settled[port.get_any_name()]) for port in model.inputs})
        settings: dict[str, object] = {"PERF_COUNT": True, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        settings |= {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(model, "CPU", settings)
        times = _times_ms(compiled, runs)
        wanted = _macs_of_model(model)
        layers = tuple(_layers(compiled.get_runtime_model(), times, runs, wanted))
    except CodriverError:
        raise
    except Exception as error:  # RuntimeError mostly, but not by promise
        raise EngineError(f"OpenVINO {openvino.__version__} refused {path}: {_line(error)}") from error
    version = openvino.__version__.split("-")[0]
    return Executed(f"OpenVINO {version}", predicted=False, layers=layers, threads=threads, runs=runs)


def _sizes(port: Any) -> list[int | None] | None:
    shape = port.partial_shape
    return [d.get_length() if d.is_static else None for d in shape] if shape.rank.is_static else None


def _times_ms(compiled: Any, runs: int) -> dict[str, list[float]]:
    """Layer -> its time in each run. The first run is warm-up."""
    request = compiled.create_infer_request()
    inputs = {
        index: example(list(port.shape), port.element_type.to_dtype()) for index, port in enumerate(compiled.inputs)
    }
    times: dict[str, list[float]] = {}
    with Progress("running", runs + 1) as progress:
        for run in range(runs + 1):
            request.infer(inputs)
            for info in request.get_profiling_info() if run else ():
                times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1000)
            progress.step()
    return times


def _macs_of_model(model: Any) -> dict[str, int]:
    """Operator of the model as it was read -> its multiply-accumulates."""
    found = {}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Convolution", "GroupConvolution", "MatMul") or kind.endswith("ConvolutionBackpropData"):
            left, right = (_dims(port) for port in node.inputs()[:2])
            output = _dims(node.outputs()[0])
            if kind == "MatMul":
                macs = product_macs(left, output)
            elif kind.startswith("Group"):  # weight (G, M / G, C / G, ...), or (G, C / G, M / G, ...) turned round
                spread = prod(right) // (right[0] * right[1])
                macs = prod(left if kind.endswith("Data") else output) * spread
            else:
                turned = kind.endswith("Data")
                macs = transposed_macs(left, right) if turned else convolution_macs(output, right, right[0])
            found[node.get_friendly_name()] = macs
    return found


def _layers(model: Any, times: dict[str, list[float]], runs: int, wanted: dict[str, int]) -> Iterator[ExecutedLayer]:
    """wanted: what must be found. What the runtime's model does not show is taken for floating point."""
    total = 0
    for node in model.get_ordered_ops():
        told = {key: str(getattr(value, "value", value)) for key, value in node.rt_info.items()}
        kind = told.get("layerType", node.get_type_name())
        if kind in NO_LAYERS:
            continue
        name = node.get_friendly_name()
        macs = None if kind in UNCOUNTED else _macs(kind, node)
        if kind == GROUPED:
            macs = sum(wanted.get(part, 0) for part in told.get("originalLayersNames", "").split(","))
        total += macs or 0
        int8 = told.get("runtimePrecision") in ("i8", "u8")
        yield ExecutedLayer(
            name, kind, macs, int8 and macs != 0, median_ms(times[name], runs) if name in times else None
        )
    if sum(wanted.values()) > total:
        yield ExecutedLayer("not shown by the runtime", "unknown", sum(wanted.values()) - total, False)


def _macs(kind: str, node: Any) -> int:
    if kind not in ("Convolution", "Deconvolution", *PRODUCTS):
        return 0
    left, right = (_dims(port) for port in node.inputs()[:2])
    output = _dims(node.outputs()[0])
    if kind in PRODUCTS:
        return product_macs(left, output)
    return transposed_macs(left, right) if kind == "Deconvolution" else convolution_macs(output, right, output[1])


def _dims(port: Any) -> list[int]:
    return [dimension.get_length() for dimension in port.get_partial_shape()]


def _line(error: Exception) -> str:
    """Its messages begin with places in its own source; the reason comes last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
