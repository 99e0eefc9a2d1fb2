"""Look an ONNX graph over before a runtime does: it may hold arithmetic on arrays of a sane size, and nothing else.

ONNX files can name other files, other libraries' operators, programs within the graph, and sizes without end. A graph
of ours has none of these, so each is refused here, as is whatever this reader does not know. Sizes that only arise
while the graph runs are not foreseen: a signature is what keeps a graph out that is made to eat memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.engines.graphcheck import onnx_fields as known
from codriver.engines.graphcheck.protobuf import FieldReader

MAX_FIELDS = 200_000  # of all messages together: bounds the time to less than a second
MAX_NODES = 20_000
MAX_NUMBERS = 1 << 27  # in one tensor
MAX_RANK = 8
IR_VERSIONS = range(7, 13)
OPSETS = range(13, 22)
OUR_DOMAINS = ("", "ai.onnx")

# Pure functions of arrays. No control flow, no sequences, no texts, no random numbers, nothing that keeps a state.
OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    MatMul Max MaxPool Mean Min Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round Shape Sigmoid Sign
    Sin Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where
    """.split()
)

Floats = NDArray[np.floating[Any]]


def check_graph(graph: bytes) -> None:
    """Raise an EngineError, with a code of its own for each reason, unless this ONNX file holds arithmetic alone."""
    _Check(graph).model(memoryview(graph))


class _Check:
    def __init__(self, graph: bytes) -> None:
        self._reader = FieldReader("the graph", MAX_FIELDS)
        self._fault = self._reader.fault
        self._nodes = 0
        self._floats: dict[str, Floats] = {}  # constants by name, to look at scales
        self._scales: list[str] = []

    def model(self, data: memoryview) -> None:
        graph, opsets, ir_version = None, 0, -1
        for name, number, part in self._reader.fields(data, known.MODEL, "the model"):
            if name == "ir_version":
                ir_version = number
            elif name == "graph":
                graph = part
            elif name == "opset_import":
                self._opset(part)
                opsets += 1
            elif name in ("functions", "training_info"):
                raise self._fault(f"it holds {name}, programs of its own", "graph-nested")
        if graph is None or opsets != 1:
            raise self._fault("not a model in ONNX, or one with several sets of operators")
        if ir_version not in IR_VERSIONS:
            expected = f"expected {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}"
            raise self._fault(f"ir_version {ir_version}, {expected}", "graph-version")
        self._graph(graph)

    def _opset(self, data: memoryview) -> None:
        domain, version = "", -1
        for name, number, part in self._reader.fields(data, known.OPSET, "opset_import"):
            if name == "version":
                version = number
            else:
                domain = self._reader.text(part, "opset_import")
        self._domain(domain, "opset_import")
        if version not in OPSETS:
            raise self._fault(f"opset {version}, expected {OPSETS[0]} to {OPSETS[-1]}", "graph-version")

    def _domain(self, domain: str, where: str) -> None:
        if domain not in OUR_DOMAINS:
            raise self._fault(f"{where} wants operators of {domain!r}, expected ONNX's own", "graph-foreign-domain")

    def _graph(self, data: memoryview) -> None:
        for name, _, part in self._reader.fields(data, known.GRAPH, "the graph"):
            if name == "node":
                self._node(part)
            elif name == "initializer":
                self._tensor(part, "an initializer")
            elif name == "value":
                self._value(part)
        for name in self._scales:
            values = self._floats.get(name)
            if values is not None and not (np.isfinite(values).all() and (values > 0).all()):
                raise self._fault(f"the scale {name!r} is not above zero and finite", "graph-not-a-number")

    def _node(self, data: memoryview) -> None:
        operator = domain = ""
        names: dict[str, list[str]] = {"input": [], "output": []}
        constants: list[Floats] = []
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._fault(f"more than {MAX_NODES} nodes", "graph-too-big")
        for name, _, part in self._reader.fields(data, known.NODE, "a node"):
            if name == "op_type":
                operator = self._reader.text(part, "a node")
            elif name == "domain":
                domain = self._reader.text(part, "a node")
            elif name in names:
                names[name].append(self._reader.text(part, "a node"))
            elif name == "attribute":
                constants += self._attribute(part)
        self._domain(domain, f"operator {operator!r}")
        if operator not in OPERATORS:
            raise self._fault(
                f"operator {operator!r} is not among those that a graph of ours may use", "graph-operator"
            )
        if operator == "Constant":
            self._floats |= dict(zip(names["output"], constants, strict=False))
        if operator in ("QuantizeLinear", "DequantizeLinear"):
            self._scales += names["input"][1:2]

    def _attribute(self, data: memoryview) -> Iterator[Floats]:
        """The floating-point tensors in it."""
        for name, _, part in self._reader.fields(data, known.ATTRIBUTE, "an attribute"):
            if name == "graph":
                raise self._fault("a graph within the graph", "graph-nested")
            if name == "tensor":
                values = self._tensor(part, "an attribute")
                if values is not None:
                    yield values
            elif name == "floats":
                if len(part) % 4:
                    raise self._fault("an attribute ends in the middle of a number")
                self._no_nan(np.frombuffer(part, "<f4"), "an attribute")

    def _value(self, data: memoryview) -> None:
        for name, _, part in self._reader.fields(data, known.VALUE, "a value"):
            if name == "type":
                self._type(part)

    def _type(self, data: memoryview) -> None:
        for name, _, part in self._reader.fields(data, known.TYPE, "a type"):
            if name == "tensor":
                for key, _, shape in self._reader.fields(part, known.TENSOR_TYPE, "a type"):
                    if key == "shape":
                        self._sizes(self._dims(shape), "a value")

    def _dims(self, shape: memoryview) -> list[int]:
        dims = []
        for _, _, dim in self._reader.fields(shape, known.SHAPE, "a shape"):
            sizes = [number for key, number, _ in self._reader.fields(dim, known.DIM, "a dimension") if key == "size"]
            dims += sizes or [0]
        return dims

    def _sizes(self, dims: list[int], where: str) -> int:
        """How many numbers dims hold, if that is sane."""
        if len(dims) > MAX_RANK or math.prod(max(dim, 1) for dim in dims) > MAX_NUMBERS:
            raise self._fault(f"{where} has the shape {dims[:MAX_RANK]}, too big by far", "graph-too-big")
        return math.prod(dims)

    def _tensor(self, data: memoryview, where: str) -> Floats | None:
        """Check a tensor; return its numbers if they are floating-point ones."""
        dims: list[int] = []
        kind, name = 0, ""
        held: dict[str, list[tuple[int, memoryview]]] = {}  # its numbers, by the field that holds them
        for key, number, part in self._reader.fields(data, known.TENSOR, where):
            if key == "external_data" or (key == "data_location" and number):
                raise self._fault(f"{where} has its data in another file", "graph-external-data")
            if key == "dims":
                dims += [number] if number >= 0 else self._reader.varints(part, where, MAX_RANK)
            elif key == "data_type":
                kind = number
            elif key == "name":
                name = self._reader.text(part, where)
            elif key.endswith("_data"):
                held.setdefault(key, []).append((number, part))
        where = f"{where} {name!r}"
        values = self._numbers(kind, self._sizes(dims, where), held, where)
        if values is not None:
            self._no_nan(values, where)
            self._floats[name] = values
        return values

    def _numbers(
        self, kind: int, count: int, held: dict[str, list[tuple[int, memoryview]]], where: str
    ) -> Floats | None:
        """Refuse a tensor that does not hold just as many numbers as its shape says."""
        if kind not in known.WIDTHS:
            raise self._fault(f"{where} is of data type {kind}, expected numbers", "graph-unknown-part")
        if not set(held) <= {"raw_data", known.HOMES.get(kind, "")} or len(held) > 1:
            raise self._fault(f"{where} keeps its numbers in {', '.join(held)}")
        given = [one for some in held.values() for one in some]
        data = b"".join(part for _, part in given)
        if held.keys() & {"raw_data", "float_data", "double_data"}:
            found = len(data) / known.WIDTHS[kind]
        else:  # varints: one by one, or packed, where each ends with a byte below 0x80
            packed = np.frombuffer(data, np.uint8)
            found = sum(number >= 0 for number, _ in given) + int(np.count_nonzero(packed < 0x80))
        if found != count:
            raise self._fault(f"{where} holds {found:g} numbers, its shape says {count}")
        if kind == known.BFLOAT16:
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        return np.frombuffer(data, known.FLOATS[kind]) if kind in known.FLOATS else None

    def _no_nan(self, values: Floats, where: str) -> None:
        if np.isnan(values).any():
            raise self._fault(f"{where} holds a number that is none (NaN)", "graph-not-a-number")
