"""What the files of the system say of it. One that is not there, or cannot be read, says nothing."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """Without the white space around it."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def values(path: Path, *keys: str) -> list[str]:
    """Of the lines "key: value" with one of these keys, as /proc/cpuinfo has them core by core."""
    pairs = [line.partition(":") for line in read_text(path).splitlines()]
    return [value.strip() for key, _, value in pairs if key.strip() in keys]


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
