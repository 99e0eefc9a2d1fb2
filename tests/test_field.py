"""What people reported can be looked up: docs/troubleshooting.md has an entry for each folder of tests/field.toml."""

from __future__ import annotations

import tomllib

from tests import ROOT
from tests.field import CASES, cases


def test_each_reported_situation_has_an_entry_with_a_cause_and_a_way_out() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8").replace("\\|", "/")
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in page.splitlines() if line[:2] == "| "]
    entries: dict[str, list[str]] = tomllib.loads(CASES.read_text(encoding="utf-8"))["entries"]
    assert entries.keys() == {case.folder for case in cases()}
    for folder, seen in entries.items():
        assert seen or folder == "00-plain", folder
        for words in seen:
            found = [row for row in rows if words in row[0]]
            assert len(found) == 1 and len(found[0]) == 3 and all(found[0]), f"{folder}: {words!r}: {found}"
