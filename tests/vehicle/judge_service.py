"""What a service left on the disk: judge_service.py STATE PERIOD_S. `ok` or `FAILED`, exit code 1 then."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from codriver.recording.reader import Recording

RELOADS, BEFORE, AFTER = 5, 25, 10  # bundles that were exchanged; steps while each is opened, and after that


def main() -> None:
    state, period_s = Path(sys.argv[1]), float(sys.argv[2])
    right = True
    for one, what in (*_lines(state, period_s), *_drives(state)):
        sys.stdout.write(f"{'ok    ' if one else 'FAILED'}  {what}\n")
        right &= one
    sys.exit(not right)


def _lines(state: Path, period_s: float) -> list[tuple[bool, str]]:
    lines = (state / "percepts.jsonl").read_text().splitlines()
    percepts: list[dict[str, Any]] = []
    for line in lines:
        try:
            percepts.append(json.loads(line))
        except ValueError:
            continue
    swapped = [at for at, one in enumerate(percepts) if any(event["kind"] == "swapped" for event in one["events"])]
    gaps_s = [b["t"] - a["t"] for a, b in pairwise(percepts)]
    longest_s = [max(gaps_s[max(at - BEFORE, 0) : at + AFTER]) for at in swapped]
    told = " ".join(f"{gap_s:.2f}" for gap_s in longest_s)
    what = f"the longest time between two of the {BEFORE + AFTER} steps around an exchange, s: {told}; at the median"
    return [
        (len(percepts) == len(lines), f"{len(percepts)} of {len(lines)} lines of percepts are whole"),
        (len(swapped) == RELOADS, f"{len(swapped)} percepts say that another bundle answers from there on"),
        (
            bool(longest_s) and median(longest_s) < 2 * period_s + 0.05,
            f"{what} {median(longest_s or [0]):.2f}, and {2 * period_s:.2f} are one step that is left out",
        ),
    ]


def _drives(state: Path) -> list[tuple[bool, str]]:
    found = []
    drives = sorted((state / "drives").iterdir())
    for drive in drives:
        recording = Recording(drive)
        steps = len(list(recording.steps()))
        killed = "the watchdog killed it" if drive != drives[-1] else "it ended in order"
        whole = not recording.cut or drive != drives[-1]
        found.append((whole and steps > 0, f"drive {drive.name}, {killed}: {steps} steps, {recording.cut or 'whole'}"))
    return found


if __name__ == "__main__":
    main()
