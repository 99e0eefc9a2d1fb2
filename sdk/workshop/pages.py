"""Our pages: each one file that carries its pictures, runs no script and fetches nothing.

A page is a template beside the code that fills it; `templates/` has what all share: the frame, the one stylesheet, and
macros for tables, verdicts and pictures. Values are escaped wherever they land: names from a file bring no markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than plain text."""

    text: str
    small: str = ""  # beside it, smaller: an interval
    below: str = ""  # under it, smaller
    mark: str = ""  # how it looks: pass, fail, open, none (not there), wide (may wrap), code


Row = Sequence[str | Cell]


def render(template: Path, **values: Any) -> str:
    """The page that a template makes. A value that the template names and nobody gave is an error, never a gap."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # takes 0.2 s, which a --help should not

    environment = Environment(
        loader=FileSystemLoader([template.parent, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return str(environment.get_template(template.name).render(values))


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def interval_text(between: Sequence[float]) -> str:
    return f"[{percent(between[0])}, {percent(between[1])}]"


def with_interval(share: float, between: Sequence[float], mark: str = "") -> Cell:
    return Cell(percent(share), interval_text(between), mark=mark)


def points(difference: float, between: Sequence[float]) -> str:
    """A difference of shares with its interval, in points of percent."""
    low, high = (100 * side for side in between)
    return f"{100 * difference:+.1f} ({low:+.1f} to {high:+.1f})"
