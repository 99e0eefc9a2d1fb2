"""Logs and metrics: they tell of faults and counts, stay small under a lasting fault, and never tell an answer."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from codriver.arrays import Arrays
from codriver.cli.main import main
from codriver.config import WorkerConfig
from codriver.errors import EngineError
from codriver.monitoring.event_log import EventLog, JsonLines, log_file
from codriver.perceiver import Perceiver
from codriver.percept import EVENTS, ViewStatus
from codriver.tasks import AIDE
from codriver.worker import PerceiverWorker
from tests.faults import Cameras, FaultInjector, Idle, perceiver_with
from tests.sdk.test_worker import eventually

CLEAN = Cameras()
ANSWERS = {label for task in AIDE.tasks for label in task.labels} | set(AIDE.names)


class Lines:
    """A logger into memory, and a clock of its own."""

    def __init__(self) -> None:
        self.text, self.now_s = io.StringIO(), 0.0
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(JsonLines())
        logger = logging.Logger("test")
        logger.addHandler(handler)
        self.journal = EventLog(logger, repeat_s=60.0, clock=lambda: self.now_s)

    def all(self) -> list[dict]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


def drive(perceiver: Perceiver, lines: Lines, first: int, last: int, fault: FaultInjector | None = None) -> None:
    for number in range(first, last):
        lines.now_s = CLEAN.t(number)
        frames = fault.spoil(number, CLEAN) if fault else CLEAN.frames(number)
        lines.journal(perceiver.step(frames, CLEAN.t(number)))


def test_a_camera_that_goes_black_and_comes_back_is_told_with_view_status_and_time() -> None:
    lines, perceiver = Lines(), perceiver_with()
    drive(perceiver, lines, 0, 160, FaultInjector("black", ("left",), 60, 40))
    views = [(line["view"], line["status"]) for line in lines.all() if line["event"] == "view" and line["t"] > 1]
    assert views == [("left", "black"), ("left", "ok")]
    told = [(line["level"], line["state"]) for line in lines.all() if line["event"] == "state"]
    assert told[:3] == [("INFO", "init"), ("INFO", "ok"), ("WARNING", "degraded")]


def test_a_fault_that_comes_and_goes_for_ten_thousand_steps_fills_no_disk() -> None:
    lines, perceiver = Lines(), perceiver_with()
    for number in range(10_000):  # 500 s; the front camera delivers every other second
        lines.now_s = CLEAN.t(number)
        frames = CLEAN.frames(number)
        if number // 20 % 2:
            del frames["front"]
        percept = perceiver.step(frames, CLEAN.t(number))
        lines.journal(replace(percept, deadline_missed=True))
    lines.journal.close()
    assert len(lines.all()) <= 100
    missed = [line for line in lines.all() if line["event"] == "missed"]
    assert missed[0]["suppressed"] == 0 and missed[3]["suppressed"] == pytest.approx(60 / CLEAN.period_s, abs=4)
    assert (
        sum(line["suppressed"] + ("message" in line and "more like" not in line["message"]) for line in missed)
        == 10_000
    )


def test_how_a_camera_ended_is_told_even_if_it_came_and_went_too_often_before() -> None:
    lines, percept = Lines(), perceiver_with().step(CLEAN.frames(0), 0.0)
    for number in range(200):  # 100 s: it comes and goes for ten, then it stays away
        lines.now_s = number / 2
        lost = number >= 20 or number % 2 == 0
        status = ViewStatus(status="lost" if lost else "ok", age_s=0.0, reason="")
        lines.journal(replace(percept, views={**percept.views, "front": status}))
    told = [line for line in lines.all() if line.get("view") == "front"]
    assert told[-1]["status"] == "lost" and told[-1]["time"] and told[-1]["suppressed"] > 0
    assert len(told) == 7  # three of each at once, and how it ended


@pytest.mark.parametrize("kind", EVENTS)
def test_whatever_happens_to_the_engine_or_a_camera_is_told_once(kind: str) -> None:
    lines, perceiver = Lines(), perceiver_with()
    perceiver._tell(kind, "as it was said")
    drive(perceiver, lines, 0, 3)
    told = [line for line in lines.all() if line["event"] == ("camera" if kind == "camera" else "engine")]
    assert [(line["kind"], line["message"]) for line in told] == [(kind, "as it was said")]


def test_an_engine_that_fails_and_is_replaced_is_told_through_a_worker() -> None:
    lines, fails = Lines(), [True]

    class Failing(Idle):
        def infer(self, inputs: Arrays) -> Arrays:
            if fails:
                fails.clear()
                raise EngineError("device lost")
            return super().infer(inputs)

    with PerceiverWorker(
        lambda: perceiver_with(Failing), lines.journal, config=WorkerConfig(deadline_ms=5e3)
    ) as worker:
        for number in range(2):
            worker.submit(CLEAN.frames(number), CLEAN.t(number))
            eventually(lambda number=number: len({line["t"] for line in lines.all()}) > number)
        eventually(lambda: any(line["event"] == "engine" and "replaced" in line["message"] for line in lines.all()))
    assert [line["level"] for line in lines.all() if line["event"] == "engine"] == ["ERROR", "WARNING"]


def test_neither_log_nor_metrics_say_what_a_task_answered(bundle_path: Path, dataset: Path) -> None:
    pytest.importorskip("prometheus_client")
    from codriver.monitoring.prometheus import PrometheusMetrics

    lines, perceiver = Lines(), perceiver_with()
    metrics = PrometheusMetrics(perceiver.stats)
    for number in range(60):
        percept = perceiver.step(CLEAN.frames(number), CLEAN.t(number))
        lines.journal(percept)
        metrics(percept)
    server = metrics.serve(0)
    with urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        page = answer.read().decode()
    server.close()
    assert percept.driver_emotion.valid
    assert not [word for word in ANSWERS if word in page or word in lines.text.getvalue()]


def test_metrics_are_the_counts_of_stats() -> None:
    pytest.importorskip("prometheus_client")
    from codriver.monitoring.prometheus import PrometheusMetrics

    perceiver = perceiver_with()
    metrics = PrometheusMetrics(perceiver.stats)
    for number in range(10):
        percept = perceiver.step(CLEAN.frames(number), CLEAN.t(number))
        metrics(percept)
    value = metrics.registry.get_sample_value
    assert value("codriver_frames_total", {"view": "front", "result": "processed"}) == 10
    assert value("codriver_steps_total") == value("codriver_step_seconds_count") == 10
    assert value("codriver_state", {"state": percept.state}) == 1
    assert value("codriver_view_ok", {"view": "left"}) == 1


def test_a_log_file_keeps_its_size(tmp_path: Path) -> None:
    handler = log_file(tmp_path / "log.jsonl", limit_mb=0.001, keep=2)
    for number in range(500):
        handler.emit(logging.LogRecord("codriver", logging.INFO, "", 0, f"line {number}", None, None))
    handler.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 3 and sum(path.stat().st_size for path in files) <= 3 * 1100


def test_run_writes_the_log_and_a_log_that_cannot_be_written_is_one_line(
    bundle_path: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = next((dataset / "AIDE_Dataset").iterdir())
    base = ["run", str(bundle_path), "--source", str(clip), "--out", str(tmp_path / "percepts.jsonl")]
    assert main([*base, "--log", str(tmp_path / "log.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["event"] == "model" and {"time", "level", "message", "t", "sequence"} <= lines[0].keys()
    capsys.readouterr()
    assert main([*base, "--log", str(tmp_path / "nowhere" / "log.jsonl")]) == 2
    assert "cannot be written (No such file or directory); give another path" in capsys.readouterr().err
