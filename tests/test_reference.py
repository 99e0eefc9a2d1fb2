"""What the code cites can be opened: docs/reference has the page and the section."""

import re
from pathlib import Path

from tests import ROOT

CITED = re.compile(r"reference/(\w+\.md)((?:[ ,]+(?:and )?\d+(?:\.\d+)?)*)")
FOLDERS = ("sdk", "training", "quantize", "targets", "tests")


def citations() -> list[tuple[Path, str, str]]:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml")]
    found = []
    for path in files:
        for page, numbers in CITED.findall(path.read_text(encoding="utf-8")):
            found += [(path, page, number) for number in re.findall(r"\d+(?:\.\d+)?", numbers) or [""]]
    return found


def test_every_section_that_the_code_cites_is_in_the_reference() -> None:
    missing = []
    for path, page, number in citations():
        text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
        heading = rf"^#+ {re.escape(number)}[. ]" if number else ""
        if not re.search(heading, text, re.MULTILINE):
            missing.append(f"{path.relative_to(ROOT)} cites {page} {number}")
    assert missing == []
    assert len(citations()) > 40
