"""Parts that lose more in INT8 than they gain: LayerNorm, Softmax, GELU, sigmoid gates. No Q/DQ around or inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quantize.rules.qdq import of_weight, weight_pair
from quantize.rules.rule import Asked, Found
from quantize.rules.view import CONVOLUTIONS, LINEAR, MOVING, PAIRED, GraphView, Node, source

NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
DEPTH = 5  # nodes from the Sqrt of a decomposed LayerNorm up to its first ReduceMean


@dataclass(frozen=True)
class Part:
    """A fragile part: its nodes, in any order, and what to call it."""

    kind: str
    name: str
    nodes: tuple[Node, ...]


def fragile_parts_are_float(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for part in parts(graph):
        found: dict[int, Found] = {}  # by quantizer: one may touch two nodes of a part
        for node in part.nodes:
            for index in range(len(node.inputs)):
                before = source(node.scope, node.input(index), ("Identity",)).node
                if before is not None and before.op == "DequantizeLinear" and not _branch_point(part, before):
                    found.setdefault(id(before), (part.name, f"{part.kind} reads from {before.name}"))
            for reader, _ in node.readers:
                if reader.op == "QuantizeLinear" and not _for_a_layer(reader):
                    found.setdefault(id(reader), (part.name, f"{part.kind} is followed by {reader.name}"))
        yield from found.values()


def parts(graph: GraphView) -> Iterator[Part]:
    for node in graph.of(*NORMS, "Softmax", "LogSoftmax", "Gelu"):
        yield Part(node.op, node.name, (node,))
    for node in graph.of("Sqrt"):
        yield from _decomposed_norm(node)
    for node in graph.of("Erf"):
        yield Part("GELU", node.name, (*_before(node, 1, "Div", "Mul"), node, *_behind(node, 3, "Add", "Mul")))
    for node in graph.of("Sigmoid"):
        gates = _behind(node, 1, "Mul")
        if gates:
            yield Part("sigmoid gate", node.name, (node, *gates))


def _decomposed_norm(root: Node) -> Iterator[Part]:
    """ReduceMean, Sub, Pow or Mul, ReduceMean, Add, Sqrt, Div, and the affine Mul and Add behind."""
    up = _before(root, DEPTH, "Add", "ReduceMean", "Pow", "Mul", "Sub")
    operators = [node.op for node in up]
    down = _behind(root, 3, "Div", "Reciprocal", "Mul", "Add")
    if "Sub" in operators and "ReduceMean" in operators and any(node.op in ("Div", "Reciprocal") for node in down):
        subtracted = next(node for node in up if node.op == "Sub")
        mean = [found for i in (0, 1) if (found := _through_pairs(subtracted, i)) and found.op == "ReduceMean"]
        if mean:
            yield Part("LayerNorm", root.name, tuple({id(n): n for n in (*mean, *up, root, *down)}.values()))


def _through_pairs(node: Node, index: int) -> Node | None:
    return source(node.scope, node.input(index), ("Identity", *PAIRED)).node


def _before(node: Node, depth: int, *operators: str) -> list[Node]:
    """Nodes of these kinds above, as far as they reach without another in between; Q/DQ are looked through."""
    found: dict[int, Node] = {}
    front = [node]
    for _ in range(depth):
        above = [above for n in front for i in range(len(n.inputs)) if (above := _through_pairs(n, i))]
        front = [n for n in above if n.op in operators and id(n) not in found]
        found |= {id(n): n for n in front}
    return list(found.values())


def _behind(node: Node, depth: int, *operators: str) -> list[Node]:
    found: dict[int, Node] = {}
    front = [node]
    for _ in range(depth):
        readers = [reader for n in front for reader in _readers_through_pairs(n)]
        front = [n for n in readers if n.op in operators and id(n) not in found and not _residual(n, found)]
        found |= {id(n): n for n in front}
    return list(found.values())


def _residual(node: Node, found: dict[int, Node]) -> bool:
    """An Add of two activations ends a chain: only constants are added within one."""
    if node.op != "Add":
        return False
    return all(node.constant(i) is None and not _is_weight(node, i) for i in range(len(node.inputs)))


def _is_weight(node: Node, index: int) -> bool:
    before = node.producer(index)
    return before is not None and before.op == "DequantizeLinear" and of_weight(before)


def _readers_through_pairs(node: Node) -> list[Node]:
    found = []
    for reader, _ in node.readers:
        if reader.op == "QuantizeLinear":
            found += [n for pair, _ in reader.readers for n, _ in pair.readers if pair.op == "DequantizeLinear"]
        else:
            found.append(reader)
    return found


def _branch_point(part: Part, quantizer: Node) -> bool:
    """SiLU behind a pair: x * sigmoid(x) with both x from one DequantizeLinear, as TensorRT wants it."""
    readers = {id(reader) for reader, _ in quantizer.readers}
    return part.kind == "sigmoid gate" and len(readers & {id(node) for node in part.nodes}) > 1


def _for_a_layer(quantizer: Node) -> bool:
    """Whether a pair serves quantized layers, or the skip of a residual Add, and so belongs to those."""
    readers = [reader for pair, _ in quantizer.readers for reader, _ in pair.readers]
    for _ in range(DEPTH):
        behind = [n for r in readers for n in ([m for m, _ in r.readers] if r.op in MOVING else [r])]
        readers = list({id(n): n for n in behind}.values())
    return bool(readers) and all(
        r.op in CONVOLUTIONS or r.op == "Add" or (r.op in LINEAR and weight_pair(r) is not None) for r in readers
    )
