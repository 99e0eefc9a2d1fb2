"""What each task computes in the same way with weights of its own, computed for all of them at once.

A fuser's attention is small: its nodes take longer to begin than to compute. Branches that differ in nothing but
weights become one with a row for each task, and are taken apart again where the heads begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from targets.packing.leave_out import keep_needed

ALWAYS = ("Add", "Cast", "Div", "MatMul", "Mul", "Shape", "Sigmoid", "Sub")  # treat each row by itself
WEIGHED = ("MatMul", "Cast")  # of which the last input may be each task's own
Alike = tuple[str, ...]  # a tensor of each task, in the order of the graph's outputs


def stacked(fuser: bytes) -> bytes:
    """The same graph with the tasks' branches stacked as far as they are alike; as it was if they are not."""
    model = onnx.load_from_string(fuser)
    graph = model.graph
    work = _Stack(graph)
    end = _end(work, tuple(output.name for output in graph.output))
    if end is None:
        return fuser
    rows = [f"{name}_row" for name in end]
    apart = helper.make_node("Split", [str(work.rows(end))], rows, "apart", axis=0)
    place = min(k for k, node in enumerate(graph.node) if set(end) & set(node.input))  # behind all that is shared
    for node in graph.node:
        node.input[:] = [rows[end.index(name)] if name in end else name for name in node.input]
    nodes = [*graph.node[:place], *work.nodes, apart, *graph.node[place:]]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(work.tensors)
    keep_needed(graph)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _end(work: _Stack, tensors: Alike) -> Alike | None:
    """Where branches end that can be stacked, at or behind these tensors of each task; None: nowhere."""
    if len(set(tensors)) == 1 or work.rows(tensors) is not None:
        return tensors if len(set(tensors)) > 1 and work.rows(tensors) != tensors[0] else None
    nodes = work.makers_of(tensors)
    behind = zip(*(node.input for node in nodes), strict=True) if nodes else ()
    return next((end for some in behind if (end := _end(work, some)) is not None), None)


class _Stack:
    """Stacks what tasks compute, from what they share on. What it gives up halfway is left behind unread."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes, self.tensors = list[onnx.NodeProto](), list[onnx.TensorProto]()
        self._made: dict[Alike, str | None] = {}
        self._of_all = set[str | None]()  # tensors with a row for each task
        self._makers = {output: node for node in graph.node for output in node.output}
        self._values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def makers_of(self, tensors: Alike) -> list[onnx.NodeProto] | None:
        """The nodes that make them, if they do the same."""
        nodes = [self._makers[name] for name in tensors if name in self._makers]
        if len(nodes) < len(tensors) or any(len(node.output) > 1 for node in nodes):
            return None
        kinds = [(node.op_type, len(node.input), sorted(map(str, node.attribute))) for node in nodes]
        return nodes if all(kind == kinds[0] for kind in kinds) else None

    def rows(self, tensors: Alike) -> str | None:
        """The tensor that has these as rows, or the one that they all are; None: they are not alike."""
        if tensors not in self._made:
            self._made[tensors] = tensors[0] if len(set(tensors)) == 1 else self._stack(tensors)
        return self._made[tensors]

    def _stack(self, tensors: Alike) -> str | None:
        values = [self._values[name] for name in tensors if name in self._values]
        if values:
            same = len(values) == len(tensors) and all(np.array_equal(values[0], value) for value in values)
            return tensors[0] if same else None
        nodes = self.makers_of(tensors)
        if nodes is None:
            return None
        if nodes[0].op_type == "Conv":
            return self._convolved(tensors[0], nodes)
        if not self._is_row_by_row(nodes[0]):
            return None
        *given, last = zip(*(node.input for node in nodes), strict=True)
        found = [self.rows(some) for some in (*given, last)]
        if nodes[0].op_type in WEIGHED:
            found[-1] = found[-1] or self._weights(last, f"{tensors[0]}_weights", dims=2)
        if None in found:
            return None
        return self._add(tensors[0], nodes[0], found) if self._of_all & {*found} else tensors[0]  # all do the same

    def _is_row_by_row(self, node: onnx.NodeProto) -> bool:
        """Whether with several rows it does what it did with one."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in ("Softmax", "ReduceMean"):
            return 0 not in attributes.get("axes", [attributes.get("axis", -1)])
        if node.op_type == "Transpose":
            return bool(attributes["perm"][0] == 0)
        if node.op_type == "Slice":
            return not any(0 in self._values.get(name, [0]) for name in node.input[3:4])
        if node.op_type == "Gather":
            source = self._makers.get(node.input[0])
            return attributes.get("axis", 0) != 0 or (source is not None and source.op_type == "Shape")
        return node.op_type in ALWAYS

    def _convolved(self, name: str, nodes: Sequence[onnx.NodeProto]) -> str | None:
        """A convolution along the one channel that each row has, (1, 1, D): a group of channels for each task."""
        source, *own = zip(*(node.input for node in nodes), strict=True)
        given, n = self.rows(source), len(nodes)
        parts = [self._weights(some, f"{name}_{k}", dims=3 - 2 * k, joined=True) for k, some in enumerate(own)]
        kernels = self._values.get(own[0][0])
        if given not in self._of_all or None in parts or kernels is None or kernels.shape[1] != 1:
            return None
        side_by_side = self._shaped(given, f"{name}_channels", [1, n, -1])
        attributes = [a for a in nodes[0].attribute if a.name != "group"]
        convolution = onnx.NodeProto(op_type="Conv", attribute=attributes)
        convolution.attribute.append(helper.make_attribute("group", n))
        return self._shaped(self._add(name, convolution, [side_by_side, *parts]), f"{name}_rows", [n, len(kernels), -1])

    def _weights(self, tensors: Alike, name: str, *, dims: int, joined: bool = False) -> str | None:
        """Constants of one shape, one behind the other on an axis of their own, or joined on their first."""
        values = [self._values[tensor] for tensor in tensors if tensor in self._values]
        if len(values) < len(tensors) or {(v.shape, v.ndim) for v in values} != {(values[0].shape, dims)}:
            return None
        self._of_all.add(name)
        return self._keep(name, (np.concatenate if joined else np.stack)(values))

    def _shaped(self, tensor: str | None, name: str, shape: list[int]) -> str:
        return self._add(
            name, onnx.NodeProto(op_type="Reshape"), [tensor, self._keep(f"{name}_shape", np.array(shape, np.int64))]
        )

    def _keep(self, name: str, values: Any) -> str:
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def _add(self, name: str, like: onnx.NodeProto, given: Sequence[str | None]) -> str:
        name = f"{name}_of_all"
        node = helper.make_node(like.op_type, list(given), [name], name)
        node.attribute.extend(like.attribute)
        self.nodes.append(node)
        self._of_all.add(name)
        return name
