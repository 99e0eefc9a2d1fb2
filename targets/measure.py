"""What this machine can do, by ONNX Runtime itself: micro-benchmarks for a profile of its own, and graphs timed.

With one thread it is the thread's processor time that counts, so that what else runs on the machine hardly matters;
with more it is the clock on the wall. Each figure is the best of several repetitions: a floor is compared with it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from codriver.cpu import cpu_features
from codriver.engines import Arrays, GraphFiles, Signature, Tensor, open_engine
from codriver.errors import SourceError
from codriver.machine import describe_machine, runtime_version
from codriver.terminal import Progress

CONVOLUTIONS = ((32, 56, 4), (64, 28, 4), (128, 14, 4))  # channels, side in pixels, batch: as in an encoder
DEPTH = 4  # convolutions in a row, so that what is done once a run weighs little
ELEMENTS = 1_000_000  # of an addition: 12 MB move, as much as a large layer, and some caches hold that
NODES = 200  # of a chain of additions of 16 elements
REPEATS = 20

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
latency_budget_ms = 100
memory_budget_mb = 1000

# Points of accuracy that INT8 may lose on each task: ours, to be tightened for a product.
[accuracy_budget_points]
driver_emotion = 2.0
driver_behavior = 2.0
traffic_context = 2.0
vehicle_behavior = 2.0

[source]
int8_dense_tops = "measured: 3x3 convolutions in INT8, 7-bit weights, best of {shapes} shapes"
fp16_dense_tflops = "as FP32"
fp32_tflops = "measured: 3x3 convolutions in FP32, best of {shapes} shapes"
bandwidth_gb_per_s = "measured: addition of two tensors of 4 MB, which a large cache may hold"
launch_us = "measured: a node of a chain of additions of 16 elements"
"""


def measured_profile(threads: int) -> str:
    """The text of this machine's profile; takes some seconds on an idle machine."""
    rates: dict[str, float] = {"int8_dense_tops": 0.0, "fp32_tflops": 0.0}
    with Progress("measure", total=2 * len(CONVOLUTIONS) + 2) as progress:
        for channels, side_px, batch in CONVOLUTIONS:
            operations = 2 * DEPTH * batch * side_px**2 * channels**2 * 9
            for key, int8 in (("fp32_tflops", False), ("int8_dense_tops", True)):
                took_s = best_s(convolutions(channels, side_px, batch, int8), threads)
                rates[key] = max(rates[key], operations / took_s / 1e12)
                progress.step()
        rates["bandwidth_gb_per_s"] = 3 * 4 * ELEMENTS / best_s(additions(1, ELEMENTS), threads) / 1e9
        progress.step()
        rates["launch_us"] = best_s(additions(NODES, 16), threads) / NODES * 1e6
    features = cpu_features()
    dialects = ["ort-arm"] if "arm" in features else ["ort-x86"] * ("vnni" in features) + ["ort-x86-7bit"]
    return TEMPLATE.format(
        cpu=describe_machine()["cpu"],
        threads=threads,
        version=runtime_version("onnxruntime"),
        variants=", ".join(f'{{ dialect = "{dialect}", engine = "onnxruntime" }}' for dialect in dialects),
        memory_gb=_memory_gb(),
        shapes=len(CONVOLUTIONS),
        **rates,
    )


def _memory_gb() -> float:
    try:
        kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(f"{platform.system()} does not say how much memory it has; write a profile by hand") from error
    return kilobytes / 1e6


def best_s(model: onnx.ModelProto, threads: int, repeats: int = REPEATS) -> float:
    """Seconds that one run of a graph takes, on random inputs."""
    inputs, outputs = (_tensors(side) for side in (model.graph.input, model.graph.output))
    signature = Signature(inputs=inputs, outputs=outputs)
    clock: Callable[[], float] = time.thread_time if threads == 1 else time.perf_counter
    random = np.random.default_rng(0)
    values: Arrays = {
        name: (random.random(t.shape) * (255 if t.dtype == "uint8" else 1)).astype(t.dtype) for name, t in inputs.items()
    }
    engine = open_engine("onnxruntime", GraphFiles(model.SerializeToString()), signature, threads=threads)
    try:
        engine.infer(values)  # the first run allocates
        best = float("inf")
        for _ in range(repeats):
            began = clock()
            engine.infer(values)
            best = min(best, clock() - began)
    finally:
        engine.close()
    return best


def _tensors(values: Sequence[onnx.ValueInfoProto]) -> Mapping[str, Tensor]:
    found = {}
    for value in values:
        kind = value.type.tensor_type
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        found[value.name] = Tensor(dtype, tuple(dim.dim_value for dim in kind.shape.dim))
    return found


def additions(count: int, elements: int) -> onnx.ModelProto:
    """`count` additions of the same tensor, one after another."""
    names = ["x", *(f"sum{at}" for at in range(count))]
    nodes = [helper.make_node("Add", [before, "y"], [after]) for before, after in zip(names, names[1:], strict=False)]
    return _model(nodes, {"x": (elements,), "y": (elements,)}, {names[-1]: (elements,)}, {})


def convolutions(channels: int, side_px: int, batch: int, int8: bool) -> onnx.ModelProto:
    """DEPTH times 3x3 convolution and ReLU; in INT8 with Q/DQ on all sides, as the ort-x86-7bit dialect has it."""
    codes = np.random.default_rng(0).integers(-63, 64, (channels, channels, 3, 3)).astype(np.int8)
    constants: dict[str, Any] = {"step": np.float32(0.02), "zero": np.uint8(0), "weight_step": np.float32(0.001)}
    constants |= {"weight_zero": np.int8(0), "codes": codes, "weights": codes.astype(np.float32) * np.float32(0.001)}
    nodes: list[NodeProto] = []

    def add(kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def coded(name: str) -> str:
        return add("DequantizeLinear", [add("QuantizeLinear", [name, "step", "zero"]), "step", "zero"]) if int8 else name

    now = coded("x")
    for _ in range(DEPTH):
        weights = add("DequantizeLinear", ["codes", "weight_step", "weight_zero"]) if int8 else "weights"
        now = coded(add("Relu", [add("Conv", [now, weights], pads=[1, 1, 1, 1])]))
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
