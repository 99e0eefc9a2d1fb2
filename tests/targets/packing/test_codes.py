"""Codes handed on in place of numbers give the answers that the numbers gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import Manifest, StreamSpec, VariantSpec
from codriver.counts import StageClock
from codriver.device.cores import Cores
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles
from codriver.engines.by_stream import ByStream
from codriver.errors import BundleError
from codriver.network.context import Context
from codriver.network.graphs import Graphs
from codriver.tasks import VIEWS
from targets.packing.codes import in_codes
from tests.targets.packing.test_pooled import bundle_with_pooled
from tests.tiny import loaded, tiny_manifest

STREAMS = (
    StreamSpec(name="face", kind="image", size=2, feature=(3, 2, 2), slot=(3, 2, 2)),
    StreamSpec(name="posture", kind="joints", size=4, feature=(12,), slot=(12,)),
)
SCALES = {"face": (0.02, 0.0311, 0.0507), "posture": (0.0101, 0.0217, 0.0403)}  # of features, motions, slots
FILES = {"ort-x86/encoder-face.onnx": "face", "ort-x86/encoder-posture.onnx": "posture"}
WHAT = {"f": "feature", "m": "motion", "s": "slot"}
REST = "ort-x86/fuser-pooled.onnx"
Found = dict[str, NDArray[Any]]


def manifest(**variant: Any) -> Manifest:
    spec = VariantSpec(name="ort-x86", engine="onnxruntime", requires=(), encoders=tuple(FILES), pooled=REST, **variant)
    return replace(tiny_manifest(("incar",)), streams=STREAMS, variants=(spec,), finder=None)


def part(group: str, *, zero: int = 0, dtype: Any = np.uint8, ends: str = "codes") -> bytes:
    """The feature is the input, the motion how far it rose, the slot both motions; each of them in codes."""
    signature = manifest().signature_of(f"encoder-{group}")
    constants: Found = {"shape": np.array(signature.inputs[f"{group}_before"].shape), "zero": np.array(zero, dtype)}
    constants |= {f"{what}_scale": np.float32(s) for what, s in zip(("f", "m", "s"), SCALES[group], strict=True)}
    constants["small"] = np.float32(1 / 64 if group == "face" else 1.0)
    nodes = [
        helper.make_node("Cast", [group], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "small"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["f"]),
        helper.make_node("Sub", [f"{group}_feature", f"{group}_before"], ["rise"]),
        helper.make_node("Relu", ["rise"], ["m"]),
        helper.make_node("Add", [f"{group}_motion", f"{group}_motion_before"], ["s"]),
    ]
    made = list[onnx.NodeProto]()
    for node in nodes:
        made.append(node)
        if (letter := node.output[0]) in ("f", "m", "s"):
            end, how = f"{group}_{WHAT[letter]}", [f"{letter}_scale", "zero"]
            made += (
                [
                    helper.make_node("QuantizeLinear", [letter, *how], [f"{letter}_q"]),
                    helper.make_node("DequantizeLinear", [f"{letter}_q", *how], [end]),
                ]
                if ends == "codes"
                else [helper.make_node("Identity", [letter], [end])]
            )
    return model(made, constants, signature)


def rest() -> bytes:
    """Logits of maps and vectors, by random weights."""
    signature, random = manifest().signature_of("fuser-pooled"), np.random.default_rng(0)
    constants = {
        "of_maps": random.standard_normal((24, 3)).astype(np.float32),
        "of_vectors": random.standard_normal((24, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["maps"], ["flat"]),
        helper.make_node("MatMul", ["flat", "of_maps"], ["a"]),
        helper.make_node("Flatten", ["vectors"], ["v"]),
        helper.make_node("MatMul", ["v", "of_vectors"], ["b"]),
    ]
    for task in manifest().tasks:
        widen = f"to_{task.name}"
        constants[widen] = random.standard_normal((3, len(task.labels))).astype(np.float32)
        nodes += [
            helper.make_node("Sum", ["a", "b"], [f"{task.name}_sum"]),
            helper.make_node("MatMul", [f"{task.name}_sum", widen], [task.name]),
        ]
    return model(nodes, constants, signature)


def model(nodes: list[onnx.NodeProto], constants: Found, signature: Any) -> bytes:
    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kinds[t.dtype], t.shape) for name, t in side.items()]
        for side in (signature.inputs, signature.outputs)
    )
    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def logits(graphs: dict[str, bytes], fuser: bytes, **variant: Any) -> list[Found]:
    """Of sixty steps at ten a second, in which the joints stay away for a while."""
    some, random, found = manifest(**variant), np.random.default_rng(1), list[Found]()
    kept = some.variants[0].kept
    parts = {
        group: open_engine("onnxruntime", GraphFiles(graphs[path]), some.signature_of(f"encoder-{group}", kept))
        for path, group in FILES.items()
    }
    encoder = ByStream(parts, some.encoder_signature_in(kept), Cores())
    rest_of = open_engine("onnxruntime", GraphFiles(fuser), some.signature_of("fuser-pooled", kept))
    bundle, context = loaded(some, encoder, rest_of), Context(some, kept)
    at_work = Graphs(bundle)
    for number in range(60):
        inputs: Found = {"face": random.integers(0, 256, (2, 2, 3), np.uint8)}
        inputs |= {} if 20 <= number < 40 else {"posture": random.random((4, 3), np.float32)}
        at_work.encode(inputs, dict.fromkeys(VIEWS, number / 10), context, StageClock())
        found.append({task: values.copy() for task, values in at_work.fuse(context, number / 10)[1].items()})
    return found


def test_a_stream_of_codes_answers_as_the_stream_of_their_numbers() -> None:
    numbers = {path: part(group) for path, group in FILES.items()}
    coded = in_codes(numbers, rest())
    assert coded is not None
    kinds = {
        v.type.tensor_type.elem_type for v in onnx.load_from_string(coded[0]["ort-x86/encoder-face.onnx"]).graph.output
    }
    assert kinds == {TensorProto.UINT8}
    expected, found = logits(numbers, rest()), logits(*coded, codes=True)
    for step, (one, other) in enumerate(zip(expected, found, strict=True)):
        for task, values in one.items():
            np.testing.assert_allclose(other[task], values, atol=1e-4, err_msg=f"step {step}")
    assert all(np.ptp([step[task][0, 0] for step in expected]) > 1 for task in expected[0])


@pytest.mark.parametrize(
    "face",
    [{"dtype": np.int8}, {"zero": 3}, {"ends": "numbers"}],
    ids=["signed codes", "zero has another code", "no codes at all"],
)
def test_where_zero_is_not_code_zero_numbers_stay(face: dict[str, Any]) -> None:
    graphs = {path: part(group, **(face if group == "face" else {})) for path, group in FILES.items()}
    assert in_codes(graphs, rest()) is None


def test_codes_for_a_whole_graph_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has codes, which a whole graph does not take"):
        Bundle.open(bundle_with_pooled(tmp_path / "codes", codes=True))
