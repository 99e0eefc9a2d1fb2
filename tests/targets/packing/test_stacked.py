"""Tasks' branches stacked answer as each for itself; what is not alike stays apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from codriver.engines import open_engine
from codriver.engines.base import GraphFiles, Signature, Tensor
from codriver.tasks import AIDE
from targets.packing.leave_out import graph_without
from targets.packing.stacked import stacked
from tests.tiny import tiny_fuser, tiny_manifest

WIDTH, CELLS, CLASSES = 6, 4, {"first": 3, "second": 5, "third": 2}
SIGNATURE = Signature(
    {"cells": Tensor("float32", (1, CELLS, WIDTH)), "mean": Tensor("float32", (1, 1, WIDTH))},
    {task: Tensor("float32", (1, classes)) for task, classes in CLASSES.items()},
)


def branches(change: Callable[[str, list[onnx.NodeProto]], None] = lambda task, nodes: None) -> bytes:
    """For each task: attention over cells, a convolution along channels, a gate and a head, with its own weights.

    change: what to do to the nodes of a task.
    """
    random, nodes, tensors = np.random.default_rng(0), list[onnx.NodeProto](), list[onnx.TensorProto]()
    shapes = {"query": (WIDTH, 2), "key": (WIDTH, 2), "value": (WIDTH, WIDTH), "kernel": (3, 1, 3), "bias": (3,)}
    for task, classes in CLASSES.items():
        for name, shape in (shapes | {"head": (WIDTH, classes)}).items():
            values = random.standard_normal(shape).astype(np.float32)
            tensors.append(numpy_helper.from_array(values, f"{task}_{name}"))
        steps = [
            ("MatMul", ["cells", "+query"], "q", {}),
            ("MatMul", ["cells", "+key"], "k", {}),
            ("Transpose", ["-k"], "kt", {"perm": [0, 2, 1]}),
            ("MatMul", ["-q", "-kt"], "scores", {}),
            ("Softmax", ["-scores"], "looks", {"axis": -1}),
            ("ReduceMean", ["-looks"], "looked", {"axes": [-2], "keepdims": 1}),
            ("MatMul", ["-looked", "cells"], "seen", {}),
            ("MatMul", ["-seen", "+value"], "told", {}),
            ("Add", ["mean", "-told"], "pooled", {}),
            ("Conv", ["-pooled", "+kernel", "+bias"], "three", {"kernel_shape": [3], "pads": [1, 1]}),
            ("ReduceMean", ["-three"], "one", {"axes": [1], "keepdims": 1}),
            ("Sigmoid", ["-one"], "gate", {}),
            ("Mul", ["-pooled", "-gate"], "gated", {}),
            ("Flatten", ["-gated"], "flat", {}),
            ("Gemm", ["-flat", "+head"], "logits", {}),
            ("Identity", ["-logits"], "", {}),
        ]
        own = [
            helper.make_node(
                op,
                [f"{task}_{name[1:]}" if name[0] in "+-" else name for name in given],
                [f"{task}_{made}" if made else task],
                **how,
            )
            for op, given, made, how in steps
        ]
        change(task, own)
        nodes += own
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, t.shape) for name, t in side.items()]
        for side in SIGNATURE
    )
    graph = helper.make_graph(nodes, "branches", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def count(graph: bytes, op: str) -> int:
    return sum(node.op_type == op for node in onnx.load_from_string(graph).graph.node)


def assert_same_answers(one: bytes, other: bytes, signature: Signature) -> None:
    random = np.random.default_rng(1)
    inputs = {name: random.standard_normal(t.shape).astype(np.float32) for name, t in signature.inputs.items()}
    expected, found = (
        open_engine("onnxruntime", GraphFiles(graph), signature, threads=1).infer(inputs) for graph in (one, other)
    )
    for task, logits in expected.items():
        np.testing.assert_allclose(found[task], logits, atol=2e-5, err_msg=task)


def test_branches_that_differ_in_weights_alone_become_one_and_answer_as_before() -> None:
    apart, together = branches(), stacked(branches())
    assert (count(apart, "Softmax"), count(together, "Softmax")) == (3, 1)
    assert (count(apart, "Conv"), count(together, "Conv")) == (3, 1)
    assert count(together, "Gemm") == 3  # heads have other classes
    assert len(together) < 1.1 * len(apart)
    assert_same_answers(apart, together, SIGNATURE)


def other_axis(task: str, nodes: list[onnx.NodeProto]) -> None:
    if task == "second":
        nodes[4].attribute[0].i = 1


def of_all_cells(task: str, nodes: list[onnx.NodeProto]) -> None:
    nodes[4].attribute[0].i = 0  # over rows, which would be tasks


@pytest.mark.parametrize("change", [other_axis, of_all_cells])
def test_what_one_task_does_otherwise_or_rows_would_change_stays_apart(
    change: Callable[[str, list[onnx.NodeProto]], None],
) -> None:
    apart = branches(change)
    together = stacked(apart)
    assert count(together, "Softmax") == 3
    assert_same_answers(apart, together, SIGNATURE)


def test_a_task_alone_has_nothing_to_be_stacked_with() -> None:
    alone = graph_without(onnx.load_from_string(branches()), ["first", "second"]).SerializeToString()
    assert stacked(alone) == alone


def test_a_fuser_without_branches_stays_as_it_was() -> None:
    whole = tiny_fuser(tiny_manifest()).SerializeToString()
    assert_same_answers(whole, stacked(whole), tiny_manifest().fuser_signature)


@pytest.mark.torch
def test_the_models_own_fuser_is_stacked_with_and_without_a_task() -> None:
    torch = pytest.importorskip("torch")
    from quantize.export.onnx_export import onnx_bytes
    from quantize.graphs.graphs import FUSER_INPUTS, FuserGraph, example_context
    from training.model.uvm3tl import SIZES, UVM3TL

    torch.manual_seed(0)
    model = UVM3TL(SIZES["tiny"]).eval()
    whole = onnx_bytes(FuserGraph(model).eval(), example_context(model.config), FUSER_INPUTS, AIDE.names)
    for without in ((), ("driver_behavior",)):
        graph = graph_without(onnx.load_from_string(whole), without)
        apart = graph.SerializeToString()
        together = stacked(apart)
        assert count(apart, "Softmax") - count(together, "Softmax") == 2 * (len(graph.graph.output) - 1)
        inputs, outputs = (
            {v.name: Tensor("float32", tuple(d.dim_value for d in v.type.tensor_type.shape.dim)) for v in side}
            for side in (graph.graph.input, graph.graph.output)
        )
        assert_same_answers(apart, together, Signature(inputs, outputs))
