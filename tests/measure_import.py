"""What it costs to have codriver: milliseconds to import it in a new process, and bytes of its wheel.

    python -m tests.measure_import --times 20
    python -m tests.measure_import --against OTHER     in turns with another checkout; NumPy's own import left out

NumPy's own import is in "Perceiver" too; it is timed beside it, in turns. Interpreters differ: one that was compiled
without `--enable-optimizations`, as pyenv does unless told, takes longer than a distribution's (docs/results.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import ROOT

WAYS = {
    "numpy": "import numpy",
    "codriver": "import codriver",
    "Perceiver": "from codriver import Perceiver",
}
IMPORT_MS = 150.0
WHEEL_BYTES = 400_000  # was 300,000 before finder, maps, capture, live page, service and buses


def import_ms(statement: str, before: str = "pass", checkout: Path = ROOT) -> float:
    """Of one statement in a new process, the interpreter's own start and `before` left out."""
    code = f"import time; {before}; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
    environment = os.environ | {"PYTHONPATH": str(checkout / "sdk")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a device has bytecode
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout / "sdk", env=environment)
    return float(done.stdout)


def against(other: Path, times: int) -> str:
    """Ratios pair by pair, with their quartiles; the first pair, which may write bytecode, does not count."""
    pairs = []
    for turn in range(times + 1):
        both = (other, ROOT) if turn % 2 else (ROOT, other)
        took = {at: import_ms(WAYS["Perceiver"], WAYS["numpy"], at) for at in both}
        pairs.append((took[other], took[ROOT]))
    there, here = (statistics.median(some) for some in zip(*pairs[1:], strict=True))
    low, middle, high = statistics.quantiles((now / then for then, now in pairs[1:]), n=4)
    return (
        f"there {there:.1f} ms, here {here:.1f}, ratio {middle:.2f} [{low:.2f}, {high:.2f}], {times} pairs in turns\n"
    )


def wheel_bytes() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"  # a copy: setuptools leaves what it built beside its sources
        shutil.copytree(ROOT / "sdk", source / "sdk", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(source)]
        subprocess.run(build, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--times", type=int, default=20, help="processes per statement")
    parser.add_argument(
        "--against", type=Path, metavar="OTHER", help="another checkout, to be timed in turns with this"
    )
    options = parser.parse_args()
    if options.against:
        sys.stdout.write(against(options.against.resolve(), options.times))
        return 0
    turns = [{name: import_ms(statement) for name, statement in WAYS.items()} for _ in range(options.times)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in WAYS}
    sys.stdout.write(f"Python {sys.version}\n")
    for name, statement in WAYS.items():
        spread = sorted(turn[name] for turn in turns)
        sys.stdout.write(f"{statement:32} {medians[name]:6.1f} ms [{spread[0]:.1f}, {spread[-1]:.1f}]\n")
    size = wheel_bytes()
    sys.stdout.write(f"wheel {size} bytes, at most {WHEEL_BYTES}\n")
    ok = max(medians["codriver"], medians["Perceiver"]) <= IMPORT_MS and size <= WHEEL_BYTES
    sys.stdout.write(f"at most {IMPORT_MS:g} ms, NumPy included: {'ok' if ok else 'over'}\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
