"""The contract between quantize and targets: read strictly, in one line where it is wrong, and cut to fewer tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codriver.errors import ConfigError, SourceError
from codriver.tasks import AIDE
from tests.reports import quantized_folder
from workshop.emitted_dialect import AccuracyChange
from workshop.quantized_report import CalibrationError, FittedTemperature, MeasuredRanges, QuantizedReport, TaskLoss

EMOTION = "driver_emotion"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return quantized_folder(tmp_path_factory.mktemp("report") / "q")


@pytest.fixture
def report(folder: Path) -> QuantizedReport:
    return QuantizedReport.read(folder)


def full(report: QuantizedReport) -> QuantizedReport:
    """With every part that may be missing."""
    some = next(iter(report.dialects.values()))
    change = AccuracyChange(difference=-0.01, low=-0.02, high=0.0, n=600)
    loss = TaskLoss(mean_abs=0.01, kl=0.1, accuracy=0.0)
    error = CalibrationError(ece=0.1, nll=0.5)
    fine_tuned = replace(
        some,
        qat={"epochs": 2, "records": [{"val": dict.fromkeys(AIDE.names, 1)}]},
        accuracy=dict.fromkeys(AIDE.names, change),
    )
    ranges = MeasuredRanges(chosen="minmax", losses={"minmax": dict.fromkeys(AIDE.names, loss)})
    temperature = FittedTemperature(temperature=1.5, clips=60, before=error, after=error)
    return replace(
        report,
        dialects=report.dialects | {"tuned": fine_tuned},
        calibration=replace(report.calibration, measured_ranges={"tuned": ranges}),
        confidence=dict.fromkeys(AIDE.names, temperature),
    )


def test_what_was_written_is_what_is_read(report: QuantizedReport, tmp_path: Path) -> None:
    full(report).write(tmp_path)
    assert QuantizedReport.read(tmp_path) == full(report) != report


def graph_of(content: Any) -> Any:
    return next(iter(content["dialects"].values()))["encoder"]


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "a key is missing": (lambda c: graph_of(c).pop("path"), r"dialects\.[\w-]+\.encoder lacks path"),
    "a text for a number": (
        lambda c: graph_of(c).update(bytes="12"),
        r"encoder\.bytes is the text '12', expected a whole number",
    ),
    "true for a number": (lambda c: c.update(seed=True), "seed is true, expected a whole number"),
    "half a clip": (lambda c: c["run"].update(test_clips=1.5), r"run\.test_clips is 1\.5, expected a whole number"),
    "null for a text": (lambda c: c.update(color=None), "color is null, expected a text"),
    "a list for an object": (lambda c: c.update(dialects=[]), "dialects is a list that is empty, expected an object"),
    "an object for a list": (lambda c: c.update(streams={}), "streams is an object that is empty, expected a list"),
    "an item of a list": (lambda c: c["streams"].insert(1, 3), r"streams\[1\] is 3, expected an object"),
    "a key nobody knows": (
        lambda c: c["calibration"].update(clip=4),
        r"calibration\.clip is not a key \(did you mean clips\?\)",
    ),
    "a file outside": (lambda c: graph_of(c).update(path="../x.onnx"), r"path '\.\./x\.onnx', expected plain names"),
    "a task set nobody knows": (lambda c: c.update(task_set="cats"), "task_set is 'cats', expected one of aide"),
    "an older folder": (lambda c: c.update(schema=1), "'schema': 1.* expected schema 3 of kind 'quantized'"),
    "another kind of file": (lambda c: c.update(kind="proof"), "'kind': 'proof'"),
    "no kind": (lambda c: c.pop("kind"), "'kind': None"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_report_that_is_wrong_is_one_line_with_file_key_and_remedy(folder: Path, tmp_path: Path, fault: str) -> None:
    content = json.loads((folder / "report.json").read_text())
    damage, message = WRONG[fault]
    damage(content)
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(SourceError, match=rf"report\.json: .*{message}.*; .*quantize the run again$") as caught:
        QuantizedReport.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", "[" * 100_000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(SourceError, match=r"report\.json.*quantize the run again"):
        QuantizedReport.read(tmp_path)


def test_a_folder_without_a_report_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no report\.json; make a quantized folder with quantize\.run"):
        QuantizedReport.read(tmp_path)


def test_a_task_that_is_left_out_has_no_figure_at_any_depth(report: QuantizedReport) -> None:
    whole = full(report)
    cut = whole.without([EMOTION])
    assert EMOTION in repr(whole.run) and EMOTION in repr(whole.dialects["tuned"])
    assert cut.left_out == (EMOTION,) and EMOTION not in repr(replace(cut, left_out=()))
    assert [task.name for task in cut.tasks] == [name for name in AIDE.names if name != EMOTION]
    assert cut.run.test["traffic_context"] == whole.run.test["traffic_context"]
    assert cut.streams == whole.streams and list(cut.dialects) == list(whole.dialects)


def test_nothing_left_out_changes_nothing(report: QuantizedReport) -> None:
    assert full(report).without(()) == full(report)


def test_a_task_that_is_not_there_or_all_of_them_cannot_be_left_out(report: QuantizedReport) -> None:
    with pytest.raises(ConfigError, match="--without weather: the model answers driver_emotion, driver_behavior"):
        report.without(["weather"])
    with pytest.raises(ConfigError, match="nothing would be left"):
        report.without(AIDE.names)


def test_a_dialect_that_was_not_emitted_is_told_with_those_that_were(report: QuantizedReport) -> None:
    with pytest.raises(ConfigError, match=r"dialect ort-arm was not emitted; this folder holds .*ort-x86"):
        report.dialect("ort-arm")
