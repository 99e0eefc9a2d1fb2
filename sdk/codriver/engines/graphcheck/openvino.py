"""Look an OpenVINO graph over before OpenVINO does: an XML file of layers, and a file of weights that they point into.

As in onnx.py: arithmetic of a sane size and nothing else. No document type and no entity (XML can grow without
end by them), no layer but OpenVINO's own and of those only what computes, no graph within the graph, no weights but
those in the file beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.parsers import expat

import numpy as np

from codriver.errors import EngineError

MAX_XML_BYTES = 16 << 20
MAX_ELEMENTS = 200_000  # bounds the time to less than a second
MAX_DEPTH = 16
MAX_LAYERS = 20_000
MAX_NUMBERS = 1 << 27  # in one tensor
MAX_RANK = 8
OPSETS = frozenset(f"opset{number}" for number in range(1, 17))
# Pure functions of arrays. No Loop, If or TensorIterator, no ReadValue and Assign, no texts, no random numbers.
LAYERS = frozenset(
    """
    Abs Add AvgPool BatchNormInference Broadcast Ceiling Clamp Concat Const Convert ConvertLike Convolution Cos CumSum
    Divide Einsum Elu Equal Erf Exp FakeQuantize Floor Gather GatherElements GatherND Gelu Greater GreaterEqual
    GroupConvolution GroupNormalization HardSigmoid HSigmoid HSwish Interpolate Less LessEqual Log LogicalAnd LogicalNot
    LogicalOr LogSoftmax MatMul Maximum MaxPool Minimum Mod Multiply MVN Negative NormalizeL2 NotEqual Pad Parameter
    Power PReLU ReduceL1 ReduceL2 ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReLU Reshape
    Result ROIAlign Round ScaledDotProductAttention Select ShapeOf Sigmoid Sign Sin Slice Softmax SoftMax SoftPlus Split
    Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tanh Tile TopK Transpose Unsqueeze VariadicSplit
    """.split()
)
TAGS = frozenset("net layers layer data input output port dim edges edge rt_info attribute".split())
WIDTHS = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8, "i8": 1, "u8": 1, "i32": 4, "u32": 4, "i64": 8, "u64": 8}
WIDTHS |= {"boolean": 1, "i16": 2, "u16": 2}
FLOATS = {"f32": "<f4", "f16": "<f2", "f64": "<f8"}


def check_ir(model: bytes, weights: bytes) -> None:
    """Raise an EngineError, with a code of its own for each reason, unless model.xml and model.bin hold arithmetic."""
    if len(model) > MAX_XML_BYTES:
        raise _fault(f"{len(model)} bytes of XML, expected up to {MAX_XML_BYTES}", "graph-too-big")
    check = _Check(weights)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = check.doctype
    parser.ProcessingInstructionHandler = check.instruction
    parser.StartElementHandler = check.start
    parser.EndElementHandler = check.end
    parser.CharacterDataHandler = check.text
    try:
        parser.Parse(model, True)
    except (expat.ExpatError, ValueError) as error:  # ValueError: a number that is none
        raise _fault(f"not XML as OpenVINO writes it ({error})") from error


def _fault(message: str, code: str = "graph-malformed") -> EngineError:
    return EngineError(f"the graph: {message}; build the bundle anew", code=code)


class _Check:
    """Handlers of the parser, which tells of one element after the other."""

    def __init__(self, weights: bytes) -> None:
        self._weights = memoryview(weights)
        self._path: list[str] = []
        self._elements = self._layers = 0
        self._layer = ""
        self._dims: list[int] = []
        self._text = ""

    def doctype(self, name: str, *_: object) -> None:
        raise _fault(f"it declares a document type, {name!r}", "graph-unknown-part")

    def instruction(self, target: str, _: str) -> None:
        raise _fault(f"it holds an instruction to {target!r}", "graph-unknown-part")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise _fault("more parts than any graph of ours", "graph-too-big")
        if not self._path and tag != "net":
            raise _fault(f"it begins with {tag!r}, expected 'net'")
        about = "rt_info" in self._path  # remarks of the tools that made it
        if tag not in TAGS and not about:
            known = ("body", "then_body", "else_body", "port_map", "back_edges")
            raise _fault(f"it holds {tag!r}", "graph-nested" if tag in known else "graph-unknown-part")
        self._path.append(tag)
        self._text = ""
        if about:
            return
        if tag == "layer":
            self._start_layer(attributes)
        elif tag == "data" and self._layer == "Const":
            self._constant(attributes)
        elif tag == "port":
            self._dims = []

    def _start_layer(self, attributes: Mapping[str, str]) -> None:
        self._layers += 1
        if self._layers > MAX_LAYERS:
            raise _fault(f"more than {MAX_LAYERS} layers", "graph-too-big")
        self._layer, version = attributes.get("type", ""), attributes.get("version", "")
        if version not in OPSETS:
            raise _fault(f"layer {self._layer!r} is of {version!r}, expected OpenVINO's own", "graph-foreign-domain")
        if self._layer not in LAYERS:
            raise _fault(f"layer {self._layer!r} is not among those that a graph of ours may use", "graph-operator")

    def _constant(self, attributes: Mapping[str, str]) -> None:
        kind, shape = attributes.get("element_type", ""), attributes.get("shape", "")
        if kind not in WIDTHS:
            raise _fault(f"a constant is of type {kind!r}, expected numbers", "graph-unknown-part")
        count = self._count([int(dim) for dim in shape.split(",") if dim.strip()])
        offset, size = int(attributes.get("offset", "-1")), int(attributes.get("size", "-1"))
        if size != count * WIDTHS[kind]:
            raise _fault(f"a constant of {size} bytes, its shape says {count * WIDTHS[kind]}")
        if offset < 0 or offset + size > len(self._weights):
            raise _fault("a constant lies outside the weights", "graph-external-data")
        if kind in FLOATS and np.isnan(np.frombuffer(self._weights[offset : offset + size], FLOATS[kind])).any():
            raise _fault("a constant holds a number that is none (NaN)", "graph-not-a-number")

    def _count(self, dims: list[int]) -> int:
        if len(dims) > MAX_RANK or min(dims, default=0) < 0 or math.prod(max(d, 1) for d in dims) > MAX_NUMBERS:
            raise _fault(f"a shape of {dims[:MAX_RANK]}, expected fixed sizes of a sane size", "graph-too-big")
        return math.prod(dims)

    def end(self, tag: str) -> None:
        self._path.pop()
        if "rt_info" in self._path:
            return
        if tag == "dim":
            self._dims.append(int(self._text))
        elif tag == "port":
            self._count(self._dims)
        elif tag == "layer":
            self._layer = ""

    def text(self, text: str) -> None:
        if self._path and self._path[-1] == "dim":
            self._text += text[:20]
