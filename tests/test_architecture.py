"""docs/architecture.md says what the code does: its rooms, a step's way, a clip's way, and the files it names."""

from __future__ import annotations

import ast
import os
import re
import sys
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from codriver.perceiver import Perceiver
from tests import ROOT
from tests.room_table import PACKAGE, markdown
from tests.tiny import tiny_steps

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = {"*(top)*": PACKAGE}
INSIDE = str(PACKAGE) + os.sep
SHARES = str(PACKAGE / "device" / "cores.py")  # calls back whoever gave it work to share out: no room of its own


def stages(heading: str) -> list[tuple[str, str, list[str]]]:
    """Rows of a table: room, file, functions."""
    text = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| (\S+\.py)(?:: ([^|]*))? \|", text, re.MULTILINE)
    return [(room, file, re.findall(r"`([\w.]+)`", functions)) for room, file, functions in rows]


def folder_of(room: str) -> Path:
    if room in FOLDERS:
        return FOLDERS[room]
    return PACKAGE / room if (PACKAGE / room).is_dir() else ROOT / room


def defined(path: Path) -> set[str]:
    """Functions and methods of a file, as `function` and `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("heading", ["A step's way through the rooms", "A clip's way from CSV to loss"])
def test_every_file_and_function_on_the_way_exists(heading: str) -> None:
    found = stages(heading)
    assert len(found) >= 5
    for room, file, functions in found:
        path = folder_of(room) / file
        assert path.is_file(), f"{heading}: {path.relative_to(ROOT)} is not there"
        missing = set(functions) - defined(path)
        assert not missing, f"{path.relative_to(ROOT)} has no {', '.join(missing)}; mend docs/architecture.md"


def test_a_step_enters_the_rooms_in_the_order_of_the_page_and_none_twice(perceiver: Perceiver) -> None:
    (before, t_before, _), (frames, t, _) = tiny_steps(2)
    perceiver.step(before, t_before)  # imports what a first step imports
    named = [room for room, *_ in stages("A step's way through the rooms") if room not in FOLDERS]
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        room, caller = room_in(frame), room_in(frame.f_back)
        if event == "call" and room in named and room != caller:
            entered.append(room)

    sys.setprofile(note)
    try:
        perceiver.step(frames, t)
    finally:
        sys.setprofile(None)
    # two calls into one room, with no other between them, are one stay
    assert [room for room, _ in groupby(entered)] == named
    assert len(named) + len(FOLDERS) <= 5


def room_in(frame: FrameType | None) -> str:
    """The room whose code runs in a frame; what it calls of Python or a library counts as its own."""
    while frame is not None and (not frame.f_code.co_filename.startswith(INSIDE) or frame.f_code.co_filename == SHARES):
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_filename.removeprefix(INSIDE).split(os.sep)[0]


def test_the_table_of_imports_is_the_codes() -> None:
    assert markdown() in PAGE, "run `python -m tests.room_table` and put what it prints into docs/architecture.md"


def test_every_path_that_the_page_names_is_there() -> None:
    paths = set(re.findall(r"(?<![\w/])((?:sdk|training|quantize|targets|tests|docs)/[\w./-]*\w)", PAGE))
    paths = {path for path in paths if "NAME" not in path and "KIND" not in path}
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == [] and len(paths) > 15
