"""Whether a real kernel's CAN carried what it should: python -m tests.vehicle.judge_can FOLDER BUNDLE CLIP

FOLDER holds what others than codriver wrote down in the guest: candump, `cantools decode`, samples/can_receiver.py.
A line for each claim with `ok` or `FAILED`, and exit code 1 if one failed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codriver import Perceiver, open_source
from codriver.buses.dbc import CanEncoder
from codriver.mapping.alerts import AlertState, advance, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import read_map
from tests.corrupt_can import CORRUPTED, MESSAGES

FRAME = re.compile(r"\((\d+\.\d+)\) vcan0 (\w+)#(\w*)")
REPLACED = 0.05  # of the frames: those that a newer one replaced before the thread that sends had the processor
BACK_S = 3.5  # after a link is there again: the longest distance between two attempts, 3 s after it was lost
HANDED_OVER_S = 0.1  # on one processor that runs a whole guest


def frames(log: Path) -> list[tuple[float, str]]:
    """Time on the wall clock and `id#data` of what candump heard."""
    return [(float(at_s), f"{ident}#{data}") for at_s, ident, data in FRAME.findall(log.read_text())]


def foreseen(bundle: str, clip: str) -> Iterator[tuple[str, str]]:
    """What the drive must give, frame by frame, and the behaviour that the last one tells."""
    policy, state = read_alerts("alerts"), AlertState()
    bus_map = read_map("can", policy)
    encoder = CanEncoder(bus_map)
    names = bus_map.config.signals["DMS_DriverState.Behaviour"].values
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source:
        for at in source:
            percept = perceiver.step(at.frames, t=at.t)
            state = advance(policy, state, percept, None)
            result = percept.tasks["driver_behavior"]
            told = names[result.label] if names and result.valid else "INVALID"
            for frame in encoder.frames(Moment(percept, state.alert)):
                yield f"{frame.id:03X}#{frame.data.hex().upper()}", str(told)


def judged_drive(folder: Path, bundle: str, clip: str) -> Iterator[tuple[bool, str]]:
    heard = [frame for _, frame in frames(folder / "drive.log")]
    expected = list(foreseen(bundle, clip))
    left = iter([frame for frame, _ in expected])
    in_order = all(frame in left for frame in heard)  # each is looked for behind the one before
    yield (
        in_order and len(heard) >= (1 - REPLACED) * len(expected),
        f"candump heard {len(heard)} of the {len(expected)} frames that follow from the percepts, in order, none other",
    )
    decoded = (folder / "decoded.txt").read_text()
    names = Counter(re.findall(r":: (\w+)\(", decoded))
    yield sum(names.values()) == len(heard), f"cantools decode reads {sum(names.values())} of {len(heard)}"
    received = (folder / "received.txt").read_text()
    ok = {name: int(count) for name, count in re.findall(r"^(\w+) ok: (\d+)$", received, re.MULTILINE)}
    yield ok == names, f"can_receiver.py believes all of them, and no more: {ok}"
    last = [re.findall(r"Behaviour[=:] ?'?(\w+)", text)[-1] for text in (received, decoded)]
    told = [told for frame, told in expected if frame.startswith("3A0")][-1]
    yield last == [told, told], f"both read the last behaviour as the percept has it, {told}: {', '.join(last)}"


def judged_corruption(folder: Path) -> tuple[bool, str]:
    found = re.findall(r"^DMS_DriverState (.+): (\d+)$", (folder / "corrupted.txt").read_text(), re.MULTILINE)
    counts = {what: int(count) for what, count in found}
    believed = counts.get("ok", 0) + counts.get("some lost", 0)
    right = (
        counts.get("corrupted") == CORRUPTED and believed == MESSAGES - CORRUPTED == sum(counts.values()) - CORRUPTED
    )
    return right, f"of {MESSAGES} messages the {CORRUPTED} that were corrupted are caught, no other is: {counts}"


def judged_links(folder: Path) -> Iterator[tuple[bool, str]]:
    lines = [json.loads(line) for line in (folder / "links.jsonl").read_text().splitlines()]
    heard_s = [at_s for at_s, _ in frames(folder / "links.log")]
    for lost, back in (("down", "up"), ("deleted", "made anew")):
        gone_s, there_s = (next(one["at_s"] for one in lines if one["text"] == what) for what in (lost, back))
        yield _told(lines, f"the interface is {lost}", r"is lost \(", gone_s, 0.5)
        yield _told(lines, f"it is {back}", "is back", there_s, BACK_S)
        while_gone = sum(gone_s + 0.5 < at_s < there_s for at_s in heard_s)
        again = sum(there_s < at_s < there_s + BACK_S + 0.5 for at_s in heard_s)
        yield (
            while_gone == 0 < again,
            f"candump hears nothing meanwhile, and {again} frames within {BACK_S + 0.5} s after",
        )
    longest_s = float(next(one["text"] for one in lines if one["kind"] == "longest"))
    yield longest_s <= HANDED_OVER_S, f"handing a percept over took at most {longest_s * 1e3:.1f} ms all the while"


def _told(lines: Sequence[dict[str, Any]], what: str, pattern: str, at_s: float, within_s: float) -> tuple[bool, str]:
    told = [
        one for one in lines if one["kind"] == "told" and 0 <= one["at_s"] - at_s and re.search(pattern, one["text"])
    ]
    if not told:
        return False, f"{what}: nothing tells it"
    return told[0]["at_s"] - at_s <= within_s, f"{what}, and {told[0]['at_s'] - at_s:.2f} s later: {told[0]['text']}"


def main() -> None:
    folder, bundle, clip = sys.argv[1:4]
    right = True
    claims = [*judged_drive(Path(folder), bundle, clip), judged_corruption(Path(folder)), *judged_links(Path(folder))]
    for one, what in claims:
        sys.stdout.write(f"{'ok    ' if one else 'FAILED'}  {what}\n")
        right &= one
    sys.exit(not right)


if __name__ == "__main__":
    main()
