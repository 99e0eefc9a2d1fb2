"""Each dialect's quantizers sit where its runtime's rules say, and its weights are the codes of the formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")
onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

from tests.formulas import placement as formulas  # noqa: E402
from tests.formulas.placement import Operator  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
TO_NHWC = [0, 2, 3, 1]
PAIRS = ("QuantizeLinear", "DequantizeLinear")
BRANCH = (
    "second",
    "scene",
    "now",
)  # parts of ResidualBlock, Motion and AlongTime whose convolution an addition takes in
LARGEST = {"ort-x86": 127, "ort-x86-7bit": 63, "ort-arm": 127, "tensorrt": 127}
AS_CODES = ("ort-x86", "ort-x86-7bit")  # their pictures are codes already, which a Cast and a Mul would give back
PLACES = {name: formulas.in_front if name == "tensorrt" else formulas.everywhere for name in LARGEST}


def encoder(folder: Path, dialect: str) -> onnx.GraphProto:
    return onnx.load(folder / dialect / "encoder.onnx").graph


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    made = {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    return found | made


def outline(graph: onnx.GraphProto, as_codes: bool = False) -> tuple[list[Operator], set[str], set[str]]:
    """The operators without quantizers, the values that a quantizer sits on, and the graph's outputs.

    as_codes: without what makes numbers of a picture's pixels. What lays two columns side by side, and the two of the
    answer apart again (quantize/export/columns.py), moves nothing and is left out.
    """
    known, values, operators, quantized = constants(graph), {some.name: some.name for some in graph.input}, [], set()
    beside = set[str]()  # codes while their columns are moved
    pixels = {some.name for some in graph.input if some.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    for node in graph.node:
        data = [name for name in node.input if name in values]
        if pixels & set(node.input) and node.op_type in ("Transpose", "Cast", "Mul"):
            pixels |= set(node.output)
        moves = node.op_type == "Reshape" and (pixels | beside) & set(node.input)
        if moves or list(node.attribute[0].ints if node.op_type == "Transpose" else []) == TO_NHWC:
            beside |= set(node.output)
            pixels |= set(node.output) if pixels & set(node.input) else set()
            values[node.output[0]] = values[data[0]]
        elif node.op_type == "Transpose" and (beside - pixels) & set(node.input):
            values[node.output[0]] = values[data[0]]
        elif as_codes and pixels & set(node.output) and node.op_type != "Transpose":
            values[node.output[0]] = values[data[0]]
        elif node.op_type in PAIRS:
            if data:
                values[node.output[0]] = values[data[0]]
                quantized.add(values[data[0]])
        elif node.op_type != "Constant" and data:
            weight = "".join(name for name in node.input if name in known or name not in values)
            branch = node.op_type == "Conv" and any(f".{part}." in weight for part in BRANCH)
            operators.append(Operator(node.op_type, tuple(values[name] for name in data), branch))
            values[node.output[0]] = f"#{len(operators) - 1}"
    return operators, quantized, {values[some.name] for some in graph.output}


@pytest.mark.parametrize("dialect", LARGEST)
def test_quantizers_sit_where_the_runtimes_rules_say_and_nowhere_else(quantized: Path, dialect: str) -> None:
    plain, none, outputs = outline(encoder(quantized, "fp32"), dialect in AS_CODES)
    same, found, _ = outline(encoder(quantized, dialect))
    assert not none and [some.kind for some in same] == [some.kind for some in plain]
    assert found == PLACES[dialect](plain, outputs)
    assert len(found) > 20


@pytest.mark.parametrize("dialect", LARGEST)
def test_weights_are_the_codes_of_the_formula(quantized: Path, dialect: str) -> None:
    floats, (codes, scales) = kernels(encoder(quantized, "fp32")), stored(encoder(quantized, dialect))
    assert len(floats) == len(codes) > 20
    for kernel, found, scale in zip(floats, codes, scales, strict=True):
        expected, reach = formulas.weight_codes(kernel, LARGEST[dialect])
        np.testing.assert_allclose(scale, reach, rtol=1e-5)
        assert np.abs(found - expected).max() <= 1  # a value between two codes may fall to either in float32
        assert (found == expected).mean() > 0.99 and np.abs(found).max() == LARGEST[dialect]


def kernels(graph: onnx.GraphProto) -> list[np.ndarray]:
    known = constants(graph)
    return [known[node.input[1]] for node in graph.node if node.op_type == "Conv"]


def stored(graph: onnx.GraphProto) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Codes and scales of each convolution's weight, in the graph's order."""
    known, maker = constants(graph), {name: node for node in graph.node for name in node.output}
    pairs = [maker[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    codes = [known[pair.input[0]].astype(int) for pair in pairs]
    scales = [np.atleast_1d(known[pair.input[1]]) for pair in pairs]
    wide = [code.shape[2:] == (3, 2) for code in codes]
    return (
        [one_column(code) if two else code for code, two in zip(codes, wide, strict=True)],
        [scale[: len(scale) // 2] if two else scale for scale, two in zip(scales, wide, strict=True)],
    )


def one_column(codes: np.ndarray) -> np.ndarray:
    """(2 O, 4 C, 3, 2) of two columns at once -> (O, C, 3, 3): the same kernel for both, and zeros around it."""
    lanes = codes.reshape(2, len(codes) // 2, 4, -1, 3, 2)  # column of output, O, column of a group, C, row, group
    first, second = (
        np.stack([lanes[column, :, lane, :, :, group] for lane, group in places], axis=-1)
        for column, places in enumerate((((3, 0), (0, 1), (1, 1)), ((1, 1), (2, 1), (3, 1))))
    )
    np.testing.assert_array_equal(first, second)
    assert np.count_nonzero(codes) == 2 * np.count_nonzero(first)
    return first
