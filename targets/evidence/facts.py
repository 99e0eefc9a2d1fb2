"""What subjects are called, and their conditions side by side, so that unlike ones are not compared unseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workshop.pages import Cell, Row

Subject = Mapping[str, Any]
UNTOLD = "not told here"
WHICH = ("bundle", "board", "hostname", "serial number", "measured")  # of several these differ, and nothing is amiss


def conditions_rows(several: Sequence[tuple[str, Subject]]) -> list[Row]:
    """A column for each subject: what has to be alike before two figures are compared."""
    columns = [_facts(subject) for _, subject in several]
    rows: list[Row] = []
    for fact in columns[0]:
        values = [column[fact] for column in columns]
        differ = "open wide" if len(set(values)) > 1 and fact not in WHICH else "wide"
        rows.append([fact, *(Cell(value, mark=differ) for value in values)])
    return rows


def _facts(subject: Subject) -> dict[str, str]:
    stream, made, machine = subject["stream"], subject["measured"], subject["machine"]
    before, after = stream["conditions"]["before"], stream["conditions"]["after"]
    changing = {
        "clocks MHz": "cpu_mhz",
        "hottest sensor C": "hottest_c",
        "load": "load",
        "power mode": "power_mode",
        "governor": "governor",
        "GPU driver": "gpu_driver",
    }
    return {
        "bundle": subject["bundle"],
        "machine": machine_line(subject),
        "board": machine.get("board") or UNTOLD,
        "hostname": machine.get("hostname") or UNTOLD,
        "serial number": machine.get("serial") or UNTOLD,
        "runtime": f"{subject['engine']} {subject['engine_version']}, {subject['threads']} threads",
        **{fact: _before_after(before[key], after[key]) for fact, key in changing.items()},
        "frames px": "x".join(map(str, stream["frame_px"])),
        "clips stepped at Hz": f"{subject.get('clips_hz', 15.0):g}",
        "clips run by": subject.get("clips_by", "this machine"),
        "Python": machine["python"],
        "tools": ", ".join(f"{name} {version}" for name, version in made["tools"].items()),
        "commit": made["git_commit"],
        "measured": made["created"],
    }


def _before_after(before: Any, after: Any) -> str:
    """Of the timed stream; one value if it stayed."""
    texts = [
        UNTOLD if v is None else "-".join(f"{x:g}" for x in v) if isinstance(v, list) else str(v)
        for v in (before, after)
    ]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]}, then {texts[1]}"


def machine_line(subject: Subject) -> str:
    machine = subject["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"


def board_of(subject: Subject) -> str:
    """What people call the machine: its name in the farm, else its hostname; "" in evidence of before."""
    return str(subject["machine"].get("board") or subject["machine"].get("hostname") or "")


def labels(subjects: Sequence[Subject]) -> dict[int, str]:
    """What a subject, by its id(), is called: as short as it can be while no two are called the same.

    Which processor and which board are said wherever there are several; the rest only where names would be the same.
    """
    names = [f"{subject['target']} · {subject['variant']}" for subject in subjects]
    for always, tell in TELLING_APART:
        told = [tell(subject) for subject in subjects]
        if len(set(told)) > 1 and (always or len(set(names)) < len(names)):
            names = [" · ".join(filter(None, pair)) for pair in zip(names, told, strict=True)]
    again = [names[:at].count(name) for at, name in enumerate(names)]  # evidence of before told too little
    names = [f"{name} ({count + 1})" if count else name for name, count in zip(names, again, strict=True)]
    return {id(subject): name for subject, name in zip(subjects, names, strict=True)}


def _power_mode(subject: Subject) -> str:
    return str(subject.get("stream", {}).get("conditions", {}).get("before", {}).get("power_mode") or "")


TELLING_APART: tuple[tuple[bool, Callable[[Subject], str]], ...] = (
    (True, lambda subject: str(subject["machine"]["cpu"])),
    (True, board_of),
    (False, lambda subject: str(subject["machine"].get("serial") or "")),
    (False, _power_mode),
    (False, lambda subject: str(subject["bundle"])),
    (False, lambda subject: str(subject.get("measured", {}).get("created", ""))),
)
