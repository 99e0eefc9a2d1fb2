"""Evidence of several machines as one page.

    python -m targets.report orin.json desktop.json --out evidence.html

Only of the same test clips: a file about others is refused. Exit code 1 if something on the page may not ship.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codriver.errors import CodriverError
from codriver.terminal import put, put_json, say
from targets.compare import FAIL, MISSING, VERDICTS, checks, ran, reference_of, verdict
from targets.evidence import check_same_clips, read_evidence, subjects_of, write_text
from targets.evidence_page import evidence_page, labels


def report(files: Sequence[Path], out: Path) -> list[dict[str, str]]:
    """Write the page; returns each subject's name, verdict and the budgets that it misses."""
    found = {str(path): read_evidence(path) for path in files}
    check_same_clips(found)
    evidence = list(found.values())
    write_text(out, evidence_page(evidence))
    subjects = subjects_of(evidence)
    names, reference = labels(subjects), reference_of(subjects)
    rows = [
        {"name": names[id(s)], "verdict": "not run there", "why": s["why"]} for s in subjects if s["status"] != "ran"
    ]
    for subject in ran(subjects):
        made = checks(subject, reference)
        why = "; ".join(check.text for check in made if check.state in (FAIL, MISSING))
        rows.append({"name": names[id(subject)], "verdict": VERDICTS[verdict(made)], "why": why})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.report",
        description="Merge evidence of several machines, on the same test clips, into one page.",
        epilog="example: python -m targets.report orin.json desktop.json --out evidence.html",
    )
    parser.add_argument(
        "evidence", type=Path, nargs="+", help="evidence.json of targets.validate; the first has the reference"
    )
    parser.add_argument("--out", type=Path, required=True, help="page to write")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    args = parser.parse_args(argv)
    try:
        rows = report(args.evidence, args.out)
    except CodriverError as error:
        say(f"targets.report: {error}")
        return 2
    if args.json:
        put_json({"page": str(args.out), "subjects": rows})
    else:
        put("\n".join(f"{row['name']}: {row['verdict']}" + (f" ({row['why']})" if row["why"] else "") for row in rows))
        put(f"page: {args.out}")
    return 1 if any(row["verdict"] == VERDICTS[FAIL] or "nothing to compare" in row["why"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
