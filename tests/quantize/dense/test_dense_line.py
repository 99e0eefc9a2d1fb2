"""A run of one camera through every stage: INT8 in each dialect, a bundle, maps and boxes on the device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch
from safetensors.torch import save_file

from codriver import Perceiver
from codriver.bundle.manifest_json import read_manifest
from codriver.verify.golden import check_golden
from quantize.dense.__main__ import main as quantize
from quantize.dense.validate import main as validate
from targets.build import main as build
from tests import ROOT
from training.dense.model import DenseConfig, DenseUVM3TL
from training.synth import main as synth
from training.trainer.checkpoint import MARKER, WEIGHTS
from workshop.dense_report import DenseQuantizedReport

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.slow]
SMALL = DenseConfig(height=64, width=96, widths=(4, 4, 8, 8, 8), channels=8, pool=4, decoder=4)
DIALECTS = ("fp32", "ort-x86-7bit", "tensorrt")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    small = ["--width", "120", "--height", "68", "--workers", "1"]
    assert synth([str(folder / "data"), "--layout", "bdd100k", "--clips", "12", "--seed", "4", *small]) == 0
    run = folder / "run"
    run.mkdir()
    torch.manual_seed(0)  # of a network drawn by chance now and then a box lies at the edge of being one
    model = DenseUVM3TL(SMALL)
    save_file(model.state_dict(), str(run / WEIGHTS))
    meta = {"kind": "dense run", "model": SMALL.to_dict(), "created": "2026-01-01", "git_commit": "0", "pictures": {}}
    tests = {task: {"scores": {}} for task in model.task_set.names}
    (run / MARKER).write_text(json.dumps(meta | {"test": tests}))
    options = [option for name in DIALECTS for option in ("--dialect", name)]
    few = ["--pictures", "2", "--check", "1", "--test", "2", "--golden", "1"]
    assert quantize([str(run), "--data", str(folder / "data"), "--out", str(folder / "q"), *options, *few]) == 0
    return folder / "q"


def test_every_convolution_is_in_int8_and_no_rule_is_broken(quantized: Path) -> None:
    report = DenseQuantizedReport.read(quantized)
    for name in DIALECTS[1:]:
        found = report.dialects[name]
        assert found.lint is not None and found.lint.findings == 0
        assert found.audit is not None and found.audit.int8_share is not None and found.audit.int8_share > 0.9


def test_each_task_is_compared_by_a_measure_of_its_kind_and_judged_against_full_precision(quantized: Path) -> None:
    report = DenseQuantizedReport.read(quantized)
    for name in DIALECTS[1:]:
        found = report.dialects[name]
        assert all(set(by) == {"vehicles", "drivable_area", "lane_lines"} for by in found.parity.values())
        judged = {task: one.judged_by for task, one in found.accuracy.items()}
        assert judged == {"vehicles": "ap50_coco", "drivable_area": "miou", "lane_lines": "miou"}
        assert all(one.low <= one.cost <= one.high for one in found.accuracy.values())
    assert set(report.dialects["ort-x86-7bit"].parity) == {"integer", "onnxruntime"}
    assert set(report.dialects["tensorrt"].parity) == {"integer"} and report.dialects["tensorrt"].not_run


def test_a_bundle_of_it_proves_itself_and_answers(quantized: Path, tmp_path: Path) -> None:
    out = tmp_path / "road.bundle"
    allow = ["--allow", "accuracy", "--allow", "audit", "--every", "0.1"]
    assert build([str(quantized), "--target", "x86-no-vnni", "--out", str(out), *allow]) == 0
    manifest = read_manifest(out)
    assert manifest.dense is not None and manifest.dense.every_s == 0.1 and manifest.views == ("front",)
    with Perceiver.open(out, threads=1) as perceiver:
        assert all(difference.ok for difference in check_golden(perceiver))
        image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
        assert perceiver.step({"front": image}, 0.0).drivable_area.on(90, 160).shape == (90, 160)
    assert "drivable_area" in (out / "MODEL_CARD.md").read_text()


@pytest.fixture(scope="module")
def bundles(quantized: Path) -> dict[str, Path]:
    allow = ["--allow", "accuracy", "--allow", "audit"]
    found = {name: quantized.parent / f"{name}.bundle" for name in ("x86-ort-fp32", "x86-no-vnni")}
    for target, out in found.items():
        assert build([str(quantized), "--target", target, "--out", str(out), *allow]) == 0
    return found


def test_the_evidence_scores_what_the_device_answers_and_says_what_int8_costs(
    quantized: Path, bundles: dict[str, Path], tmp_path: Path
) -> None:
    data, out, page = quantized.parent / "data", tmp_path / "e.json", tmp_path / "e.html"
    given = [str(path) for path in bundles.values()]
    validate([*given, "--data", str(data), "--pictures", "2", "--out", str(out), "--html", str(page), "--threads", "1"])
    found = json.loads(out.read_text())
    full, int8 = found["subjects"]
    assert (found["reference"], full["full_precision"], int8["full_precision"]) == (full["key"], True, False)
    report = DenseQuantizedReport.read(quantized).dialects["ort-x86-7bit"]
    # The same two pictures, by the model in torch, and by the graph alone. Boxes: a device leaves out the least sure.
    for task, one in ((task, one) for task, one in report.accuracy.items() if task != "vehicles"):
        assert full["tasks"][task]["scores"] == pytest.approx(dict(one.fp32), abs=1e-3)
        assert int8["tasks"][task]["scores"] == pytest.approx(dict(one.scores), abs=1e-3)
        assert int8["tasks"][task]["cost"]["cost"] == pytest.approx(one.cost, abs=1e-3)
    assert "<script" not in page.read_text() and int8["key"] in page.read_text()
    assert page.read_text().count("full precision</td>") == 2  # rows of two pictures


def test_int8_with_nothing_in_full_precision_beside_it_is_not_passed(
    quantized: Path, bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(quantized.parent / "data")
    assert validate([str(bundles["x86-no-vnni"]), "--data", data, "--pictures", "1", "--threads", "1"]) == 1
    said = capsys.readouterr().out
    assert "MAY NOT SHIP" in said and "nothing in full precision was run beside it" in said


def test_a_bundle_without_maps_is_refused_in_one_line(quantized: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate([str(ROOT / "samples/try/demo.bundle"), "--data", str(quantized.parent / "data")]) == 2
    assert "has no maps and no boxes" in capsys.readouterr().err


def test_a_map_that_is_to_be_left_out_is_refused_and_never_shipped_in_silence(
    quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "road.bundle"
    assert build([str(quantized), "--target", "x86-no-vnni", "--out", str(out), "--without", "vehicles"]) == 2
    assert "none can be left out" in capsys.readouterr().err and not out.exists()


def test_the_tensorrt_bundle_is_rehearsed_node_by_node(quantized: Path, tmp_path: Path) -> None:
    out = tmp_path / "orin.bundle"
    allow = ["--allow", "accuracy", "--allow", "audit", "--allow", "golden"]
    assert build([str(quantized), "--target", "orin-nano-8gb-25w", "--out", str(out), *allow]) == 0
    assert [variant.name for variant in read_manifest(out).variants] == ["tensorrt", "tensorrt-fp16"]
