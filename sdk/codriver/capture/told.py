"""What to say of a run's times and cameras, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def told_of(clocks: Mapping[str, str], counts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """clocks: view -> of CLOCKS. counts: view -> CameraCounts as a dict, of live cameras.

    'times: capture for incar, front; arrival for left', and each camera that lost frames or was opened again.
    """
    views: dict[str, list[str]] = {}
    for view, clock in clocks.items():
        views.setdefault(clock, []).append(view)
    if views:
        yield "times: " + "; ".join(f"{clock} for {', '.join(names)}" for clock, names in views.items())
    for view, c in counts.items():
        if c["lost"] or c["opened"] != 1:
            yield f"{view}: {c['frames']} frames came, {c['lost']} were lost on the way, opened {c['opened']} times"
