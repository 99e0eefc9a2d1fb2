"""Whether percepts tell what four cameras did: python -m tests.vehicle.judge_cameras PERCEPTS TRACE

TRACE: the kernel's own record (tracefs, v4l2_dqbuf) of each buffer that it handed out: its time, its number. A line for
each claim with `ok` or `FAILED`, and exit code 1 if one failed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

VIEWS = ("incar", "front", "left", "right")  # /dev/video0 to 3
BUFFER = re.compile(r"v4l2_dqbuf: minor = (\d+).*?timestamp = (-?\d+).*?sequence = (\d+)")
SAME_S = 2e-6  # the kernel's microseconds, and a double of milliseconds in between
FEW = 60  # times of a camera: a run has 280 steps


def judged(percepts: list[dict[str, Any]], trace: str) -> Iterator[tuple[bool, str]]:
    buffers = [tuple(map(int, found)) for found in BUFFER.findall(trace)]
    of = {view: [(ns / 1e9, number) for minor, ns, number in buffers if minor == at] for at, view in enumerate(VIEWS)}
    told = [(one["t"], event["text"]) for one in percepts for event in one["events"] if event["kind"] == "camera"]
    for t, text in told:
        if " lost " not in text:
            sys.stdout.write(f"        {t:.2f} s: {text}\n")
    for view in VIEWS:
        yield _times(view, percepts, of[view])
    yield _lost(told, of["front"])
    yield _says(told, "left", "that is unplugged", r"stopped sending", r"is back")
    off = r"times of arrival: its times are .* ahead of"
    yield _says(
        told, "right", "whose times wrap, for a while", off, r"stopped sending", r"is back", r"times of capture"
    )
    yield _says(told, "incar", "that stamps ahead of the clock, for a while", off, r"times of capture")


def _times(view: str, percepts: list[dict[str, Any]], kernels: list[tuple[float, int]]) -> tuple[bool, str]:
    """The time of each newest picture, by the percept's time and its age, among those that the kernel wrote down."""
    views = [(one["t"], one["views"][view]) for one in percepts]
    taken_s = {round(t - of["age_s"], 6) for t, of in views if of["clock"] == "capture"}
    known_s = [time_s for time_s, _ in kernels]
    same = sum(any(abs(t - known) < SAME_S for known in known_s) for t in taken_s)
    arrived = sum(of["clock"] == "arrival" for _, of in views)
    what = (
        f"{view}: {same} of {len(taken_s)} capture times are the kernel's; {arrived} of {len(views)} steps by arrival"
    )
    return same == len(taken_s) > FEW, what


def _lost(told: list[tuple[float, str]], kernels: list[tuple[float, int]]) -> tuple[bool, str]:
    """By our count, from times alone, and by the kernel's numbers, which leave one out for each that was lost."""
    counts = [int(found[1]) for _, text in told if (found := re.search(r"front: .* (\d+) so far", text))]
    ours = counts[-1] if counts else 0
    theirs = sum(max(after - before - 1, 0) for (_, before), (_, after) in pairwise(kernels))
    what = (
        f"front: {ours} frames were lost by what percepts say, {theirs} by the kernel's numbers; 10 % off are allowed"
    )
    return theirs > 20 and abs(ours - theirs) <= 0.1 * theirs, what


def _says(told: list[tuple[float, str]], view: str, what: str, *patterns: str) -> tuple[bool, str]:
    """Each of the patterns, in this order."""
    left = list(patterns)
    for _, text in told:
        if left and re.search(rf"^{view}: .*{left[0]}", text):
            left.pop(0)
    missing = f"after the others nothing tells '{left[0]}'" if left else f"all of it is told, {len(patterns)} sentences"
    return not left, f"{view}, {what}: {missing}"


def main() -> None:
    percepts, trace = (Path(name).read_text() for name in sys.argv[1:3])
    right = True
    for one, what in judged([json.loads(line) for line in percepts.splitlines()], trace):
        sys.stdout.write(f"{'ok    ' if one else 'FAILED'}  {what}\n")
        right &= one
    sys.exit(not right)


if __name__ == "__main__":
    main()
