"""Evidence of several machines as one page.

    python -m targets.report orin.json desktop.json --out evidence.html

Only of the same test clips: a file about others is refused. Exit code 1 if something on the page may not ship.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codriver.console import put, put_json
from codriver.errors import ConfigError
from targets.evidence.facts import labels
from targets.evidence.schema import check_same_clips, read_evidence, subjects_of
from targets.evidence.verdict import NOT_RUN, VERDICTS, against, checks, reference_of, verdict
from workshop.artifacts import write_text
from workshop.command import command


def report(files: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Write the page; returns each subject's name, its verdict and what speaks against it."""
    from targets.evidence.page import evidence_page  # matplotlib takes a second, which a --help should not

    found = {str(path): read_evidence(path) for path in files}
    check_same_clips(found)
    evidence = list(found.values())
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_text(out, evidence_page(evidence))
    except (KeyError, TypeError) as error:
        files_named = ", ".join(found)
        raise ConfigError(f"{files_named}: a value is missing ({error}); make it anew with targets.validate") from error
    subjects = subjects_of(evidence)
    names, reference = labels(subjects), reference_of(subjects)
    rows = []
    for subject in subjects:
        if subject["status"] == "ran":
            said, why = VERDICTS[verdict(checks(subject, reference))], against(subject, reference)
        else:
            said, why = NOT_RUN, [subject["why"]]
        rows.append(
            {"name": names[id(subject)], "verdict": said, "against": why, "failed": subject.get("failed", False)}
        )
    return rows


@command("targets.report")
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
    rows = report(args.evidence, args.out)
    if args.json:
        put_json({"page": str(args.out), "subjects": rows})
    else:
        for row in rows:
            put(": ".join(filter(None, (row["name"], row["verdict"], "; ".join(row["against"])))))
        put(f"page: {args.out}")
    ran = [row for row in rows if row["verdict"] != NOT_RUN]
    return 1 if not ran or any(row["against"] for row in ran) or any(row["failed"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
