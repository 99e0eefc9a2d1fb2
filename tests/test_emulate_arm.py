"""The emulated ARM machine, as far as it can be looked at without one. docs/arm.md has the command that runs it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomllib

from codriver.device.cpu import cpu_features
from tests.arm_machine import PROCESSORS, ROOT, MissingError, lay_out, name_of, prepare, requirements
from tests.emulate_arm import NOT_MARKED, NOT_NAMED, answer, faults, main


@pytest.mark.parametrize("test", NOT_NAMED)
def test_what_is_left_out_by_name_is_there(test: str) -> None:
    file, _, function = test.partition("::")
    assert f"def {function}(" in (ROOT / file).read_text()


def test_what_is_left_out_by_mark_is_a_mark() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    marks = {mark.partition(":")[0] for mark in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert set(NOT_MARKED) <= marks


def test_all_that_a_device_installs_is_there_in_the_version_that_is_here() -> None:
    packages = requirements()
    assert {"numpy", "onnxruntime", "opencv-python-headless", "cryptography", "mcap"} <= set(map(name_of, packages))
    assert all("==" in package for package in packages)
    assert importlib.metadata.version("numpy") in [p.split("==")[1] for p in packages if name_of(p) == "numpy"]


def test_a_version_asked_for_takes_the_place_of_ours() -> None:
    found = [package for package in requirements(["onnxruntime==1.23.2"]) if name_of(package) == "onnxruntime"]
    assert found == ["onnxruntime==1.23.2"]


@pytest.mark.parametrize(("processor", "features"), [("cortex-a76", {"arm", "dotprod"}), ("cortex-a72", {"arm"})])
def test_the_processor_says_what_it_can_do(tmp_path: Path, processor: str, features: set[str]) -> None:
    assert processor in PROCESSORS
    (tmp_path / "sysroot").mkdir()
    lay_out(tmp_path, "qemu", tmp_path / "sysroot/usr/bin/python3.11", processor)
    assert cpu_features(tmp_path / "sysroot/proc/cpuinfo", "aarch64") == features


def test_the_interpreter_hands_its_arguments_on(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    (folder / "sysroot").mkdir(parents=True)
    lay_out(folder, "/bin/echo", Path("/python3"), "cortex-a76")
    done = subprocess.run([folder / "env/bin/python", "-c", "a b"], capture_output=True, text=True, check=True)
    assert done.stdout.split(" -0 ")[1] == f"{folder}/env/bin/python /python3 -c a b\n"


def test_a_missing_emulator_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(MissingError, match="apt-get install qemu-user-static"):
        prepare(tmp_path / "arm", "cortex-a76")
    assert not (tmp_path / "arm").exists()


def test_on_arm_there_is_nothing_to_emulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(MissingError, match="run pytest itself"):
        prepare(tmp_path, "cortex-a76")


def result(**changes: Any) -> dict[str, Any]:
    bundle = {"doctor": "ok", "info": "ok", "verify": {"ok": True, "golden": []}, "int8_share": {"ort-arm": 0.99}}
    return {"bundle": bundle, "tests": {"exit_code": 0, "passed": 3, "failed": [], "skipped": {}}, **changes}


def test_all_holds() -> None:
    assert faults(result()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"bundle": {"doctor": "not well", "info": "ok", "verify": {"ok": True}, "int8_share": {}}},
            "doctor: not well",
        ),
        ({"bundle": {"doctor": "ok", "info": "no", "verify": {"ok": True}, "int8_share": {}}}, "codriver info: no"),
        (
            {"bundle": {"doctor": "ok", "info": "ok", "verify": {"error": "killed"}, "int8_share": {}}},
            "codriver verify: killed",
        ),
        (
            {"bundle": {"doctor": "ok", "info": "ok", "verify": {"ok": False}, "int8_share": {}}},
            "golden answers are off",
        ),
        (
            {"bundle": {"doctor": "ok", "info": "ok", "verify": {"ok": True}, "int8_share": {"v": None}}},
            "v: not audited",
        ),
        ({"tests": {"exit_code": 1, "passed": 3, "failed": ["a::b"]}}, "failed: a::b"),
        ({"tests": {"exit_code": -11, "passed": 0, "failed": []}}, "pytest ended with -11"),
        ({"tests": {"exit_code": 5, "passed": 0, "failed": []}}, "pytest ended with 5"),
    ],
)
def test_what_does_not_hold_is_told(changes: dict[str, Any], fault: str) -> None:
    assert fault in " ".join(faults(result(**changes)))


def test_what_printed_no_json_is_told_by_its_last_line() -> None:
    assert answer(subprocess.CompletedProcess([], 0, json.dumps({"ok": 1}), "")) == {"ok": 1}
    assert answer(subprocess.CompletedProcess([], -11, "", "one\nqemu: Segmentation fault")) == {
        "error": "qemu: Segmentation fault"
    }
    assert answer(subprocess.CompletedProcess([], -11, "", "")) == {"error": "exit code -11"}


def test_a_folder_that_is_no_bundle_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "--target arm-ort" in capsys.readouterr().err


def test_the_pages_options_are_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/arm.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in re.findall(r"`(--[a-z]+)", page))
    assert "python -m tests.emulate_arm out/arm.bundle\n" in page
