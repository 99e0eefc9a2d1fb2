"""The conditions of each subject side by side, so that unlike ones are not compared unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from workshop.pages import Cell, table

Subject = Mapping[str, Any]


def conditions_table(several: Sequence[tuple[str, Subject]]) -> str:
    """A column for each subject: what has to be alike before two figures are compared."""
    columns = [_facts(subject) for _, subject in several]
    rows: list[list[Cell]] = []
    for fact in columns[0]:
        values = [column[fact] for column in columns]
        differ = "open wide" if len(set(values)) > 1 and fact not in ("bundle", "measured") else "wide"
        rows.append([fact, *((differ, escape(value)) for value in values)])
    note = "Orange: not the same for all; figures of time and energy are then not of one condition."
    return table(("", *(escape(name) for name, _ in several)), rows) + f'<p class="soft">{note}</p>'


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
