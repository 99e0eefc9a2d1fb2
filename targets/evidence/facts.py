"""What subjects are called, and their conditions side by side, so that unlike ones are not compared unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workshop.pages import Cell, Row

Subject = Mapping[str, Any]


def conditions_rows(several: Sequence[tuple[str, Subject]]) -> list[Row]:
    """A column for each subject: what has to be alike before two figures are compared."""
    columns = [_facts(subject) for _, subject in several]
    rows: list[Row] = []
    for fact in columns[0]:
        values = [column[fact] for column in columns]
        differ = "open wide" if len(set(values)) > 1 and fact not in ("bundle", "measured") else "wide"
        rows.append([fact, *(Cell(value, mark=differ) for value in values)])
    return rows


def _facts(subject: Subject) -> dict[str, str]:
    stream, made = subject["stream"], subject["measured"]
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
        "runtime": f"{subject['engine']} {subject['engine_version']}, {subject['threads']} threads",
        **{fact: _before_after(before[key], after[key]) for fact, key in changing.items()},
        "frames px": "x".join(map(str, stream["frame_px"])),
        "clips stepped at Hz": f"{subject.get('clips_hz', 15.0):g}",
        "Python": subject["machine"]["python"],
        "tools": ", ".join(f"{name} {version}" for name, version in made["tools"].items()),
        "commit": made["git_commit"],
        "measured": made["created"],
    }


def _before_after(before: Any, after: Any) -> str:
    """Of the timed stream; one value if it stayed."""
    texts = [
        "not told here" if v is None else "-".join(f"{x:g}" for x in v) if isinstance(v, list) else str(v)
        for v in (before, after)
    ]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]}, then {texts[1]}"


def machine_line(subject: Subject) -> str:
    machine = subject["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"


def labels(subjects: Sequence[Subject]) -> dict[int, str]:
    """What a subject, by its id(), is called: as short as it can be while no two are called the same."""
    machines = {subject["machine"]["cpu"] for subject in subjects}
    short = [f"{subject['target']} · {subject['variant']}" for subject in subjects]
    if len(machines) > 1:
        short = [f"{name} · {subject['machine']['cpu']}" for name, subject in zip(short, subjects, strict=True)]
    again = [short[:at].count(name) for at, name in enumerate(short)]
    names = [f"{name} ({count + 1})" if count else name for name, count in zip(short, again, strict=True)]
    return {id(subject): name for subject, name in zip(subjects, names, strict=True)}
