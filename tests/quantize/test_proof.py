"""Every way to run a dialect is held against the fake-quantized model, and what departs from it is named."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("openvino")

import onnx  # noqa: E402

from codriver.tasks import AIDE, GROUPS, JOINTS  # noqa: E402
from quantize.export.fake_quant import load_fake_quant  # noqa: E402
from quantize.graphs.reference import TorchGraphs  # noqa: E402
from quantize.graphs.stepping import Trace, stepped, whole  # noqa: E402
from quantize.parity.cases import STEPPED  # noqa: E402
from quantize.parity.compare import RUNTIME, SAME_CODES, ParityCheck  # noqa: E402
from quantize.parity.runners import EngineGraphs, IntegerReference  # noqa: E402
from quantize.prove import main as prove  # noqa: E402
from targets.packing.gate import judge  # noqa: E402
from targets.profiles.profile import load_profile  # noqa: E402
from tests.quantize.planted import openvino_reading_onnx, through_concat, with_scale  # noqa: E402
from training.data.clips import Clip, load_clips  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402
from workshop.quantized_report import QuantizedReport  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
SEVEN = "ort-x86-7bit"  # the one that any x86 runs right


@pytest.fixture(scope="module")
def clips(quantized: Path, dataset: Path) -> list[Clip]:
    return load_clips(read_split(dataset, "val"), load_fake_quant(quantized, "fp32").model.config, AIDE)


@pytest.fixture(scope="module")
def proven(quantized: Path, untrained_run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the quantized folder, with the proof of two dialects."""
    folder = Path(shutil.copytree(quantized, tmp_path_factory.mktemp("proof") / "quantized"))
    dialects = ["--dialect", SEVEN, "--dialect", "openvino", "--dialect", "tensorrt"]
    assert prove([str(folder), "--run", str(untrained_run), "--data", str(dataset), *dialects]) == 0
    return folder


def graphs(folder: Path, dialect: str) -> tuple[TorchGraphs, Any]:
    pair = load_fake_quant(folder, dialect)
    return TorchGraphs(pair.encoder, pair.fuser, AIDE.names), pair.model.config


def test_each_runtime_and_the_integer_reference_give_what_the_fake_quantized_model_gives(proven: Path) -> None:
    checks = json.loads((proven / "proof.json").read_text())["checks"]
    ways = {(c["dialect"], c["way"]) for c in checks if c["against"] == "fake-quant" and c["mode"] == "stepped"}
    assert ways == {
        (SEVEN, "integer"),
        (SEVEN, "onnxruntime"),
        ("openvino", "openvino"),
        ("tensorrt", "integer"),
    }
    assert all(set(c["tasks"]) == set(AIDE.names) and set(c["slots"]) == set(GROUPS) for c in checks)


def test_what_could_not_run_here_is_said(proven: Path) -> None:
    proof = json.loads((proven / "proof.json").read_text())
    assert "tensorrt" in proof["not_proven"]["tensorrt"]
    assert proof["ways"] == {f"{SEVEN} PTQ": "onnxruntime", "openvino PTQ": "openvino", "tensorrt PTQ": "integer"}


def test_what_int8_cost_on_test_clips_stands_in_the_report_where_the_gate_judges_it(proven: Path) -> None:
    proof, dialects = json.loads((proven / "proof.json").read_text()), QuantizedReport.read(proven).dialects
    written = {name: some.accuracy for name, some in dialects.items() if some.accuracy is not None}
    assert set(written) == {SEVEN, "openvino", "tensorrt"}
    lost = proof["accuracy"][f"{SEVEN} PTQ"]["against"]["fp32"]["traffic_context"]
    told = written[SEVEN]["traffic_context"]
    assert (told.difference, [told.low, told.high], told.n) == (lost["difference"], [*lost["interval"]], proof["n"])
    strict = replace(load_profile("x86-no-vnni"), accuracy_budget_points=dict.fromkeys(AIDE.names, -101.0))
    missed = [miss.name for miss in judge(dialects, strict, floor_ms=1.0).misses]
    assert missed.count(f"accuracy:{SEVEN}") == len(AIDE.names)


def test_validation_clips_tell_the_gate_nothing(
    quantized: Path, untrained_run: Path, dataset: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(quantized, tmp_path / "q"))
    few = ["--split", "val", "--clips", "1", "--wholes", "1", "--dialect", SEVEN]
    assert prove([str(folder), "--run", str(untrained_run), "--data", str(dataset), *few]) == 0
    assert QuantizedReport.read(folder).dialects[SEVEN].accuracy is None


def test_the_page_carries_its_pictures_and_fetches_nothing(proven: Path) -> None:
    page = (proven / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{5})', page)
    assert sources and set(sources) == {"data:"} and "<script" not in page
    assert "Not proven on this machine: tensorrt" in page


@pytest.mark.parametrize("dialect", [SEVEN, "tensorrt"])
def test_a_wrong_scale_fails_the_proof_and_is_named(
    quantized: Path, untrained_run: Path, dataset: Path, tmp_path: Path, capsys: Any, dialect: str
) -> None:
    folder = Path(shutil.copytree(quantized, tmp_path / "quantized"))
    path = folder / dialect / "encoder.onnx"
    onnx.save(with_scale(onnx.load(path), 1.5), path)
    command = [str(folder), "--run", str(untrained_run), "--data", str(dataset), "--dialect", dialect]
    assert prove(command) == 1
    said = capsys.readouterr().err
    assert re.search(rf"{dialect}: integer against fake-quant, stepped: features of incar: relative error 0\.\d+", said)
    assert "expected at most 0.01" in said and "Do not release" in (folder / "report.html").read_text()


def test_openvino_reading_signed_codes_at_a_concatenation_is_caught(quantized: Path, clips: list[Clip]) -> None:
    """The defect that reference/int8.md 3.3 describes, still there; unsigned codes in the same graph are read right.

    On a processor with AMX OpenVINO takes other kernels, which read signed ones right too (ONEDNN_MAX_CPU_ISA=
    AVX512_CORE_VNNI brings the defect back): there is nothing to catch there.
    """
    _, config = graphs(quantized, "tensorrt")
    clean = onnx.load(quantized / "fp32" / "encoder.onnx")
    fuser = IntegerReference(onnx.load(quantized / "fp32" / "fuser.onnx"))
    faults = {}
    for codes in (np.int8, np.uint8):
        planted = through_concat(clean, "outside_slot", codes)
        right, wrong = (
            stepped(EngineGraphs(engine, fuser), clips, config)
            for engine in (IntegerReference(planted), openvino_reading_onnx(planted))
        )
        check = ParityCheck("planted", "openvino", "integer", STEPPED, RUNTIME)
        check.add(wrong, right)
        faults[codes] = check.report(AIDE)["faults"]
    caught = any("planted: openvino against integer, stepped: slots of outside" in fault for fault in faults[np.int8])
    assert caught or "amx_int8" in Path("/proc/cpuinfo").read_text()
    assert not faults[np.uint8]


def test_stepping_gives_what_the_whole_clip_gives_also_where_a_stream_was_away(
    quantized: Path, clips: list[Clip]
) -> None:
    coded, config = graphs(quantized, SEVEN)
    gap = clips[0].mask.copy()
    gap[1, 5:8] = 0.0
    both = [clips[0], replace(clips[0], mask=gap)]
    one, other = stepped(coded, both, config), whole(coded, both, config)
    for group in GROUPS:
        np.testing.assert_allclose(one.slots[group], other.slots[group], atol=1e-5)
    assert not one.slots["outside"][5:9, 1, 0].any() and one.slots["outside"][5:9, 0, 0].any()


def test_a_batch_of_clips_gives_what_each_gives_alone(quantized: Path, dataset: Path) -> None:
    coded, config = graphs(quantized, SEVEN)
    some = load_clips(read_split(dataset, "train")[:2], config, AIDE)
    together, alone = stepped(coded, some, config), stepped(coded, some[1:], config)
    for task, values in alone.probabilities.items():
        np.testing.assert_allclose(together.probabilities[task][1:], values, atol=1e-4)


def test_the_largest_weight_of_seven_bits_lies_on_no_tie(quantized: Path) -> None:
    """It did: 63.5 became 63 in one place and 64 in another."""
    graph = onnx.load(quantized / SEVEN / "encoder.onnx").graph
    kernels = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert {int(np.abs(kernel.astype(int)).max()) for kernel in kernels if kernel.ndim == 4} == {63}


def test_one_answer_between_two_equal_classes_is_forgiven_and_more_are_not() -> None:
    from quantize.parity.compare import allowed_flips

    assert [allowed_flips(n, 0.99) for n in (1, 100, 600)] == [1, 1, 6] and allowed_flips(600, 1.0) == 0


def test_another_run_than_the_quantized_one_is_refused(
    quantized: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    from tests.untrained import write_untrained_run

    write_untrained_run(tmp_path / "other", "tiny", dataset, seed=1)
    assert prove([str(quantized), "--run", str(tmp_path / "other"), "--data", str(dataset)]) == 2
    assert "give that run" in capsys.readouterr().err


def test_a_number_that_is_none_fails() -> None:
    from quantize.parity.compare import faults

    rows = {task: {"agreement": 1.0, "flips": 0, "mean_abs": float("nan"), "max_abs": 0.0} for task in AIDE.names}
    slots = {"slots": {JOINTS[0]: float("nan")}}
    result = {"clips": 1, "tasks": rows, "features": {}, **slots, "limits": {"slots": {JOINTS[0]: 0.1}}}
    assert len(faults("x", result, SAME_CODES, AIDE)) == len(AIDE.names) + 1


@pytest.mark.parametrize(("apart", "fails"), [(1.3, False), (1.6, True)])
def test_two_ways_to_round_may_lie_as_far_apart_as_two_independent_errors(apart: float, fails: bool) -> None:
    full, error = np.ones((16, 1, 1, 8)), np.tile([0.1, -0.1], (16, 1, 1, 4))  # a tenth of the norm
    rounding, check = (ParityCheck("x", "a", "b", STEPPED, RUNTIME) for _ in range(2))
    check.rounding = rounding

    def trace(values: Any) -> Trace:
        return Trace({"incar": values}, {}, {"incar": values}, {task: np.eye(2)[:1] for task in AIDE.names})

    rounding.add(trace(full + error), trace(full))
    check.add(trace(full + error + apart * error), trace(full + error))
    found = [some for some in check.report(AIDE)["faults"] if "of incar" in some]
    assert len(found) == (2 if fails else 0)
