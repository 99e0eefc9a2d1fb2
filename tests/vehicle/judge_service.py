"""What a service left on the disk: judge_service.py STATE RELOADED_AT PERIOD_S. `ok` or `FAILED`, exit code 1 then."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from codriver.recording.reader import Recording

STEPS = 15  # after the line that the reload was asked at, and until it is over: what is looked at at least


def main() -> None:
    state, reloaded_at, period_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    right = True
    for one, what in (*_lines(state, reloaded_at, period_s), *_drives(state)):
        sys.stdout.write(f"{'ok    ' if one else 'FAILED'}  {what}\n")
        right &= one
    sys.exit(not right)


def _lines(state: Path, reloaded_at: int, period_s: float) -> list[tuple[bool, str]]:
    lines = (state / "percepts.jsonl").read_text().splitlines()
    percepts: list[dict[str, Any]] = []
    for line in lines:
        try:
            percepts.append(json.loads(line))
        except ValueError:
            continue
    swapped = [at for at, one in enumerate(percepts) if any(event["kind"] == "swapped" for event in one["events"])]
    end = (swapped[0] if swapped else reloaded_at) + STEPS
    quiet_s = [b["t"] - a["t"] for a, b in pairwise(percepts[10:reloaded_at])]
    around_s = [b["t"] - a["t"] for a, b in pairwise(percepts[reloaded_at - 1 : end])]
    what = (
        f"a reload leaves out one step at most: {len(around_s)} steps while it lasts and after it, between two of them "
        f"{median(around_s):.2f} s at the median, {max(around_s):.2f} most, {2 * period_s:.2f} allowed; "
        f"before it {median(quiet_s):.2f} and {max(quiet_s):.2f}"
    )
    return [
        (len(percepts) == len(lines), f"{len(percepts)} of {len(lines)} lines of percepts are whole"),
        (len(swapped) == 1, f"{len(swapped)} percept says that another bundle answers from there on"),
        (max(around_s) < 2 * period_s + 0.05, what),
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
