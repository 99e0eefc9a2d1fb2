"""ONNX Runtime's optimized graph, and its own profile of running it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from codriver.console import Progress
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
from quantize.rules.view import Node, Scope
from workshop.onnx_files.shapes import Shapes

# Operators that multiply and accumulate, standard or com.microsoft -> index of the weight (or right side).
CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "QLinearConv": 3, "ConvInteger": 1}
PRODUCTS = ["Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulInteger"]
PRODUCTS += ["MatMulIntegerToFloat", "DynamicQuantizeMatMul"]
INT8 = ["QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"]
INT8 += ["DynamicQuantizeMatMul"]
UNCOUNTED = ["Attention", "QAttention", "MultiHeadAttention", "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM", "Einsum"]
UNCOUNTED += ["MatMulNBits", "DeformConv", "QLinearConvTranspose"]
TYPES = {f"tensor({name})": np.dtype(name) for name in ("uint8", "int8", "int32", "int64", "bool", "uint16", "int16")}
TYPES |= {f"tensor({name})": np.dtype(name) for name in ("double", "float16")} | {"tensor(float)": np.dtype("float32")}


def executed(path: Path, shapes: Shapes, *, threads: int, runs: int) -> Executed:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendMissing("onnxruntime is not installed: pip install 'codriver[onnxruntime]'") from error
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        try:
            events = _profile(ort, path, optimized, shapes, threads, runs)
        except CodriverError:
            raise
        except Exception as error:  # its exceptions have no common root
            raise EngineError(f"ONNX Runtime {ort.__version__} refused {path}: {_line(error)}") from error
        nodes = {node.proto.name: node for node in Scope(onnx.load(optimized).graph).all_nodes()}
    layers = tuple(_layers(events, nodes, runs))
    return Executed(f"ONNX Runtime {ort.__version__}", predicted=False, layers=layers, threads=threads, runs=runs)


def _profile(ort: Any, path: Path, optimized: Path, shapes: Shapes, threads: int, runs: int) -> list[dict[str, Any]]:
    """Events of executed nodes. The first run is warm-up and not among them."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.optimized_model_filepath = str(optimized)
    options.enable_profiling = True
    options.profile_file_prefix = str(optimized.parent / "profile")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {value.name: value for value in session.get_inputs()}
    settled = shapes.settled({name: _sizes(value) for name, value in given.items()})
    inputs = {name: _example(value, settled[name]) for name, value in given.items()}
    with Progress("running", runs + 1) as progress:
        for _ in range(runs + 1):
            session.run(None, inputs)
            progress.step()
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    starts = [event["ts"] for event in events if event["name"] == "model_run"]
    first_end = sorted(starts)[1]
    return [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time") and e["ts"] >= first_end]


def _sizes(value: Any) -> list[int | None]:
    return [size if isinstance(size, int) and size > 0 else None for size in value.shape]


def _example(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if value.type not in TYPES:
        raise EngineError(f"input {value.name!r} is {value.type}; only tensors of numbers can be made up for a run")
    return example(shape, TYPES[value.type])


def _layers(events: list[dict[str, Any]], nodes: dict[str, Node], runs: int) -> Iterator[ExecutedLayer]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        grouped.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event)
    for name, some in grouped.items():
        kind = some[0]["args"]["op_name"]
        macs = None if kind in UNCOUNTED else sum(_macs(kind, e["args"], nodes.get(name)) for e in some) // runs
        yield ExecutedLayer(name, kind, macs, kind in INT8, median_ms([event["dur"] / 1000 for event in some], runs))


def _macs(kind: str, told: dict[str, Any], node: Node | None) -> int:
    """From the shapes that ran. Weights are not told once they are packed: the graph has them."""
    ran_in, ran_out = (_shapes(told[f"{side}_type_shape"]) for side in ("input", "output"))
    if kind in PRODUCTS:
        left = None if node is None else node.scope.dims(node.input(0))
        return product_macs(ran_in[0] if left is None else left, ran_out[0])
    if kind in CONVOLUTIONS or kind == "ConvTranspose":
        weight = None if node is None else node.scope.dims(node.input(CONVOLUTIONS.get(kind, 1)))
        if weight is None:
            weight = ran_in[CONVOLUTIONS.get(kind, 1)]  # computed, so not packed
        transposed = kind == "ConvTranspose"
        return transposed_macs(ran_in[0], weight) if transposed else convolution_macs(ran_out[0], weight, weight[0])
    return 0


def _shapes(told: list[dict[str, list[int]]]) -> list[list[int]]:
    return [shape for tensor in told for shape in tensor.values()]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
