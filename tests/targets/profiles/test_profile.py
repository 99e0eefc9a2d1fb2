"""Profiles: those that ship are consistent, a user adds one by one file, and a fault is named with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from codriver.errors import ConfigError
from targets.list import main as list_targets
from targets.profiles.profile import FOLDER, RATES, Profile, line_of, load_profile, names

SHIPPED = {name: load_profile(name) for name in names()}
ORIN = {name: profile for name, profile in SHIPPED.items() if profile.kind == "jetson"}
GPUS = {name: profile for name, profile in SHIPPED.items() if profile.kind == "gpu"}


def some_profile(**changes: str) -> str:
    """The text of a right profile, with the lines of these keys replaced, or left out where the text is empty."""
    lines = (FOLDER / "l4.toml").read_text().splitlines()
    for key, text in changes.items():
        lines = [text if line.startswith(f"{key} = ") else line for line in lines]
    return "\n".join(lines) + "\n"


def refusal(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_profile("mine", [folder])
    return str(caught.value)


def test_every_device_of_the_issue_is_there_in_each_of_its_power_modes() -> None:
    modes = {"orin-nano-4gb": 3, "orin-nano-8gb": 3, "orin-nx-8gb": 4, "orin-nx-16gb": 4}
    modes |= {"agx-orin-32gb": 4, "agx-orin-64gb": 4}
    assert {stem: sum(name.startswith(f"{stem}-") for name in SHIPPED) for stem in modes} == modes
    assert set(GPUS) == {"rtx-3060", "rtx-4070", "rtx-4090", "rtx-5070", "rtx-5090", "l4", "h200"}
    assert "arm-ort" in SHIPPED
    assert {"x86-ort", "x86-ort-fp32", "x86-openvino", "x86-openvino-fp32", "x86-no-vnni", "x86-vnni"} <= set(SHIPPED)


@pytest.mark.parametrize("name", ORIN)
def test_an_orins_throughput_is_that_of_its_sms_and_clock(name: str) -> None:
    orin = ORIN[name]
    assert orin.int8_dense_tops == pytest.approx(orin.sms * orin.clock_mhz / 1e3 * 4.096, rel=0.01)
    assert orin.fp16_dense_tflops == pytest.approx(orin.int8_dense_tops / 2, rel=0.01)
    assert orin.fp32_tflops == pytest.approx(orin.sms * orin.clock_mhz / 1e3 * 0.256, rel=0.02)
    assert orin.nvpmodel and orin.compute_capability == "8.7"


@pytest.mark.parametrize("name", GPUS)
def test_a_cards_throughput_is_that_of_its_sms_and_clock(name: str) -> None:
    gpu = GPUS[name]
    per_clock = 8192 if name == "h200" else 2048
    assert gpu.int8_dense_tops == pytest.approx(gpu.sms * gpu.clock_mhz * per_clock / 1e6, rel=0.01)
    assert gpu.fp16_dense_tflops == pytest.approx(gpu.int8_dense_tops / 2, rel=0.01)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_has_a_source_and_int8_is_not_slower(name: str) -> None:
    profile = SHIPPED[name]
    assert set(profile.source) == set(RATES)
    assert profile.int8_dense_tops >= profile.fp16_dense_tflops >= profile.fp32_tflops


def test_tensorrt_11_is_for_agx_orin_alone_among_the_modules() -> None:
    assert {name for name, orin in ORIN.items() if "11.4" in orin.tensorrt} == {n for n in ORIN if n.startswith("agx")}
    assert all({"10.3", "10.16"} <= set(orin.tensorrt) for orin in ORIN.values())


def test_a_mode_takes_the_files_keys_and_its_own_over_them() -> None:
    low, full = load_profile("orin-nx-16gb-10w"), load_profile("orin-nx-16gb-40w")
    assert (low.bandwidth_gb_per_s, full.bandwidth_gb_per_s) == (68, 102)
    assert low.memory_gb == full.memory_gb == 16 and full.title == "Jetson Orin NX 16 GB, 40W"


def test_one_file_in_a_folder_of_the_user_is_a_target(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine.toml").write_text(some_profile(title='title = "Mine"'))
    profile = load_profile("mine", [tmp_path])
    assert isinstance(profile, Profile) and profile.title == "Mine"
    assert list_targets(["--profiles", str(tmp_path)]) == 0 and "Mine" in capsys.readouterr().out
    assert list_targets(["--profiles", str(tmp_path), "--json"]) == 0
    assert "mine" in {target["name"] for target in json.loads(capsys.readouterr().out)["targets"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"launch_us": "launch_ms = 0.002"}, r"line 15: launch_ms is not a key \(did you mean launch_us\?\)"),
        ({"memory_gb": 'memory_gb = "24 GB"'}, "line 8: memory_gb is the text '24 GB', expected a number of gigabytes"),
        ({"sms": "sms = 58.5"}, "line 10: sms is 58.5, expected a whole number of streaming multiprocessors"),
        ({"sms": "sms = true"}, "line 10: sms is true, expected a whole number"),
        ({"clock_mhz": "clock_mhz = 2.04"}, "line 11: clock_mhz is 2.04, .* 100 to 10000; is it in another unit?"),
        ({"memory_gb": "memory_gb = nan"}, "line 8: memory_gb is nan, expected a number"),
        (
            {"kind": 'kind = "jetsn"'},
            r"line 3: kind is 'jetsn', expected one of jetson, gpu, cpu \(did you mean jetson",
        ),
        ({"tensorrt": 'tensorrt = ["9.1"]'}, r"line 6: tensorrt\[0\] is '9.1', expected one of 10.3, 10.16, 11.4"),
        ({"tensorrt": 'tensorrt = "10.3"'}, "line 6: tensorrt is the text '10.3', expected a list"),
        ({"variants": "variants = []"}, "line 4: variants is a list that is empty"),
        ({"variants": 'variants = ["tensorrt"]'}, r"line 4: variants\[0\] is the text 'tensorrt', expected an object"),
        ({"variants": 'variants = [{ dialect = "a" }]'}, r"line 4: variants\[0\] lacks engine"),
        (
            {"variants": 'variants = [{ dialect = "a", engine = "trt" }]'},
            "engine is 'trt', expected one of onnxruntime",
        ),
        (
            {"driver_emotion": "driver_emotions = 1"},
            "line 21: .*driver_emotions is not a key .did you mean driver_emotion",
        ),
        (
            {"driver_emotion": "driver_emotion = -1"},
            "line 21: .*driver_emotion is -1, .*points of accuracy from 0 to 100",
        ),
        ({"traffic_context": ""}, "line 20: accuracy_budget_points lacks traffic_context"),
        ({"launch_us": ""}, "lacks launch_us for target mine"),
        ({"kind": "kind = "}, r"is not TOML: .*line 3"),
    ],
)
def test_a_wrong_profile_names_the_file_the_line_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    assert re.search(rf"mine\.toml.*{message}", refusal(tmp_path, some_profile(**changes)))


def test_a_fault_in_a_mode_names_the_line_in_that_mode(tmp_path: Path) -> None:
    text = some_profile() + "\n[modes.low]\nnvpmodel = 'LOW'\nclock_mhz = 'slow'\n"
    (tmp_path / "mine.toml").write_text(text)
    line = text.splitlines().index("clock_mhz = 'slow'") + 1
    with pytest.raises(ConfigError, match=rf"mine.toml, line {line}: modes.low.clock_mhz is the text 'slow'"):
        load_profile("mine-low", [tmp_path])


def test_the_line_of_a_key_is_not_that_of_its_namesake_in_a_table() -> None:
    text = "[source]\nlaunch_us = 'x'\n[modes.a]\nlaunch_us = 1\n"
    assert line_of(text, "source.launch_us") == 2 and line_of(text, "modes.a.launch_us") == 4
    assert line_of("a = 1\n\n[ modes . 'a' ]  # c\nb=2", "modes.a.b") == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x87", "'x87' is not known; .*choose from .*x86-ort"),
        ("orin-nx-16gb", "it is one of orin-nx-16gb-10w, .*a power mode belongs to the name"),
        ("rtx-409", "did you mean rtx-4090"),
    ],
)
def test_an_unknown_target_gets_advice(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_profile(name)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l4.toml").write_text(some_profile())
    with pytest.raises(ConfigError, match=r"target l4 is in .* and in .*; rename"):
        names([tmp_path])


def test_a_folder_of_profiles_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: Any) -> None:
    assert list_targets(["--profiles", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
