"""Which room of the device package imports which, from the code itself.

python -m tests.room_table        prints the table of docs/architecture.md
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests import ROOT

PACKAGE = ROOT / "sdk" / "codriver"
GROUND = {
    "arrays",
    "config",
    "console",
    "counts",
    "dense_tasks",
    "errors",
    "percept",
    "resize",
    "tasks",
    "version",
}  # everybody may


def room_of(path: Path) -> str:
    """The folder of a file, or its own name if it lies at the top."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Rooms that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "codriver":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("codriver.")}
    return found


def rooms() -> dict[str, set[str]]:
    """Room -> the rooms it imports, without itself and the ground that everybody stands on."""
    table: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = room_of(path)
        if room not in GROUND and not room.startswith("__"):
            table.setdefault(room, set()).update(imports_of(path) - GROUND - {room})
    known = set(table)
    return {room: found & known for room, found in table.items()}


def markdown() -> str:
    found = rooms()
    order = sorted(found, key=lambda room: (-depth(room, found), room))
    rows = [f"| {room} | {', '.join(sorted(found[room])) or '-'} |" for room in order]
    ground = ", ".join(sorted(GROUND))
    return "\n".join(["| room | imports |", "|---|---|", *rows, "", f"Everybody may import {ground}."])


def depth(room: str, found: dict[str, set[str]]) -> int:
    """Rows above the ground: one more than the highest room that it imports."""
    return 1 + max((depth(other, found) for other in found[room]), default=0)


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
