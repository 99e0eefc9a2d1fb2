"""Our metrics beside the official tools', on the same files.

python -m tests.official build/official --out docs/training/official.json

The folder gets a virtual environment of its own with the official tools in it (requirements.txt; some 400 MB, from the
package index), and files of truth and answers in the benchmarks' own forms. The tools judge these files in a process of
their own; we judge them with the loaders and metrics that `training.evaluate` uses.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from tests.official.answers import (
    Scores,
    scored_bdd100k,
    scored_cityscapes,
    scored_edges,
    write_footage,
    write_random,
)
from workshop.artifacts import provenance, write_json
from workshop.command import command

HERE = Path(__file__).parent
SEED = 18
SAME = 1e-9  # differences up to this are rounding
NO_TOOL = {  # scores that no package of the field computes: tests hold them against references of their own
    "YOLOP's AP and recall": "its code is no package",
    "rmse_px, rmse_m, abs_rel": "cityscapesScripts has no disparity; NYUD's code of the tables is no package",
    "mean_deg, under_": "the tables' code is no package",
    "maxf": "ATRC's, InvPT's and ASTMT's code is no package",
    "ods_f as SEISM judges it": "needs MATLAB; pyEdgeEval's pairing is BSDS' own",
}


def environment(folder: Path, edges: bool) -> Path:
    """Python of the official tools' environment; made if it is not there. A ConfigError says what did not install."""
    python = folder / "bin" / "python"
    if not python.is_file():
        venv.create(folder, with_pip=True)
    for name in ("requirements.txt", *(["requirements-edges.txt"] if edges else [])):
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(HERE / name)]
        if subprocess.run(command).returncode:
            raise ConfigError(f"{HERE / name} does not install with Python {platform.python_version()}; see above why")
    return python


def ours(files: Path, edges: bool) -> Scores:
    """Write truth and answers, and score them."""
    rng = np.random.default_rng(SEED)
    write_random(files / "random", rng)
    write_footage(files / "footage")
    scores: Scores = {}
    for kind in ("random", "footage"):
        scores |= scored_bdd100k(files / kind / "bdd100k", kind, rng)
        scores |= scored_cityscapes(files / kind / "cityscapes", kind, rng)
    return scores | (scored_edges(files / "random", rng) if edges else {})


def beside(own: Scores, theirs: Scores) -> list[dict[str, Any]]:
    """A row for each score that the official tools gave."""
    return [
        {"on": on, "score": name, "ours": own[on][name], "official": value, "difference": own[on][name] - value}
        for on, some in theirs.items()
        for name, value in some.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'':28} {'score':20} {'ours':>10} {'official':>10} {'difference':>11}"]
    for row in rows:
        figures = f"{row['ours']:10.6f} {row['official']:10.6f} {row['difference']:11.1e}"
        lines.append(f"{row['on']:28} {row['score']:20} {figures}")
    return "\n".join(lines)


@command("tests.official")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.official", description=__doc__)
    parser.add_argument("folder", type=Path, help="gets the official tools' environment, and the files")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--edges", action="store_true", help="BSDS' pairing of edges too: GPL-2, see requirements")
    args = parser.parse_args(argv)
    python = environment(args.folder / "environment", args.edges)
    files = args.folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    own = ours(files, args.edges)
    flags = ["--edges"] if args.edges else []
    subprocess.run([str(python), str(HERE / "theirs.py"), str(files), *flags], check=True)
    theirs = json.loads((files / "theirs.json").read_text(encoding="utf-8"))
    rows = beside(own, theirs["scores"])
    report = {
        "schema": 1,
        "kind": "official tools",
        **provenance(("opencv-python-headless", "pycocotools", "scipy"), SEED),
        "machine": describe_machine(),
        "official": {"python": theirs["python"], "tools": theirs["tools"]},
        "rows": rows,
        "largest_difference": max(abs(row["difference"]) for row in rows if "edges" not in row["on"]),
        "no_tool": NO_TOOL,
    }
    write_json(args.out, report)
    sys.stdout.write(table(rows) + "\n")
    return 0 if report["largest_difference"] <= SAME else 1


if __name__ == "__main__":
    sys.exit(main())
