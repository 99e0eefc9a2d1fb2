"""Step through a source: what cannot be used is left out and told, what was given to no step is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from codriver.perceiver import Perceiver
from codriver.percept import CAMERA, Percept
from codriver.sources import FrameSet, Source


def steps(
    source: Source, perceiver: Perceiver, *, deadline_ms: float | None = None
) -> Iterator[tuple[FrameSet, Percept | None]]:
    """Each set and its percept. None: it held no frame, and footage says nothing then; live, that is a step too."""
    views = perceiver.manifest.views
    for view in source.views:
        if view not in views:
            source.problems.append(f"{view}: this bundle does not look at it; it has {', '.join(views)}")
    for at in source:
        at = _usable(at, source, perceiver)  # what is left out is a problem of the source
        frames = {view: frame for view, frame in at.frames.items() if view in views}
        for what in at.news:
            perceiver._tell(CAMERA, what)
        if frames or source.live:
            yield at, perceiver.step(frames, t=at.t, driver=at.driver, deadline_ms=deadline_ms)
        else:
            yield at, None


def _usable(at: FrameSet, source: Source, perceiver: Perceiver) -> FrameSet:
    perceiver._lost(at.unusable, "rejected")
    unfit: dict[str, str] = {}
    frames = perceiver._usable(at.frames, lambda error: unfit.update({str(error.view): str(error)}))
    if not unfit:
        return at
    source.problems.extend(why for why in unfit.values() if why not in source.problems)
    return replace(at, frames=frames, driver=at.driver if "incar" in frames else None, absent={**at.absent, **unfit})
