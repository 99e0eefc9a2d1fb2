"""How large what may become: `pytest -s tests/test_budgets.py` prints the table. Every line counts, empty ones too.

Over it, a concept is missing, or something has no reader: name the one, delete the other. A limit is raised only with
its reason in DECISIONS.md. A room that is new states its own budget in ROOMS, an issue that writes into old files its
lines in ADDED.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

SDK = ROOT / "sdk" / "codriver"
FOLDERS = ("sdk", "training", "quantize", "targets")
FILE, FUNCTION, FILES_IN_A_FOLDER = 300, 45, 16
# What a step passes through, from frames to percept.
STEP = (
    "perceiver.py",
    "counts.py",
    "resize.py",
    "frames",
    "network",
    "answers",
    "percept.py",
    "config.py",
    "engines/ort.py",
)
STEP_LINES = 2_500
AS_IT_STANDS = 9_480  # of sdk/codriver without all that is named below; the plan was 9,500
ROOMS = {  # that later issues added: files of their own
    "cores": (("device/cores.py", "engines/by_stream.py"), 155),  # was 100 without the encoder in parts
    "graphs on arrays of their caller": (("engines/in_place.py",), 40),
    "a fuser's inputs": (("network/fuser_inputs.py",), 50),
    "answers over a slot": (("answers/slot_mean.py",), 40),
    "finder": (("finder", "finder_graph.py"), 395),  # was 350 without presence over time and the mirror
    "dense answers": (("dense", "dense_tasks.py", "view/dense.py"), 755),  # was 600 without five benchmarks' tasks
    "capture": (("capture",), 915),  # was 450 with V4L2 alone: RTSP, GStreamer, what cameras there are, their news
    "live": (("live", "cli/live.py"), 500),
    "serve": (("serve", "cli/serve.py"), 500),  # was 400 without the ring of MCAP
    "mapping and buses": (("mapping", "buses", "cli/map.py"), 1_645),  # was 1,200 without ROS 2, 1,685 with export
    "recordings for others": (("recording/foxglove.py", "recording/drawing.py", "cli/export.py"), 370),
    "reports of the field": (
        (
            *("cli/stopping.py", "cli/steps.py", "device/imports.py", "device/process.py", "doctor/probe.py"),
            *("files/images.py", "sources/spelling.py", "sources/stamps.py"),
        ),
        525,
    ),
}
# Lines that later issues wrote into files that were there, counted by `git blame` on 2026-11-29 (DECISIONS.md has the
# command). Nothing here counts them again: what is written into them from now on is weighed with the files.
ADDED = {
    "reports of the field": 457,
    "where the driver is": 199,
    "recordings for others": 151,
    "capture times": 166,
    "answers over a slot": 22,
    "maps and boxes": 157,
    "a fuser in INT8": 65,
    "cores": 64,
    "what a step does beside its products": 131,  # means, codes and arrays handed on, a driver told once a look
    "live, serve, buses": 20,
    "clips at the rate of slots, mutants": 13,
}
TABLES: set[str] = set()  # functions that are tables, and may be long


def lines(*names: str) -> int:
    return sum(len(path.read_text().splitlines()) for name in names for path in files(SDK / name))


def files(where: Path) -> Iterator[Path]:
    return iter([where]) if where.suffix == ".py" and where.is_file() else where.rglob("*.py")


def all_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in files(ROOT / folder))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def budgets() -> list[tuple[str, int, int]]:
    """What, its lines, and how many it may have."""
    rooms = [(room, lines(*names), most) for room, (names, most) in ROOMS.items()]
    stands = lines(".") - sum(found for _, found, _ in rooms) - sum(ADDED.values())
    return [("a step", lines(*STEP), STEP_LINES), ("sdk/codriver as it stands", stands, AS_IT_STANDS), *rooms]


@pytest.mark.parametrize(("what", "found", "most"), budgets(), ids=[row[0] for row in budgets()])
def test_it_keeps_within_its_lines(what: str, found: int, most: int) -> None:
    sys.stdout.write(f"\n{what:26} {found:6} of {most:6} lines")
    assert found <= most, f"{what} has {found} lines, {found - most} too many: delete what nobody reads"


def test_no_file_is_too_long() -> None:
    sizes = {named(path): len(path.read_text().splitlines()) for path in all_files()}
    long = {name: size for name, size in sizes.items() if size > FILE}
    assert not long, f"over {FILE} lines: {long}; a second idea lives there, give it a file of its own"


def test_no_function_is_too_long_unless_it_is_a_table() -> None:
    long = {name: size for path in all_files() for name, size in functions(path) if size > FUNCTION}
    stale = TABLES - set(long)
    assert not stale, f"{stale} need no exception any more; take them out of TABLES"
    long = {name: size for name, size in long.items() if name not in TABLES}
    assert not long, f"over {FUNCTION} lines: {long}; name its steps, and make them functions"


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its lines, from `def` to its last; what is defined within it belongs to it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{named(path)}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_folder_holds_too_many_files() -> None:
    counts = {named(folder): len(list(folder.glob("*.py"))) for folder in {path.parent for path in all_files()}}
    full = {folder: count for folder, count in counts.items() if count > FILES_IN_A_FOLDER}
    assert not full, f"over {FILES_IN_A_FOLDER} files: {full}; a room is missing"
