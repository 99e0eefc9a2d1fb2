"""What people reported, tried again: each command of tests/field.toml on its input, its exit code and its words.

    python -m tests.field ../shared/field --out tests/results/field.md

Inputs are folders that are not ours to ship; each runs in a copy of its own. `pip` of a case is installed in a folder
that comes first. Tests of the same kinds with inputs of our own run with all the others. Exit: 0 all as it should be.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from tests import ROOT
from workshop.artifacts import git_commit

CASES = ROOT / "tests/field.toml"
BUNDLE = ROOT / "samples/try/demo.bundle"
TIMEOUT_S = 600.0
# How Python is started in place of a plain `python`: a script that gives a command six seconds to start gives it more.
PATIENT = """import runpy, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep({} * seconds)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")"""


@dataclass(frozen=True)
class Case:
    """folder: of the inputs. command: as a person types it. codes: any of them. says: regular expressions, all of them
    in what it prints; never: none of them. first: a folder in front of all packages; pip: one to install there."""

    folder: str
    command: str
    codes: tuple[int, ...]
    says: tuple[str, ...]
    never: tuple[str, ...] = ()
    first: str = ""
    pip: str = ""


@dataclass(frozen=True)
class Came:
    code: int | None
    text: str
    wrong: tuple[str, ...]  # empty: as it should be


def cases() -> list[Case]:
    rows = tomllib.loads(CASES.read_text(encoding="utf-8"))["case"]
    return [Case(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows]


def wrong(case: Case, code: int | None, text: str) -> Iterator[str]:
    if code not in case.codes:
        yield f"exit {code}"
    yield from (f"does not say {words!r}" for words in case.says if not re.search(words, text))
    yield from (f"says {words!r}" for words in ("Traceback", *case.never) if re.search(words, text))


def tried(case: Case, inputs: Path, bundle: Path, patience: int) -> Came:
    with tempfile.TemporaryDirectory() as place:
        here = Path(place) / case.folder
        shutil.copytree(inputs / case.folder, here)
        before = [str(here / case.first)] if case.first else []
        if case.pip:
            before = [str(Path(place) / "packages")]
            install = ["install", "--quiet", "--no-deps", "--target", before[0], case.pip]
            subprocess.run([sys.executable, "-m", "pip", *install], check=True)
        words = [word.replace("BUNDLE", str(bundle)) for word in shlex.split(case.command)]
        if words[0] == "python":
            started = ["-c", PATIENT.format(patience)] if patience > 1 and words[1].endswith(".py") else []
            words = [sys.executable, *started, *words[1:]]
        paths = os.pathsep.join([*before, str(ROOT / "sdk"), str(ROOT)])
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    text = done.stdout + done.stderr
    return Came(done.returncode, text, tuple(wrong(case, done.returncode, text)))


def seen(case: Case, came: Came) -> str:
    """The lines of what came that were looked for."""
    hits = [hit for words in case.says if (hit := re.search(rf".*(?:{words}).*", came.text))]
    return "; ".join(dict.fromkeys(" ".join(hit.group().split())[:160] for hit in hits)) or "-"


def page(rows: Sequence[tuple[Case, Came]]) -> str:
    good = sum(not came.wrong for _, came in rows)
    lines = [
        "# What people reported, tried again",
        "",
        f"`python -m tests.field DIR` at {git_commit()}: {good} of {len(rows)} commands do as they should. What should",
        "come stands in tests/field.toml; what came is the lines that were looked for.",
        "",
        "| case | command | exit | what came | |",
        "|---|---|---|---|---|",
    ]
    for case, came in rows:
        beside = f" (with {case.pip or case.first} first)" if case.pip or case.first else ""
        command = f"`{case.command}`{beside}"
        cells = [case.folder, command, str(came.code), seen(case, came), "; ".join(came.wrong) or "ok"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.field", description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--only", default="", help="folders whose name holds this")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--patience", type=int, default=1, help="how many times longer scripts of the inputs wait")
    parser.add_argument("--out", type=Path, help="a table for people")
    args = parser.parse_args(argv)
    rows = []
    for case in (case for case in cases() if args.only in case.folder):
        came = tried(case, args.inputs, args.bundle, args.patience)
        rows.append((case, came))
        sys.stderr.write(f"{case.folder}: {case.command}: {'; '.join(came.wrong) or 'ok'}\n")
        if came.wrong:
            sys.stderr.write("".join(f"    {line}\n" for line in came.text.splitlines()[-12:]))
    if args.out:
        args.out.write_text(page(rows), encoding="utf-8")
    return int(any(came.wrong for _, came in rows))


if __name__ == "__main__":
    sys.exit(main())
