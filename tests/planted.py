"""The changes that once passed every test, made again one by one: does a test fail now?

    python -m tests.planted                      all of tests/planted.toml, on a copy of the checkout
    python -m tests.planted quantize/qat         those in files whose name holds this

Writes tests/results/planted.md when all are tried. Exit: 0 a test fails for each that is not said to be equal.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from tests import ROOT
from workshop.artifacts import git_commit

TESTS_FAILED = 1  # pytest's exit code; 4 and 5 are wrong use and no test at all
COPIED = ("sdk", "training", "quantize", "targets", "samples", "tests", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Planted:
    """tests: as pytest selects them. why: it changes nothing that anybody can see, instead of tests."""

    file: str
    was: str
    became: str
    tests: str = ""
    why: str = ""


def planted() -> list[Planted]:
    rows = tomllib.loads((ROOT / "tests/planted.toml").read_text(encoding="utf-8"))["planted"]
    return [Planted(**row) for row in rows]


def killer(some: Planted, place: Path) -> str:
    """The test that failed with the change in place, empty if none did."""
    path = place / some.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(some.was) != 1:
        raise SystemExit(f"{some.file} holds {some.was!r} {whole.count(some.was)} times: tests/planted.toml is stale")
    path.write_text(whole.replace(some.was, some.became), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(place / "sdk"), str(place)])
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *shlex.split(some.tests)]
    try:
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    finally:
        path.write_text(whole, encoding="utf-8")
    named = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, TESTS_FAILED) or (done.returncode and named is None):
        raise SystemExit(f"{some.file}: pytest {some.tests} ended with {done.returncode}\n{done.stdout[-2000:]}")
    return named.group(1) if named else ""


def page(rows: Sequence[tuple[Planted, str]]) -> str:
    cell = lambda text: "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text.strip() else "nothing"  # noqa: E731
    killed, equal = sum(bool(test) for _, test in rows), sum(bool(some.why) for some, _ in rows)
    lines = [
        "# Changes that once passed every test",
        "",
        f"`python -m tests.planted` at {git_commit()}: of {len(rows)}, a test notices {killed}, and {equal} are equal.",
        "",
        "| file | was | became | noticed by |",
        "|---|---|---|---|",
    ]
    for some, test in rows:
        by = test.split("::")[-1] if test else (f"equal: {some.why}" if some.why else "**nobody**")
        lines.append(f"| {some.file} | {cell(some.was)} | {cell(some.became)} | {by} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
        for some in (some for some in planted() if any(part in some.file for part in argv or [""])):
            rows.append((some, killer(some, place) if some.tests else ""))
            sys.stderr.write(f"{some.file}: {rows[-1][1] or some.why or 'NOBODY NOTICES'}\n")
    if not argv:
        (ROOT / "tests/results/planted.md").write_text(page(rows), encoding="utf-8")
    return int(any(not test and not some.why for some, test in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
