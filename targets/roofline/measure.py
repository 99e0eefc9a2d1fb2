"""What this machine can do, by ONNX Runtime itself: micro-benchmarks for a profile of its own, and graphs timed.

With one thread it is the thread's processor time that counts, so that what else runs on the machine hardly matters;
with more it is the clock on the wall. Each figure is the best of several repetitions: a floor is compared with it.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from codriver.console import Progress
from codriver.device.cpu import cpu_features
from codriver.device.machine import describe_machine, runtime_version
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles, Signature, Tensor
from codriver.errors import SourceError

CONVOLUTIONS = ((32, 56, 4), (64, 28, 4), (128, 14, 4))  # channels, side in pixels, batch: as in an encoder
# One where products weigh most, one where values written do, one where pixels laid out do; and the kernel's side.
INT8_CONVOLUTIONS = (((64, 28, 4), 3), ((16, 64, 3), 1), ((4, 64, 3), 3))
DEPTH = 4  # convolutions in a row, so that what is done once a run weighs little
ELEMENTS = 1_000_000  # of an addition: 12 MB move, as much as a large layer, and some caches hold that
SLOTS = (1, 16, 5_000)  # of which a maximum over 16 is taken: a map's memory in a fuser
NODES = 200  # of a chain of convolutions that compute next to nothing
REPEATS, TOTAL_S, ROUNDS = 10, 0.2, 4  # repetitions and time of each in a round, at least

TEMPLATE = """\
# Measured by `python -m targets.estimate --measure` on {cpu}, {threads} thread(s), ONNX Runtime {version}.
title = "{cpu}, {threads} thread(s)"
kind = "cpu"
variants = [{variants}]
other_precision = "fp32"
memory_gb = {memory_gb:.1f}
bandwidth_gb_per_s = {bandwidth_gb_per_s:.1f}
cores = {threads}
int8_dense_tops = {int8_dense_tops:.4f}
fp16_dense_tflops = {fp32_tflops:.4f}
fp32_tflops = {fp32_tflops:.4f}
launch_us = {launch_us:.2f}
recode_ns = {recode_ns:.3f}
gather_ns = {gather_ns:.3f}
maximum_ns = {maximum_ns:.3f}
latency_budget_ms = 100
memory_budget_mb = 1000

# Points of accuracy that INT8 may lose on each task: ours, to be tightened for a product.
[accuracy_budget_points]
driver_emotion = 2.0
driver_behavior = 2.0
traffic_context = 2.0
vehicle_behavior = 2.0

[source]
int8_dense_tops = "measured: products of 3x3 convolutions in INT8, 7-bit weights"
fp16_dense_tflops = "as FP32"
fp32_tflops = "measured: 3x3 convolutions in FP32, best of three shapes"
bandwidth_gb_per_s = "measured: addition of two tensors of 4 MB, which a large cache may hold"
launch_us = "measured: a node of a chain of convolutions that compute next to nothing"
"""


def measured_profile(threads: int) -> str:
    """The text of this machine's profile; takes some ten seconds on an idle machine."""
    fp32 = [convolutions(*shape, int8=False) for shape in CONVOLUTIONS]
    int8 = [convolutions(*shape, int8=True, kernel=kernel) for shape, kernel in INT8_CONVOLUTIONS]
    rest = [maximum(SLOTS), additions(ELEMENTS), convolutions(8, 2, 1, int8=False, kernel=1, depth=NODES)]
    took_s = best_of_rounds([*fp32, *int8, *rest], threads)
    products_s, recode_s, gather_s = _parts(took_s[len(fp32) : -len(rest)])
    maximum_s, addition_s, chain_s = took_s[-len(rest) :]
    rates = {
        "fp32_tflops": max(2 * _work(*shape)[0] / s for shape, s in zip(CONVOLUTIONS, took_s, strict=False)) / 1e12,
        "int8_dense_tops": 2 / products_s / 1e12,
        "recode_ns": recode_s * 1e9,
        "gather_ns": gather_s * 1e9,
        "maximum_ns": maximum_s / math.prod(SLOTS) * 1e9,
        "bandwidth_gb_per_s": 3 * 4 * ELEMENTS / addition_s / 1e9,
        "launch_us": chain_s / NODES * 1e6,
    }
    features = cpu_features()
    dialects = ["ort-arm"] if "arm" in features else ["ort-x86"] * ("vnni" in features) + ["ort-x86-7bit"]
    return TEMPLATE.format(
        cpu=describe_machine()["cpu"],
        threads=threads,
        version=runtime_version("onnxruntime"),
        variants=", ".join(f'{{ dialect = "{dialect}", engine = "onnxruntime" }}' for dialect in dialects),
        memory_gb=_memory_gb(),
        **rates,
    )


def _work(channels: int, side_px: int, batch: int, kernel: int = 3) -> tuple[int, int, int]:
    """Multiply-accumulates, values written and pixels laid out by `convolutions`."""
    pixels = DEPTH * batch * side_px**2
    return pixels * channels**2 * kernel**2, pixels * channels, pixels * kernel**2 if kernel > 1 else 0


def _parts(took_s: Sequence[float]) -> tuple[float, float, float]:
    """Seconds for a multiply-accumulate, a value written and a pixel laid out: three times, three unknowns.

    A part that noise has made negative is nothing, and products take at most all of the first time.
    """
    work = np.array([_work(*shape, kernel=kernel) for shape, kernel in INT8_CONVOLUTIONS], float)
    products_s, recode_s, gather_s = np.linalg.solve(work, np.array(took_s))
    whole_s = took_s[0] / work[0, 0]
    return float(np.clip(products_s, whole_s / 2, whole_s)), max(0.0, float(recode_s)), max(0.0, float(gather_s))


def _memory_gb() -> float:
    try:
        kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(
            f"{platform.system()} does not say how much memory it has; write a profile by hand"
        ) from error
    return kilobytes / 1e6


def best_of_rounds(models: Sequence[onnx.ModelProto], threads: int) -> list[float]:
    """Seconds that one run of each graph takes; in turns, so that a busy spell meets them all."""
    best = [float("inf")] * len(models)
    with Progress("measure", total=ROUNDS * len(models)) as progress:
        for _ in range(ROUNDS):
            for at, model in enumerate(models):
                best[at] = min(best[at], best_s(model, threads))
                progress.step()
    return best


def best_s(model: onnx.ModelProto, threads: int) -> float:
    """Seconds that one run of a graph takes, on random inputs."""
    inputs, outputs = (_tensors(side) for side in (model.graph.input, model.graph.output))
    values = {name: _random(tensor) for name, tensor in inputs.items()}
    clock: Callable[[], float] = time.thread_time if threads == 1 else time.perf_counter
    graph = GraphFiles(model.SerializeToString())
    engine = open_engine("onnxruntime", graph, Signature(inputs=inputs, outputs=outputs), threads=threads)
    try:
        engine.infer(values)  # the first run allocates
        took_s: list[float] = []
        while len(took_s) < REPEATS or sum(took_s) < TOTAL_S:
            began = clock()
            engine.infer(values)
            took_s.append(clock() - began)
    finally:
        engine.close()
    return min(took_s)


def _random(tensor: Tensor) -> NDArray[Any]:
    values = np.random.default_rng(0).random(tensor.shape)
    return (values * (255 if tensor.dtype == "uint8" else 1)).astype(tensor.dtype)


def _tensors(values: Sequence[onnx.ValueInfoProto]) -> Mapping[str, Tensor]:
    found = {}
    for value in values:
        kind = value.type.tensor_type
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        found[value.name] = Tensor(dtype, tuple(dim.dim_value for dim in kind.shape.dim))
    return found


def additions(elements: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["x", "y"], ["sum"])]
    return _model(nodes, {"x": (elements,), "y": (elements,)}, {"sum": (elements,)}, {})


def maximum(shape: tuple[int, int, int]) -> onnx.ModelProto:
    nodes = [helper.make_node("ReduceMax", ["x"], ["most"], axes=[1])]
    return _model(nodes, {"x": shape}, {"most": (shape[0], 1, shape[2])}, {})


def convolutions(
    channels: int, side_px: int, batch: int, int8: bool, kernel: int = 3, depth: int = DEPTH
) -> onnx.ModelProto:
    """`depth` times convolution and ReLU; in INT8 with Q/DQ on all sides, as the ort-x86-7bit dialect has it."""
    codes = np.random.default_rng(0).integers(-63, 64, (channels, channels, kernel, kernel)).astype(np.int8)
    constants: dict[str, Any] = {"step": np.float32(0.02), "zero": np.uint8(0), "weight_step": np.float32(0.001)}
    constants |= {"weight_zero": np.int8(0), "codes": codes, "weights": codes.astype(np.float32) * np.float32(0.001)}
    nodes: list[NodeProto] = []

    def add(kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def coded(name: str) -> str:
        return (
            add("DequantizeLinear", [add("QuantizeLinear", [name, "step", "zero"]), "step", "zero"]) if int8 else name
        )

    now = coded("x")
    for _ in range(depth):
        weights = add("DequantizeLinear", ["codes", "weight_step", "weight_zero"]) if int8 else "weights"
        now = coded(add("Relu", [add("Conv", [now, weights], pads=[kernel // 2] * 4)]))
    shape = (batch, channels, side_px, side_px)
    return _model(nodes, {"x": shape}, {now: shape}, constants)


def _model(
    nodes: list[NodeProto],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, Any],
) -> onnx.ModelProto:
    given, taken = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    )
    used = {name for node in nodes for name in node.input}
    held = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in used]
    graph = helper.make_graph(nodes, "benchmark", given, taken, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
