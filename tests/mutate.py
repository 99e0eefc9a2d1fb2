"""Small changes to the code behind the important promises, by mutmut; a change that no test notices is a survivor.

python -m tests.mutate                                  every module of MODULES, hours at --sample 0
python -m tests.mutate dbscme qat --sample 40           40 changes of each, chosen by the seed

Works on a copy in a temporary folder, where the SDK lies in src/ (mutmut knows no other name for a source root).
Writes tests/results/mutants.json and mutants.md. tests/mutants.toml says of survivors why they are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from tests import ROOT
from workshop.artifacts import git_commit, write_json

RESULTS = ROOT / "tests/results"
REASONS = ROOT / "tests/mutants.toml"
COMMAND = "python -m tests.mutate"
COPIED = ("training", "quantize", "targets", "samples", "tests", "docs", "README.md", "CHANGELOG.md", "DECISIONS.md")
KILLED, SURVIVED, TIMEOUT, UNTESTED = 1, 0, 36, 33  # mutmut's exit codes, of those that we tell apart


@dataclass(frozen=True)
class Module:
    """Files that keep one promise, and the tests that should notice when they do not, as pytest selects them."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


def module(files: str, tests: str) -> Module:
    return Module(tuple(files.split()), tuple(tests.split()))


FAULTS, STORE = "tests/sdk/test_faults.py", "tests/sdk/engines/test_store.py"
# Of the store, what other processes do: those see the checkout, where nothing is changed.
OF_OTHER_PROCESSES = " ".join(
    f"--deselect={STORE}::{name}"
    for name in (
        "test_200_writers_killed_leave_no_torn_file_and_no_orphan_after_the_next_start",
        "test_8_processes_that_open_at_once_build_each_entry_once",
        "test_when_the_process_that_builds_is_killed_another_builds_at_once",
    )
)
MODULES = {
    "losses": module("training/losses/afd.py", "tests/training/losses"),
    "weighting": module("training/losses/weighting.py", "tests/training/losses"),
    "decoupling": module("training/losses/decoupling.py", "tests/training/losses"),
    "dbscme": module(
        "training/model/dbscme.py", "tests/training/model/test_dbscme.py tests/training/model/test_dbscme_formulas.py"
    ),
    "temporal": module("training/model/temporal.py", "tests/training/model/test_temporal.py"),
    "metrics": module("training/report/metrics.py", "tests/training/report"),
    "qat": module("quantize/qat/losses.py", "tests/quantize/qat"),
    "finetune": module("quantize/qat/finetune.py", "tests/quantize/qat"),
    "lint rules": module(
        "quantize/rules/numbers.py quantize/rules/placement.py quantize/rules/qdq.py quantize/rules/fragile.py",
        "tests/quantize/test_lint_rules.py tests/quantize/test_lint_fusion.py tests/quantize/test_lint_edges.py",
    ),
    "gate": module("targets/packing/gate.py", "tests/targets/packing/test_gate.py"),
    "verdict": module("targets/evidence/verdict.py", "tests/targets/evidence/test_verdict.py"),
    "health": module(
        "src/codriver/frames/health.py",
        f"tests/sdk/frames/test_health.py {FAULTS} --deselect={FAULTS}::test_no_alarm_in_10_000_healthy_frames",
    ),
    "policy": module("src/codriver/config.py", "tests/sdk/frames/test_health.py tests/sdk/frames/test_sync.py"),
    "answers": module(
        "src/codriver/answers/answers.py src/codriver/answers/results.py",
        f"tests/sdk/answers {FAULTS}",
    ),
    "context": module("src/codriver/network/context.py src/codriver/network/memory.py", "tests/sdk/network"),
    "sync": module("src/codriver/frames/sync.py", "tests/sdk/frames/test_sync.py"),
    "store": module("src/codriver/engines/trt/store.py", f"{STORE} {OF_OTHER_PROCESSES}"),
    "signature": module(
        "src/codriver/bundle/signature.py", "tests/sdk/bundle/test_signature.py tests/sdk/bundle/test_tamper.py"
    ),
}
SETTINGS = """
[tool.mutmut]
source_paths = ["src", "training", "quantize", "targets"]
only_mutate = {files}
also_copy = ["tests", "docs", "samples", "README.md", "CHANGELOG.md", "DECISIONS.md"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-q", "-p", "no:cacheprovider"]
"""


@dataclass(frozen=True)
class Survivor:
    module: str
    file: str
    was: str
    became: str
    why: str  # empty: nobody has said that it is equal

    @property
    def is_wording(self) -> bool:
        """Whether texts alone differ: the words of a message, never what is decided by it."""
        return _without_texts(self.was) == _without_texts(self.became)


@dataclass(frozen=True)
class Outcome:
    """What became of a module's mutants."""

    made: int
    tried: int
    killed: int
    survivors: tuple[Survivor, ...]

    @property
    def left(self) -> list[Survivor]:
        return [some for some in self.survivors if not some.why and not some.is_wording]

    @property
    def explained(self) -> list[Survivor]:
        return [some for some in self.survivors if some.why]

    def to_json(self) -> dict[str, Any]:
        equal, wording = (
            sum(test(some) for some in self.survivors) for test in (lambda s: bool(s.why), lambda s: s.is_wording)
        )
        rest = max(1, self.tried - (len(self.survivors) - len(self.left)))
        return {
            "made": self.made,
            "tried": self.tried,
            "killed": self.killed,
            "survived": len(self.survivors),
            "equal": equal,
            "wording": wording,
            "score": round(self.killed / max(1, self.tried), 4),
            "score_after_triage": round(self.killed / rest, 4),
            "left": [_told(some) for some in self.left],
            "explained": [_told(some) for some in self.explained],
        }


def _without_texts(line: str) -> str:
    """A line with each plain text replaced by a mark; what an f-string computes stays."""
    kept, quote = [], ""
    for sign in line:
        if quote:
            if sign == quote:
                quote = ""
        elif sign in "\"'":
            quote = sign
            kept.append("T")
        else:
            kept.append(sign)
    return "".join(kept)


def copy_checkout(place: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        else:
            shutil.copy(source, place / name)
    shutil.copytree(ROOT / "sdk", place / "src", ignore=shutil.ignore_patterns("__pycache__"))


def configure(place: Path, some: Module) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = text.replace('pythonpath = ["sdk", "."]', 'pythonpath = ["src", "."]').replace(" --durations=10", "")
    shutil.rmtree(place / "mutants", ignore_errors=True)
    (place / "pyproject.toml").write_text(
        text + SETTINGS.format(files=json.dumps(some.files), tests=json.dumps(some.tests)), encoding="utf-8"
    )


def mutmut(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)  # or the checkout would be tested and not its copy
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def codes(place: Path, some: Module) -> dict[str, int | None]:
    """Mutant -> mutmut's exit code, None where it was not tried."""
    found: dict[str, int | None] = {}
    for file in some.files:
        meta = place / "mutants" / f"{file}.meta"
        found |= json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"] if meta.is_file() else {}
    return found


def run(place: Path, name: str, sample: int, seed: int, reasons: Sequence[dict[str, str]], children: int) -> Outcome:
    some = MODULES[name]
    configure(place, some)
    said = mutmut(place, "run", "--max-children", str(children), "nothing.of.this.name")  # makes them, tries none
    names = sorted(codes(place, some))
    if not names:
        raise SystemExit(f"{name}: mutmut made nothing.\n{said.stdout[-3000:]}\n{said.stderr[-2000:]}")
    chosen = random.Random(seed).sample(names, min(sample or len(names), len(names)))
    said = mutmut(place, "run", "--max-children", str(children), *chosen)
    found = codes(place, some)
    untried = [one for one in chosen if found[one] is None]
    if untried:
        raise SystemExit(f"{name}: {len(untried)} not tried.\n{said.stdout[-3000:]}\n{said.stderr[-2000:]}")
    survivors = [_survivor(place, name, one, reasons) for one in chosen if found[one] in (SURVIVED, UNTESTED)]
    kept = tuple(sorted(survivors, key=lambda s: (s.file, s.was, s.became)))
    return Outcome(len(names), len(chosen), len(chosen) - len(kept), kept)


def _survivor(place: Path, module: str, mutant: str, reasons: Iterable[dict[str, str]]) -> Survivor:
    lines = mutmut(place, "show", mutant).stdout.splitlines()
    file = next(line[4:] for line in lines if line.startswith("--- "))
    was = "\n".join(line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---"))
    became = "\n".join(line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++"))
    file = file.replace("src/codriver", "sdk/codriver")
    why = next((r["why"] for r in reasons if (r["file"], r["was"], r["became"]) == (file, was, became)), "")
    return Survivor(module, file, was, became, why)


def _told(some: Survivor) -> dict[str, str]:
    told = {"file": some.file, "was": some.was, "became": some.became}
    return told | ({"why": some.why} if some.why else {})


def page(record: dict[str, Any]) -> str:
    """The results for people. record: what mutants.json holds."""
    lines = [
        "# Mutants",
        "",
        f"`{COMMAND}` on {record['machine']}. Made: by mutmut. Tried: as many, by the seed. Equal:",
        "tests/mutants.toml says why. Wording: texts alone differ, as in a message. After triage: killed of those that",
        "are neither.",
        "",
        "| module | commit | seed | made | tried | killed | equal | wording | left | score % | after triage % |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in record["modules"].items():
        keys = ("git_commit", "seed", "made", "tried", "killed", "equal", "wording")
        cells = [name, *(row[key] for key in keys), len(row["left"])]
        cells += [f"{100 * row[key]:.1f}" for key in ("score", "score_after_triage")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if missing := [name for name in MODULES if name not in record["modules"]]:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    for title in ("left", "explained"):
        lines += ["", f"## {title.capitalize()}", ""]
        for row in record["modules"].values():
            for some in row[title]:
                why = f": {some['why']}" if "why" in some else ""
                lines += [f"* {some['file']}{why}", f"  - `{some['was']}`", f"  - `{some['became']}`"]
    return "\n".join(lines) + "\n"


def keep(out: Path, name: str, row: dict[str, Any]) -> None:
    """Put one module's result beside those of the others, at once: a run of all takes hours."""
    path = out / "mutants.json"
    known = json.loads(path.read_text(encoding="utf-8"))["modules"] if path.is_file() else {}
    known[name] = row
    record = {
        "command": COMMAND,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "modules": {name: known[name] for name in MODULES if name in known},
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    (out / "mutants.md").write_text(page(record), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of: {', '.join(MODULES)}; default all")
    parser.add_argument("--sample", type=int, default=100, help="mutants of each module; 0 all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=2, help="processes at once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    names = args.modules or list(MODULES)
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8")).get("equal", [])
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        for name in names:
            row = run(Path(folder), name, args.sample, args.seed, reasons, args.children).to_json()
            keep(args.out, name, row | {"git_commit": git_commit(), "seed": args.seed})
            sys.stderr.write(f"{name}: {row['killed']} of {row['tried']} killed, {len(row['left'])} left unexplained\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
