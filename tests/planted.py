"""The changes that once passed every test, made again one by one: does a test fail now?

    python -m tests.planted                      all of tests/planted.toml, on a copy of the checkout
    python -m tests.planted quantize/qat         those in files whose name holds this
    python -m tests.planted --missing            those that were not tried yet: it goes on where it was stopped

Each is written to tests/results/planted.json and planted.md as soon as it was tried, with the commit it was tried at.
Exit: 0 a test fails for each that was tried and is not said to be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from tests import ROOT
from workshop.artifacts import git_commit, write_json, write_text

TESTS_FAILED = 1  # pytest's exit code; 4 and 5 are wrong use and no test at all
TRIED = ROOT / "tests/results/planted.json"
COPIED = ("sdk", "training", "quantize", "targets", "samples", "tests", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Planted:
    """tests: as pytest selects them. why: it changes nothing that anybody can see, instead of tests."""

    file: str
    was: str
    became: str
    tests: str = ""
    why: str = ""

    @property
    def key(self) -> str:
        """The same as long as file, was and became are."""
        text = "\0".join((self.file, self.was, self.became))
        return f"{self.file} {hashlib.sha256(text.encode()).hexdigest()[:8]}"


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


def read_tried() -> dict[str, dict[str, str]]:
    """Key of a change -> the commit it was tried at, and the test that noticed it, empty if none did."""
    return json.loads(TRIED.read_text(encoding="utf-8")) if TRIED.is_file() else {}


def write_tried(tried: Mapping[str, Mapping[str, str]]) -> None:
    write_json(TRIED, {some.key: tried[some.key] for some in planted() if some.key in tried})
    write_text(TRIED.with_suffix(".md"), page(tried))


def page(tried: Mapping[str, Mapping[str, str]]) -> str:
    cell = lambda text: "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text.strip() else "nothing"  # noqa: E731
    rows = planted()
    killed = sum(bool(tried.get(some.key, {}).get("test")) for some in rows)
    equal, left = sum(bool(some.why) for some in rows), sum(not some.why and some.key not in tried for some in rows)
    lines = [
        "# Changes that once passed every test",
        "",
        f"`python -m tests.planted`: of {len(rows)}, a test notices {killed}, {equal} are equal, {left} not tried.",
        "",
        "| file | was | became | noticed by | at |",
        "|---|---|---|---|---|",
    ]
    for some in rows:
        told = tried.get(some.key, {"test": "", "git_commit": ""})
        by = told["test"].split("::")[-1] or (f"equal: {some.why}" if some.why else "**nobody**")
        if not some.why and some.key not in tried:
            by = "not tried"
        cells = (some.file, cell(some.was), cell(some.became), by, told["git_commit"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="of a file's name; all if not given")
    parser.add_argument("--missing", action="store_true", help="only those that were not tried yet")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args, tried, nobody, commit = parse(argv), read_tried(), 0, git_commit()
    chosen = [some for some in planted() if not args.parts or any(part in some.file for part in args.parts)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
        for some in chosen:
            if some.why or (args.missing and some.key in tried):
                continue
            test = killer(some, place)
            nobody += not test
            tried[some.key] = {"git_commit": commit, "test": test}
            write_tried(tried)
            sys.stderr.write(f"{some.file}: {test or 'NOBODY NOTICES'}\n")
    return int(bool(nobody))


if __name__ == "__main__":
    sys.exit(main())
