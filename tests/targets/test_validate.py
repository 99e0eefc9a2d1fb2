"""targets.validate and targets.report on tiny bundles and a few clips of noise: real processes, real pages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codriver.bundle.manifest import VariantSpec
from codriver.bundle.manifest_json import read_manifest
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.tasks import AIDE
from targets.evidence.text import summary
from targets.profiles.profile import FOLDER
from targets.report import main as report
from targets.trial import interleaved
from targets.trial.trial import EngineFailed, Trial, TrialError, percentiles_ms, run_apart
from targets.validate import main as validate
from tests.aide import write_dataset
from tests.tiny import make_tiny_bundle
from workshop.aide_splits import read_split, split_digest
from workshop.bundle_writer import seal

CLIPS, FRAMES, STEPS = 3, 27, 20  # of test clips, of each, of the stream


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Targets `patient` and `patient-fp32`: as x86-ort, but a busy machine is within the budget of latency."""
    folder = tmp_path_factory.mktemp("profiles")
    text = (FOLDER / "x86-ort.toml").read_text()
    assert text.count("latency_budget_ms = 100\n") == 1
    for name in ("patient", "patient-fp32"):
        (folder / f"{name}.toml").write_text(text.replace("latency_budget_ms = 100\n", "latency_budget_ms = 9000\n"))
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp("data"), clips=CLIPS + 1, frames=FRAMES)
    names = [f"{number:04}" for number in range(1, CLIPS + 2)]
    for split, members in {"training": names[:1], "validation": [], "testing": names[1:]}.items():
        rows = [f"AIDE_Dataset/{name}/,AIDE_Dataset/annotation/{name}.json" for name in members]
        (root / f"{split}.csv").write_text("\n".join(["0,1", *rows]) + "\n")
    return root


def bundle(
    folder: Path,
    data: Path,
    target: str,
    dialect: str,
    engine: str = "onnxruntime",
    accuracy: float = 0.0,
    finds: bool = False,
) -> Path:
    """A tiny bundle of one variant that records `accuracy` for full precision on these clips."""
    variant = VariantSpec(
        name=dialect,
        engine=engine,
        requires=(),
        encoder=f"{dialect}/encoder.onnx",
        fuser=f"{dialect}/fuser.onnx",
        finder=f"{dialect}/finder.onnx" if finds else None,
    )
    share = {"accuracy": accuracy, "macro_f1": accuracy, "majority": 0.4}
    metrics = {
        "fp32": {task.name: share for task in AIDE.tasks},
        "clips_sha256": split_digest(read_split(data, "test")),
    }
    out = folder / f"{target}.bundle"
    golden = engine == "onnxruntime"
    return make_tiny_bundle(out, target=target, name=target, metrics=metrics, variants=(variant,), golden=golden)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data: Path, profiles: str) -> dict[str, Any]:
    """One run over a bundle in full precision, one in INT8, and one for a GPU: the exit code and the files."""
    folder = tmp_path_factory.mktemp("made")
    bundles = [
        bundle(folder, data, "patient", "ort-x86-7bit", finds=True),
        bundle(folder, data, "patient-fp32", "fp32"),
        bundle(folder, data, "orin-nx-16gb-25w", "tensorrt", engine="tensorrt"),
    ]
    out = folder / "evidence.json"
    code = validate(
        [*map(str, bundles), "--profiles", profiles, "--data", str(data), "--steps", str(STEPS), "--out", str(out)]
    )
    return {
        "code": code,
        "out": out,
        "evidence": json.loads(out.read_text()),
        "page": out.with_suffix(".html").read_text(),
    }


def test_every_clip_and_every_measure_is_in_the_evidence(made: dict[str, Any]) -> None:
    int8, full, _ = made["evidence"]["subjects"]
    for subject in (int8, full):
        for task in AIDE.tasks:
            row = subject["tasks"][task.name]
            assert len(row["predicted"]) == len(row["labels"]) == len(row["probabilities_e4"]) == CLIPS
            assert row["labels"] == [number % task.classes for number in range(1, CLIPS + 1)]
        assert len(subject["stream"]["total_ms"]) == STEPS and subject["stream"]["context"] == 1.0
        assert subject["cold_start_ms"] > 0 and subject["memory_mb"] > 20
        assert all(row["ok"] for row in subject["golden"])
    assert made["evidence"]["clips"]["n"] == CLIPS


def test_a_bundle_with_a_finder_is_tried_with_frames_alone_too_and_the_page_says_what_that_costs(
    made: dict[str, Any],
) -> None:
    int8, full, _ = made["evidence"]["subjects"]
    assert list(int8["driver"]["ways"]) == ["frames alone"] and len(int8["driver"]["certainty"]) == CLIPS
    assert len(int8["driver"]["ways"]["frames alone"]["driver_emotion"]["predicted"]) == CLIPS
    assert "driver" not in full
    assert "<h2>Frames alone</h2>" in made["page"] and "least sure third" in made["page"]
    assert "frames alone, against annotations" in summary(made["evidence"])


def test_steps_are_compared_with_full_precision_in_turns(made: dict[str, Any]) -> None:
    int8, full, absent = made["evidence"]["subjects"]
    assert full["in_turns"] == {"against": full["key"], "ratio": 1.0, "interval": [1.0, 1.0], "steps": STEPS}
    low, high = int8["in_turns"]["interval"]
    assert int8["in_turns"]["against"] == full["key"] and 0 < low <= int8["in_turns"]["ratio"] <= high
    assert "in_turns" not in absent
    said = f"{int8['in_turns']['ratio']:.2f} [{low:.2f}, {high:.2f}]"
    assert said in made["page"] and f"in turns, a step takes {said} times one of {full['key']}" in summary(
        made["evidence"]
    )


def test_in_turns_the_slower_one_has_the_greater_ratio_and_no_camera_seems_frozen(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four variants, as many as a stream's distinct pictures. The second one's steps are said to take twice as long."""
    made_here = bundle(tmp_path, data, "patient", "ort-x86-7bit")
    trials = {key: Trial(made_here, "ort-x86-7bit", data, steps=STEPS) for key in "abcd"}
    seen, real = [], interleaved.step_of

    def doubled(perceiver: Perceiver, frames: Any, number: int) -> Percept:
        percept = real(perceiver, frames, number)
        seen.append(percept)
        return replace(percept, latency_ms={"total": 2.0 if len(seen) % 4 == 2 else 1.0})

    monkeypatch.setattr(interleaved, "step_of", doubled)
    found = interleaved.turns_here((trials, "a"))
    assert [found[key]["ratio"] for key in "abcd"] == [1.0, 2.0, 1.0, 1.0]
    assert {status.status for percept in seen for status in percept.views.values()} == {"ok"}


def test_without_a_loss_the_command_ends_well_though_little_is_shown(made: dict[str, Any]) -> None:
    assert made["code"] == 0
    assert "not shown that it may ship" in made["page"] and "3 clips cannot show" in made["page"]


def test_what_cannot_run_here_is_on_the_page_with_the_reason(made: dict[str, Any]) -> None:
    absent = made["evidence"]["subjects"][2]
    assert absent["status"] == "not run" and "needs tensorrt" in absent["why"]
    assert "not run here" in made["page"] and "not run on hardware yet" in made["page"]


def test_the_page_stands_alone(made: dict[str, Any]) -> None:
    page = made["page"]
    assert page.count('src="data:image/svg+xml;base64,') == page.count("src=") == 3
    assert not re.search(r"<script|<link|href=|url\(|@import|https?://", page)
    for said in (
        "Golden vectors",
        "p99.9",
        "macro-F1",
        "cold start",
        "peak memory",
        "commit",
        "Compared with <b>patient-fp32",
    ):
        assert said in page


STOPPABLE = """
import signal, sys
from targets.validate import main

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.exit(main())
"""


def test_a_stop_loses_only_the_bundle_that_was_running(tmp_path: Path, data: Path, profiles: str, capsys: Any) -> None:
    pair = [bundle(tmp_path, data, "patient-fp32", "fp32"), bundle(tmp_path, data, "patient", "ort-x86-7bit")]
    out, parts = tmp_path / "evidence.json", tmp_path / "evidence.json.parts"
    command = [*map(str, pair), "--profiles", profiles, "--data", str(data), "--steps", str(STEPS), "--out", str(out)]
    (tmp_path / "stoppable.py").write_text(STOPPABLE)
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "stoppable.py"), *command], env=os.environ | paths, stderr=subprocess.PIPE
    )
    while process.poll() is None and not list(parts.glob("*.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)[1].decode()
    assert process.returncode == 130 and "the same command goes on" in said
    assert not out.exists()
    kept = json.loads(next(parts.glob("*.json")).read_text())
    assert validate(command) == 0
    assert "measured before" in capsys.readouterr().err
    assert json.loads(out.read_text())["subjects"][0]["stream"]["total_ms"] == kept["stream"]["total_ms"]
    assert not parts.exists()


def test_a_changed_bundle_is_refused_before_anything_runs(
    tmp_path: Path, data: Path, profiles: str, capsys: Any
) -> None:
    changed = bundle(tmp_path, data, "patient", "ort-x86-7bit")
    golden = changed / "golden" / "golden.json"
    golden.write_bytes(golden.read_bytes().replace(b"0", b"1", 1))
    out = tmp_path / "evidence.json"
    assert validate([str(changed), "--profiles", profiles, "--data", str(data), "--out", str(out)]) == 2
    assert "changed" in capsys.readouterr().err and not out.exists()


def test_steps_further_apart_than_slots_are_wrong_use(tmp_path: Path, data: Path, profiles: str, capsys: Any) -> None:
    made = bundle(tmp_path, data, "patient", "fp32")
    assert validate([str(made), "--profiles", profiles, "--data", str(data), "--every", "4"]) == 2
    assert "--every 4: a step each 0.27 s, but slots are 0.2 s apart" in capsys.readouterr().err


def test_a_loss_beyond_the_budget_is_exit_code_one(tmp_path: Path, data: Path, profiles: str, capsys: Any) -> None:
    worse = bundle(tmp_path, data, "patient", "ort-x86-7bit", accuracy=1.0)
    assert validate([str(worse), "--profiles", profiles, "--data", str(data), "--steps", "2"]) == 1
    printed = capsys.readouterr()
    assert re.search(r"driver_emotion: INT8 loses [\d.]+ points of accuracy, at most 2 are allowed", printed.err)
    assert "may not ship" in printed.out and re.search(r"step latency +p50 [\d.]+ ms", printed.out)


def test_a_trial_that_fails_brings_its_message_over(tmp_path: Path, data: Path) -> None:
    with pytest.raises(TrialError, match="no variant 'other'; it has fp32"):
        run_apart(Trial(bundle(tmp_path, data, "patient-fp32", "fp32"), "other", data))


def test_an_engine_that_fails_is_on_the_page_and_the_others_go_on(
    tmp_path: Path, data: Path, profiles: str, capsys: Any
) -> None:
    broken = bundle(tmp_path, data, "patient", "ort-x86-7bit")
    encoder = broken / "ort-x86-7bit" / "encoder.onnx"
    encoder.write_bytes((broken / "ort-x86-7bit" / "fuser.onnx").read_bytes())  # sealed anew: the files are as listed
    seal(broken, replace(read_manifest(broken), files={}))
    sound = bundle(tmp_path, data, "patient-fp32", "fp32")
    out = tmp_path / "evidence.json"
    options = ["--profiles", profiles, "--data", str(data), "--steps", "2", "--out", str(out)]
    assert validate([str(broken), str(sound), *options]) == 1
    assert re.search(
        r"targets.validate: \S+/ort-x86-7bit failed: the graph's inputs do not fit", capsys.readouterr().err
    )
    failed, ran = json.loads(out.read_text())["subjects"]
    assert (failed["status"], failed["failed"], ran["status"]) == ("not run", True, "ran")
    assert "not run here" in out.with_suffix(".html").read_text()
    assert report([str(out), "--out", str(tmp_path / "page.html")]) == 1


def test_a_process_that_dies_is_an_engine_that_failed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(bundle(tmp_path, data, "patient-fp32", "fp32"), "fp32", data)
    monkeypatch.syspath_prepend(dying_runtime(tmp_path))  # a spawned process is given this one's path
    with pytest.raises(EngineFailed, match="ended with code 7"):
        run_apart(trial)


def dying_runtime(folder: Path) -> Path:
    """A folder with an onnxruntime that takes its process down when it is imported."""
    module = folder / "runtime" / "onnxruntime.py"
    module.parent.mkdir()
    module.write_text("import os\nos._exit(7)\n")
    return module.parent


def test_a_target_of_this_device_judges_bundles_that_were_built_for_another(
    tmp_path: Path, data: Path, profiles: str
) -> None:
    strict = (FOLDER / "x86-ort.toml").read_text().replace("memory_budget_mb = 1000", "memory_budget_mb = 1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my-product.toml").write_text(strict)
    out = tmp_path / "evidence.json"
    options = ["--profiles", profiles, "--profiles", str(tmp_path / "mine"), "--data", str(data), "--steps", "2"]
    patient = str(bundle(tmp_path, data, "patient-fp32", "fp32"))
    assert validate([patient, *options, "--target", "my-product", "--out", str(out)]) == 1
    (subject,) = json.loads(out.read_text())["subjects"]
    assert (subject["target"], subject["judged_by"]) == ("patient-fp32", "my-product")
    assert subject["budget"]["memory_mb"] == 1 and "judged by the budgets of my-product" in page_of(out)


def page_of(out: Path) -> str:
    return out.with_suffix(".html").read_text()


@pytest.mark.parametrize(("target", "says"), [("orin-nx-16gb-25w", "is another device"), ("x86-otr", "did you mean")])
def test_a_target_of_another_device_or_of_none_is_wrong_use(
    tmp_path: Path, data: Path, profiles: str, capsys: Any, target: str, says: str
) -> None:
    patient = str(bundle(tmp_path, data, "patient-fp32", "fp32"))
    assert validate([patient, "--profiles", profiles, "--data", str(data), "--target", target]) == 2
    assert says in capsys.readouterr().err


def test_p999_asks_for_a_thousand_steps() -> None:
    assert percentiles_ms([1.0] * 999)["p99.9"] is None
    assert percentiles_ms([float(n) for n in range(1001)]) == {
        "p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "worst": 1000
    }  # fmt: skip


def altered(made: dict[str, Any], path: Path, cpu: str, **clips: object) -> Path:
    """The same evidence as if from another machine, or about other clips."""
    evidence = json.loads(json.dumps(made["evidence"]))
    for subject in evidence["subjects"]:
        subject["machine"]["cpu"] = cpu
    evidence["clips"].update(clips)
    path.write_text(json.dumps(evidence))
    return path


def test_two_machines_make_one_page(made: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    other, out = altered(made, tmp_path / "other.json", "Cortex-A78AE"), tmp_path / "both.html"
    assert report([str(made["out"]), str(other), "--out", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["subjects"]
    assert len(rows) == 6 and sum("Cortex-A78AE" in row["name"] for row in rows) == 3
    assert "Cortex-A78AE" in out.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 64, "ids_sha256": "1" * 64}, "different clips"),
        ({"sha256": "0" * 64}, "same clips with other labels"),
    ],
)
def test_other_clips_are_refused_aloud(
    made: dict[str, Any], tmp_path: Path, capsys: Any, change: Any, said: str
) -> None:
    other, out = altered(made, tmp_path / "other.json", "x", **change), tmp_path / "both.html"
    assert report([str(made["out"]), str(other), "--out", str(out)]) == 2
    assert said in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ('{"kind": "evidence", "schema": 1}', "schema 1; expected")]
)
def test_what_is_no_evidence_is_refused(tmp_path: Path, capsys: Any, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert report([str(tmp_path / "a.json"), "--out", str(tmp_path / "page.html")]) == 2
    assert said in capsys.readouterr().err
    assert report([str(tmp_path / "b.json"), "--out", str(tmp_path / "page.html")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_evidence_that_lacks_a_value_is_refused(made: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    evidence = json.loads(json.dumps(made["evidence"]))
    del evidence["subjects"][0]["stream"]
    (tmp_path / "a.json").write_text(json.dumps(evidence))
    assert report([str(tmp_path / "a.json"), "--out", str(tmp_path / "page.html")]) == 2
    assert "a value is missing ('stream')" in capsys.readouterr().err


def test_names_from_elsewhere_cannot_bring_markup_into_the_page(made: dict[str, Any], tmp_path: Path) -> None:
    other, out = altered(made, tmp_path / "other.json", "<script>x</script>"), tmp_path / "both.html"
    assert report([str(made["out"]), str(other), "--out", str(out)]) == 0
    assert "<script" not in out.read_text()
