"""How large what may become: `pytest -s tests/test_budgets.py` prints the table. Every line counts, empty ones too.

Over it, a concept is missing, or something has no reader: name the one, delete the other. A limit is raised only with
its reason in DECISIONS.md. A room that is new states its own budget in ROOMS.
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
SDK_LINES = 11_150  # without ROOMS. The plan was 9,500: DECISIONS.md, 2026-11-28, says what there is instead of it
ROOMS = {  # that came later: lines of their own
    "cores": (("device/cores.py",), 100),
    "finder": (("finder", "finder_graph.py"), 400),
    "dense answers": (("dense", "dense_tasks.py", "view/dense.py"), 800),
    "capture": (("capture",), 915),  # was 450 with V4L2 alone: RTSP, GStreamer, what cameras there are, their news
    "live": (("live", "cli/live.py"), 505),  # was 500 without a bound for what the kernel queues
    "serve": (("serve", "cli/serve.py"), 510),  # was 400 without the ring of MCAP
    "mapping and buses": (
        ("mapping", "buses", "cli/map.py", "cli/export.py"),
        1_650,
    ),  # was 1,300 without ROS 2, 1,520 without KUKSA's stream
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
    later = sum(lines(*names) for names, _ in ROOMS.values())
    rows = [("a step", lines(*STEP), STEP_LINES), ("sdk/codriver", lines(".") - later, SDK_LINES)]
    return rows + [(room, lines(*names), most) for room, (names, most) in ROOMS.items()]


@pytest.mark.parametrize(("what", "found", "most"), budgets(), ids=[row[0] for row in budgets()])
def test_it_keeps_within_its_lines(what: str, found: int, most: int) -> None:
    sys.stdout.write(f"\n{what:20} {found:6} of {most:6} lines")
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
