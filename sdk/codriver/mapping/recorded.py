"""A percept from its own JSON again, as much of it as a map may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codriver.errors import SourceError
from codriver.percept import DriverSight, Percept, TaskResult, ViewStatus


def percept_of(content: Mapping[str, Any]) -> Percept:
    """content: of Percept.to_dict(), from a recording or a file of JSON lines."""
    try:
        return Percept(
            t=content["t"],
            sequence=content["sequence"],
            state=content["state"],
            reasons=tuple(content.get("reasons", ())),
            tasks={name: TaskResult(**of) for name, of in content["tasks"].items()},
            views={name: ViewStatus(**of) for name, of in content["views"].items()},
            context=content["context"],
            model=content["model"],
            driver=DriverSight(present=content.get("driver", {}).get("present")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"not a percept's JSON ({type(error).__name__}: {error}); record the drive anew") from error
