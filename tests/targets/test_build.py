"""Profiles and refusals: what a user sees who mistypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codriver.errors import ConfigError
from targets import profile
from targets.build import main as build
from targets.profile import load_profile, names


@pytest.mark.parametrize("name", names())
def test_every_profile_that_ships_can_be_read(name: str) -> None:
    assert load_profile(name).name == name


def test_an_unknown_target_lists_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match=r"'x87' is not known; choose from .*x86-ort"):
        load_profile("x87")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 'a'", "missing keys"),
        ("title = 'a'\ndialects = ['x']\nspeed = 3", "unknown keys .*speed"),
        ("title = ", "is not TOML"),
        ("title = 'a'\ndialects = []", "best first"),
    ],
)
def test_a_wrong_profile_names_the_file_and_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.setattr(profile, "FOLDER", tmp_path)
    with pytest.raises(ConfigError, match=rf"mine\.toml.*{message}"):
        load_profile("mine")


def test_a_folder_that_is_not_quantized_is_refused_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "holds no report.json" in capsys.readouterr().err and not (tmp_path / "b.bundle").exists()


def test_a_report_of_another_schema_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": 99, "kind": "quantized"}))
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "schema 99, expected 2" in capsys.readouterr().err
