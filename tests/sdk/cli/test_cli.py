"""The command: what it writes, what it says, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from codriver.cli.main import main
from codriver.console import Progress, table
from codriver.device.machine import summarise_ms
from tests import ROOT
from tests.clips import TRUTH, make_clip, make_video
from tests.tiny import make_tiny_bundle, tiny_manifest

COMMANDS = ("run", "bench", "info", "doctor", "verify")


@pytest.fixture
def bundle(bundle_path):
    return bundle_path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("footage"), frames=24)


def command(*arguments, **options):
    """Start `python -m codriver` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    line = [sys.executable, "-m", "codriver", *map(str, arguments)]
    return subprocess.Popen(line, env=environment, **pipes, **options)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_run_writes_a_json_line_per_step_and_a_summary(bundle, clip, capsys):
    assert run("run", bundle, "--source", clip) == 0
    out, err = capsys.readouterr()
    percepts = [json.loads(line) for line in out.splitlines()]
    assert [percept["sequence"] for percept in percepts] == list(range(24))
    assert [percept["state"] for percept in percepts[::23]] == ["init", "ok"]
    assert "0001: 24 steps, 1.53 s" in err and "labelled" in err and "p95" in err


def test_run_writes_video_sheet_and_lines_that_fit_together(bundle, clip, tmp_path, capsys):
    view, sheet, lines = tmp_path / "v.mp4", tmp_path / "s.png", tmp_path / "p.jsonl"
    outputs = ("--view", view, "--sheet", sheet, "--out", lines)
    assert run("run", bundle, "--source", clip, *outputs, "--limit", 3) == 0
    assert cv2.VideoCapture(str(view)).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert cv2.imread(str(sheet)).shape == (1350, 1920, 3)
    assert len(lines.read_text().splitlines()) == 3
    assert len(list(tmp_path.iterdir())) == 3
    assert capsys.readouterr().out == ""


def test_run_summarises_for_machines(bundle, clip, tmp_path, capsys):
    assert run("run", bundle, "--source", clip, "--out", tmp_path / "p.jsonl", "--json") == 0
    summary = json.loads(capsys.readouterr().err)
    assert summary["steps"] == 24 and summary["problems"] == []
    assert (
        summary["clocks"] == dict.fromkeys(("incar", "front", "left", "right"), "nominal") and summary["cameras"] == {}
    )
    assert {name: task["truth"] for name, task in summary["tasks"].items()} == TRUTH
    assert set(summary["latency_ms"]["total"]) == {"p50", "p95", "p99", "worst"}


def test_run_goes_on_over_a_bad_frame_and_reports_it(bundle, tmp_path, capsys):
    clip = make_clip(tmp_path, frames=4)
    (clip / "leftframes" / "2.jpg").write_bytes(b"")
    assert run("run", bundle, "--source", clip) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "problem: left:" in err and "2.jpg is not a readable image" in err


def test_a_run_that_fails_on_the_way_leaves_no_file(bundle, tmp_path, capsys):
    clip = make_clip(tmp_path, frames=4)
    (clip / "leftframes" / "2.jpg").write_bytes(b"")
    out = tmp_path / "out"
    out.mkdir()
    outputs = ("--view", out / "v.mp4", "--sheet", out / "s.png", "--out", out / "p.jsonl")
    assert run("run", bundle, "--source", clip, "--strict", *outputs) == 2
    assert list(out.iterdir()) == []


def test_an_instant_without_any_frame_is_skipped(bundle, tmp_path, capsys):
    clip = make_clip(tmp_path, frames=3)
    for path in clip.glob("*frames/1.jpg"):
        path.write_bytes(b"")
    assert run("run", bundle, "--source", clip) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_views_that_the_bundle_does_not_know_are_left_out_and_named(tmp_path, clip, capsys):
    bundle = make_tiny_bundle(tmp_path / "front.bundle", streams=("front",), golden=False)
    outputs = ("--sheet", tmp_path / "s.png", "--view", tmp_path / "v.mp4")
    assert run("run", bundle, "--source", clip, *outputs, "--limit", 2) == 0
    assert "left: this bundle does not look at it; it has front" in capsys.readouterr().err


def test_run_reads_videos(bundle, tmp_path, capsys):
    paths = [f"{view}={make_video(tmp_path / f'{view}.mp4', 4, view=view)}" for view in ("incar", "front")]
    assert run("run", bundle, "--source", ",".join(paths)) == 0
    percepts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [percept["views"]["front"]["status"] for percept in percepts] == ["ok"] * 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--source", "nowhere"), "there is nothing at nowhere"),
        (("--source", "incar=no.mp4"), "there is no file no.mp4"),
        (("--source", "CLIP", "--view", "nowhere/v.mp4"), "there is no folder"),
        (("--source", "CLIP", "--view", "v.avi"), "expected .mp4"),
        (("--source", "CLIP", "--engine", "abacus"), "engine 'abacus'"),
        (("--source", "CLIP", "--variant", "abacus"), "no variant 'abacus'"),
    ],
)
def test_wrong_use_is_one_line_on_stderr_and_code_2(bundle, clip, arguments, says, capsys):
    assert run("run", bundle, *(clip if argument == "CLIP" else argument for argument in arguments)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("codriver: ") and err.count("\n") == 1 and says in err
    assert out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bundle_that_is_not_there_is_wrong_use(name, tmp_path, capsys):
    assert run(name, tmp_path / "no.bundle", *(("--source", "x") if name == "run" else ())) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("bench",),
        ("bench", "b", "--size", "big"),
        ("bench", "b", "--steps", "0"),
        ("run", "b"),
        ("run", "b", "--source", "x", "--limit", "-1"),
    ],
)
def test_arguments_that_cannot_be_meant_are_wrong_use(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert "usage: codriver" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(name, "--help")
    assert stopped.value.code == 0
    assert f"codriver {name} demo.bundle" in capsys.readouterr().out.partition("example")[2]


def test_bench_measures_every_stage_with_a_full_context(bundle, capsys):
    assert run("bench", bundle, "--steps", 5, "--size", "64x48", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 5 and result["context"] == 1.0 and result["frame_px"] == [64, 48]
    assert list(result["latency_ms"]) == ["health", "find", "preprocess", "encode", "fuse", "total"]
    assert all(times["p50"] <= times["p99"] <= times["worst"] for times in result["latency_ms"].values())
    assert result["machine"]["cpu"] and result["engine_version"] and result["steps_per_s"] > 0


def test_bench_holds_a_step_against_its_graphs_and_its_resizing(bundle, capsys):
    assert run("bench", bundle, "--steps", 5, "--size", "64x48", "--json") == 0
    overhead = json.loads(capsys.readouterr().out)["overhead"]
    parts_ms = overhead["parts_ms"]
    assert list(parts_ms) == ["resize", "finder", "encoder", "fuser"]
    assert overhead["ratio"] == pytest.approx(overhead["step_ms"] / sum(parts_ms.values()), rel=0.02)
    assert overhead["at_most"] == 1.25 and overhead["ok"] is (overhead["ratio"] <= 1.25)


def test_bench_times_steps_that_look_for_the_driver_and_steps_that_are_told_in_turns(bundle, capsys):
    assert run("bench", bundle, "--steps", 5, "--size", "64x48", "--json") == 0
    finder = json.loads(capsys.readouterr().out)["finder"]
    looking, told = finder["step_ms"]["looking"], finder["step_ms"]["told"]
    assert finder["ratio"] == pytest.approx(looking / told, abs=0.01) and finder["every_s"] == 0.2
    assert finder["added"] == pytest.approx((looking - told) / 3 / told, abs=0.01)  # every third frame at 15 Hz
    assert run("bench", bundle, "--steps", 2, "--size", "64x48", "--views", "front", "--json") == 0
    assert json.loads(capsys.readouterr().out)["finder"] is None


def test_bench_prints_a_table_for_people(bundle, capsys):
    assert run("bench", bundle, "--steps", 3, "--size", "64x48", "--views", "incar,front") == 0
    out = capsys.readouterr().out
    assert "incar, front at 64x48" in out and "context 100% full" in out and "steps per second" in out


def test_bench_refuses_a_view_that_the_bundle_lacks(bundle, capsys):
    assert run("bench", bundle, "--views", "roof") == 2
    assert "'roof' is not in this bundle" in capsys.readouterr().err


def test_info_says_what_is_in_the_bundle_and_what_runs_here(bundle, capsys):
    assert run("info", bundle) == 0
    out = capsys.readouterr().out
    assert "Driver behaviour   Smoking, Making Phone" in out and out.count("<- runs here") == 1
    assert run("info", bundle, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["manifest"]["name"] == "tiny" and content["here"]["variant"].startswith("ort-x86")


def test_verify_vouches_for_a_sound_bundle(bundle, capsys):
    assert run("verify", bundle) == 0
    assert capsys.readouterr().out.endswith("\nverified\n")
    assert run("verify", bundle, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] and len(result["golden"]) == 5 and result["error"] == ""


def test_verify_fails_a_bundle_of_which_a_byte_changed(own_bundle_path, capsys):
    card = own_bundle_path / "card.md"
    card.write_bytes(card.read_bytes()[:-1] + b"!")
    assert run("verify", own_bundle_path) == 1
    out = capsys.readouterr().out
    assert "card.md" in out and out.endswith("NOT verified\n")


def test_verify_fails_a_bundle_that_answers_otherwise(bundle, capsys):
    assert run("verify", bundle, "--engine", "fake") == 1
    assert "TOO FAR" in capsys.readouterr().out


def test_verify_fails_a_bundle_without_golden_vectors(tmp_path, capsys):
    bundle = make_tiny_bundle(tmp_path / "tiny.bundle", golden=False)
    assert run("verify", bundle, "--json") == 1
    assert "no golden vectors" in json.loads(capsys.readouterr().out)["error"]


def test_ctrl_c_stops_a_recording_with_130_and_leaves_no_file(bundle, tmp_path):
    clip = make_clip(tmp_path, frames=200, views=("front",))
    out = tmp_path / "out"
    out.mkdir()
    process = command("run", bundle, "--source", clip, "--view", out / "v.mp4")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err == "codriver: stopped\n"
    assert list(out.iterdir()) == []


def test_a_reader_that_has_enough_ends_the_command_quietly(bundle, clip):
    process = command("run", bundle, "--source", clip)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_command_starts_without_any_heavy_import():
    heavy = {"cv2", "onnxruntime", "torch", "onnx"}
    code = f"import sys, codriver.cli; sys.exit(str({heavy} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


def test_progress_is_silent_unless_somebody_watches_for_two_seconds(monkeypatch, capsys):
    with Progress("clip", 3) as progress:
        progress.step()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("clip", 3) as progress:
        progress._start_s = progress._shown_s = progress._start_s - 5
        progress.step()
        assert "1/3" in capsys.readouterr().err
    assert capsys.readouterr().err.endswith("\r")


def test_tables_align_text_left_and_numbers_right():
    assert table([["a", "1"], ["bcd", "22"]], numbers_from=1) == ["a     1", "bcd  22"]


def test_percentiles_of_one_value_are_that_value():
    assert summarise_ms([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0, "worst": 3.0}


def test_info_says_of_an_engine_that_nobody_has_run_it_on_hardware(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = tiny_manifest().variants
    bundle = make_tiny_bundle(
        tmp_path / "orin.bundle", golden=False, variants=(replace(variants[0], engine="tensorrt"), variants[1])
    )
    assert main(["info", str(bundle)]) == 0
    assert "tensorrt, not run on hardware yet" in capsys.readouterr().out
