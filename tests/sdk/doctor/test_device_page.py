"""What docs/device.md says can be typed, and what it says of the doctor is what the doctor says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codriver.cli.main import main
from codriver.sources.spelling import Camera, read_views
from codriver.verify.latency import BY_CHANCE, STEPS, chance_of
from tests import ROOT

PAGE = (ROOT / "docs" / "device.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line.split("#")[0].split() for block in BLOCKS for line in block.splitlines()]
OURS = [line for line in LINES if line and line[0] == "codriver"]


def test_the_page_shows_doctor_run_verify_and_bench() -> None:
    assert {line[1] for line in OURS} == {"doctor", "run", "verify", "bench"}


def test_the_cameras_that_the_page_describes_are_understood(tmp_path: Path) -> None:
    (text,) = [block for block in BLOCKS if block.startswith("{")]
    (tmp_path / "cameras.json").write_text(text)
    by_view = read_views(str(tmp_path / "cameras.json"))
    assert by_view["front"] == Camera(where="/dev/video2", size_px=(1280, 720), rate_hz=30, format="MJPG")
    assert isinstance(by_view["incar"], Camera) and by_view["incar"].pipeline


@pytest.mark.parametrize("line", OURS, ids=" ".join)
def test_every_command_knows_its_options(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([line[1], "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and [word for word in line if word.startswith("--") and word not in text] == []


def test_what_the_doctor_is_quoted_with_is_in_its_source() -> None:
    source = (ROOT / "sdk" / "codriver" / "doctor" / "advice.py").read_text(encoding="utf-8")
    quoted = [row.split("|")[1].strip() for row in PAGE.splitlines() if row.startswith("| ") and "nvpmodel -m" in row]
    quoted += re.findall(
        r"^\| (JetPack's TensorRT[^|]*|TensorRT is there[^|]*|compiled engines[^|]*) \|", PAGE, re.MULTILINE
    )
    assert len(quoted) == 4
    assert [text for text in quoted if text.partition(" 25W")[0] not in source] == []


def test_as_many_late_steps_are_forgiven_as_the_page_says() -> None:
    assert STEPS == 200 and chance_of(6, STEPS) >= BY_CHANCE > chance_of(7, STEPS)


def test_every_file_that_it_names_exists() -> None:
    assert all((ROOT / name).is_file() for name in re.findall(r"tests/[\w/]+\.py", PAGE))
    assert (ROOT / "tests" / "emulate_arm.py").is_file()
