"""The linter as a command, on files that nobody vouches for: findings or one line, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.lint import lint, main, report_lines  # noqa: E402
from quantize.rules.dialects import RULES  # noqa: E402
from quantize.rules.mend import mended  # noqa: E402
from quantize.rules.read import GraphError, model_from_bytes  # noqa: E402
from tests.quantize.qdq_net import CLEAN, node, onnxruntime_net, setting, tensor, tensorrt_net  # noqa: E402

MUTATIONS = 400


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return written(tmp_path / "clean.onnx", tensorrt_net())


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must end with 2."""
    assert main([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("quantize.lint: ") and err.count("\n") == 1
    return err


def test_a_clean_file_ends_with_0_and_says_how_many_rules_were_checked(
    clean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(clean), "--dialect", "tensorrt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{clean} against tensorrt: 15 rules, 0 broken, 0 findings"
    assert len(lines) == 3 and lines[-1].startswith("opened by ONNX Runtime")


def test_findings_are_grouped_by_rule_aligned_and_end_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tensorrt_net()
    setting("block_dq_z", np.uint8(0))(model)
    setting("first_dq_z", np.uint8(0))(model)
    model.ir_version = 11
    assert main([str(written(tmp_path / "m.onnx", model)), "--dialect", "tensorrt"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("15 rules, 2 broken, 3 findings")
    assert "      first_dq_q  stores uint8" in lines and "      block_dq_q  stores uint8" in lines
    assert (
        sum(line.startswith("    why ") for line in lines) == sum(line.startswith("    mend ") for line in lines) == 2
    )


def test_json_holds_every_rule_and_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tensorrt_net()
    setting("block_dq_z", np.int8(7))(model)
    assert main([str(written(tmp_path / "m.onnx", model)), "--dialect", "tensorrt", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert [rule["number"] for rule in content["rules"]] == list(range(15))
    assert content["findings"] == [{"rule": 2, "where": "block_dq_q", "what": "zero-point is 7"}]
    assert content["broken"] == 1 and content["mended"] is None


@pytest.mark.parametrize("dialect", RULES)
def test_the_rules_of_a_dialect_can_be_read_without_a_file(dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dialect", dialect, "--rules"]) == 0
    out = capsys.readouterr().out
    assert all(rule.title in out for rule in RULES[dialect])


def test_many_findings_of_one_rule_are_cut_short_for_people() -> None:
    model = onnxruntime_net()
    for copy in range(30):
        model.graph.node.append(helper.make_node("Foreign", ["image"], [f"f{copy}"], name=f"f{copy}", domain="a"))
    lines = report_lines("m", lint(model, "ort-x86"))
    assert any("more: --json has them all" in line for line in lines) and len(lines) < 40


def test_a_name_cannot_write_to_the_terminal() -> None:
    model = onnxruntime_net()
    node(model, "answer").op_type, node(model, "answer").name = "Foreign", "a\x1b[31m\nb"
    text = "\n".join(report_lines("m", lint(model, "ort-x86")))
    assert "\x1b" not in text and r"a\x1b[31m\nb" in text


def test_fix_writes_a_clean_copy_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnxruntime_net(stored=False)
    model.ir_version = 11
    path, out = written(tmp_path / "m.onnx", model), tmp_path / "out.onnx"
    assert main([str(path), "--dialect", "ort-x86", "--fix", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("mended: ir_version 11 lowered to 10\n") and f"{out} against ort-x86: 14 rules, 0" in text
    assert not lint(onnx.load(out), "ort-x86").findings
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_fix_ends_with_1_and_names_what_it_could_not_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tensorrt_net()
    setting("block_dq_z", np.uint8(0))(model)
    path = written(tmp_path / "m.onnx", model)
    assert main([str(path), "--dialect", "tensorrt", "--fix", str(tmp_path / "out.onnx"), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert [finding["rule"] for finding in content["findings"]] == [2] and content["file"].endswith("out.onnx")


def test_fix_never_writes_over_the_file_itself(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = clean.read_bytes()
    assert "is the file itself" in refusal(capsys, clean, "--dialect", "tensorrt", "--fix", clean)
    assert clean.read_bytes() == before


def test_fix_leaves_nothing_behind_when_it_cannot_write(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clean.parent / "taken").mkdir()
    for out in (clean.parent / "no" / "out.onnx", clean.parent / "taken"):
        assert "cannot be written" in refusal(capsys, clean, "--dialect", "tensorrt", "--fix", out)
    assert sorted(path.name for path in clean.parent.iterdir()) == ["clean.onnx", "taken"]


def test_lists_of_expected_convolutions_come_from_a_file(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = clean.parent / "names.txt"
    names.write_text("stem\nfirst\nsecond\nleft\nright\njoined\nup\n")
    assert main([str(clean), "--dialect", "tensorrt", "--expect", str(names)]) == 0
    capsys.readouterr()
    names.write_text("stem\nmistyped\n")
    assert main([str(clean), "--dialect", "tensorrt", "--expect", str(names), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {"rule": 13, "where": "mistyped", "what": "is on the list, and no convolution has this name"} in found
    assert "no list of names" in refusal(capsys, clean, "--dialect", "tensorrt", "--expect", clean.parent)


BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[: len(data) // 2], "truncated or no ONNX file"),
    "cut by one byte": (lambda data: data[:-1], "truncated or no ONNX file"),
    "empty": (lambda data: b"", "holds no graph"),
    "cut behind its head": (lambda data: data[:2], "holds no graph"),
    "text": (lambda data: b"# not a model\n" * 9, "truncated or no ONNX file"),
    "a picture": (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(50), "no ONNX file"),
    "zeros": (lambda data: bytes(1000), "no ONNX file"),
    "not UTF-8": (lambda data: data.replace(b"stem_relu", b"stem\xff\xferel"), "no UTF-8 text"),
}


@pytest.mark.parametrize("how", BAD_FILES)
def test_a_file_that_cannot_be_read_is_one_line(clean: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, reason = BAD_FILES[how]
    clean.write_bytes(spoil(clean.read_bytes()))
    assert reason in refusal(capsys, clean, "--dialect", "tensorrt")


def test_a_path_that_is_no_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder" in refusal(capsys, tmp_path, "--dialect", "tensorrt")
    assert "does not exist" in refusal(capsys, tmp_path / "no.onnx", "--dialect", "tensorrt")
    assert "no FILE given" in refusal(capsys, "--dialect", "tensorrt")
    assert "belongs to --fix" in refusal(capsys, tmp_path, "--dialect", "tensorrt", "--float-outputs")


def with_external_data(folder: Path) -> Path:
    path = folder / "external.onnx"
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save_model(onnxruntime_net(stored=False), path, **options)
    return path


def test_weights_in_a_file_beside_it_are_read_and_mended(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    assert main([str(path), "--dialect", "ort-x86", "--fix", str(tmp_path / "out.onnx")]) == 0
    assert not any(
        t.external_data for t in onnx.load(tmp_path / "out.onnx", load_external_data=False).graph.initializer
    )


@pytest.mark.parametrize("how", ["missing", "short", "outside"])
def test_weights_that_are_not_beside_it_are_one_line(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_external_data(tmp_path)
    if how == "missing":
        (tmp_path / "weights.bin").unlink()
    if how == "short":
        (tmp_path / "weights.bin").write_bytes(b"12345")
    if how == "outside":
        path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../weights2"))
    code = main([str(path), "--dialect", "ort-x86"])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and err.count("\n") == 1 and "in a file beside it" in err


def test_sizes_that_the_file_only_declares_are_findings_and_take_no_memory() -> None:
    model = onnxruntime_net()
    huge = tensor(model, "first_w_q")
    del huge.dims[:]
    huge.dims.extend([2**40, 2**20, 3, 3])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**62
    assert 0 in {finding.rule for finding in lint(model, "ort-x86-7bit").findings}


def test_symbolic_shapes_are_fine() -> None:
    model = onnxruntime_net()
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "any"
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert {finding.rule for finding in lint(model, "ort-x86").findings} <= {0}


def test_a_cycle_ends_every_walk() -> None:
    model = tensorrt_net()
    chain = [("Identity", "a", "c"), ("Reshape", "b", "a"), ("Transpose", "c", "b"), ("Relu", "d", "c")]
    model.graph.node.extend(helper.make_node(op, [x], [y], name=y) for op, y, x in chain)
    for name in ("left", "residual", "erf_in", "gate", "first_w_q"):
        for index in range(2):
            if name in {found.name for found in model.graph.node}:
                node(model, name).input[min(index, len(node(model, name).input) - 1)] = "c"
    model.graph.node.append(helper.make_node("Identity", ["same"], ["same"]))
    node(model, "block_dq_q").input[1] = "same"
    for dialect in RULES:
        assert 0 in {finding.rule for finding in lint(model, dialect).findings}


def test_functions_are_judged_by_what_is_in_them() -> None:
    """A file with a local function around an operator that no runtime has."""
    body = [helper.make_node("FakeQuantize", ["x"], ["y"], domain="org.openvinotoolkit", name="inside")]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("org.openvinotoolkit", 1)]
    function = helper.make_function("local", "wrapped", ["x"], ["y"], body, imports)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    call = helper.make_node("wrapped", ["x"], ["y"], domain="local", name="call")
    graph = helper.make_graph([call], "g", ends[:1], ends[1:])
    model = helper.make_model(
        graph, functions=[function], opset_imports=[*imports, helper.make_opsetid("local", 1)], ir_version=10
    )
    found = [f for f in lint(model, "tensorrt").findings if f.rule == 1]
    assert [f.what for f in found] == ["FakeQuantize of domain org.openvinotoolkit"]


def test_no_mutation_of_a_clean_graph_crashes_the_linter() -> None:
    """Findings or GraphError, whatever happens to the nodes, inputs, constants, attributes, dims and bytes."""
    seen, refused = 0, 0
    for seed in range(MUTATIONS):
        random = np.random.default_rng(seed)
        dialect = list(RULES)[seed % len(RULES)]
        try:
            model = mutant(CLEAN[dialect](), random)
            seen += bool(report_lines("m", lint(model, dialect)))
            json.dumps([finding.what for finding in lint(model, "tensorrt").findings])
            mended(model, float_outputs=bool(seed % 2))
        except GraphError as error:
            refused += 1
            assert "\n" not in str(error)
    assert seen > MUTATIONS / 2 and refused > MUTATIONS / 4


def mutant(model: onnx.ModelProto, random: np.random.Generator) -> onnx.ModelProto:
    for _ in range(random.integers(1, 5)):
        STRUCTURAL[random.integers(len(STRUCTURAL))](model.graph, random)
    if random.random() < 0.4:
        data = bytearray(model.SerializeToString())
        for _ in range(random.integers(1, 6)):
            data[random.integers(len(data))] = random.integers(256)
        model = model_from_bytes(bytes(data if random.random() < 0.8 else data[: random.integers(len(data))]), "mutant")
    return model


def _some(random: np.random.Generator, items: object) -> object:
    return items[int(random.integers(len(items)))]  # type: ignore[arg-type, index]


def drop_node(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    del graph.node[int(random.integers(len(graph.node)))]


def repeat_node(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    graph.node.append(_some(random, graph.node))


def swap_nodes(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    one, other = (int(i) for i in random.integers(len(graph.node), size=2))
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(graph.node[one])
    second.CopyFrom(graph.node[other])
    graph.node[one].CopyFrom(second)
    graph.node[other].CopyFrom(first)


def rewire(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    names = [name for found in graph.node for name in found.output] + [t.name for t in graph.initializer] + [""]
    found = _some(random, graph.node)
    side = found.input if random.random() < 0.7 else found.output  # type: ignore[attr-defined]
    if side:
        side[int(random.integers(len(side)))] = _some(random, names)


def drop_input(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    found = _some(random, graph.node)
    if found.input:  # type: ignore[attr-defined]
        del found.input[int(random.integers(len(found.input)))]  # type: ignore[attr-defined]


def rename_operator(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    kinds = ["Conv", "Concat", "Add", "MatMul", "Gemm", "DequantizeLinear", "QuantizeLinear", "Sqrt", "Erf", "", "If"]
    _some(random, graph.node).op_type = _some(random, kinds)  # type: ignore[attr-defined]


def spoil_attribute(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    found = _some(random, graph.node)
    values = [-7, 2**40, 1.5, "text", [1, -9], [], b"\xff", [0.5], ["a"]]
    name = _some(random, ["axis", "perm", "transB", "output_dtype", "value", "block_size", "axes"])
    value = _some(random, values)
    kind = onnx.AttributeProto.INTS if value == [] else None
    found.attribute.append(helper.make_attribute(name, value, attr_type=kind))  # type: ignore[attr-defined]


def spoil_constant(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    found = _some(random, graph.initializer)
    way = random.integers(5)
    if way == 0:
        graph.initializer.remove(found)
    elif way == 1:
        found.dims.append(int(random.integers(-3, 2**40)))  # type: ignore[attr-defined]
    elif way == 2:
        found.data_type = int(random.integers(0, 30))  # type: ignore[attr-defined]
    elif way == 3:
        found.raw_data = bytes(random.integers(0, 256, 7, np.uint8))  # type: ignore[attr-defined]
    else:
        shape = tuple(int(n) for n in random.integers(0, 5, random.integers(0, 4)))
        values = _some(random, [np.nan, 0, -1, 300]) * np.ones(shape)  # type: ignore[operator]
        kind = _some(random, [np.float32, np.float16, np.float64])
        found.CopyFrom(numpy_helper.from_array(values.astype(kind), found.name))  # type: ignore[attr-defined]


def drop_ends(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    side = graph.input if random.random() < 0.5 else graph.output
    if side and random.random() < 0.5:
        del side[0]
    elif side:
        side[0].name = str(_some(random, [found.name for found in graph.node]))


def nest(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    """Hang a copy of the graph into one of its nodes."""
    inner = onnx.GraphProto()
    inner.CopyFrom(graph)
    if len(inner.node) < 200:
        _some(random, graph.node).attribute.append(helper.make_attribute("body", inner))  # type: ignore[attr-defined]


STRUCTURAL = [
    drop_node,
    repeat_node,
    swap_nodes,
    rewire,
    rewire,
    drop_input,
    rename_operator,
    spoil_attribute,
    spoil_constant,
    spoil_constant,
    drop_ends,
    nest,
]


def test_the_linter_needs_neither_torch_nor_nncf_nor_a_runtime() -> None:
    hidden = "import sys; sys.modules.update(dict.fromkeys(['torch', 'nncf', 'onnxruntime', 'openvino', 'cv2']))"
    code = f"{hidden}; from quantize.lint import main; sys.exit(main(['--dialect', 'tensorrt', '--rules']))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0
