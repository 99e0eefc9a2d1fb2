"""What the README says can be typed."""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

import pytest

from tests import ROOT

pytest.importorskip("torch")
pytest.importorskip("nncf")

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line.strip() for language, block in BLOCKS if not language for line in block.splitlines()]
COMMANDS = [line.split("#")[0].split() for line in LINES if re.match(r"python -m \w|codriver \w", line)]


def test_the_readme_shows_commands_of_the_device_and_of_the_workshop() -> None:
    assert {"codriver", "python"} == {command[0] for command in COMMANDS} and len(COMMANDS) >= 10


def runs(name: str) -> ModuleType:
    """What `python -m name` runs."""
    module = importlib.import_module(name)
    return importlib.import_module(f"{name}.__main__") if hasattr(module, "__path__") else module


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_there_and_knows_its_options(command: list[str], capsys: Any) -> None:
    if command[0] == "codriver":
        module, arguments = importlib.import_module("codriver.cli.main"), [command[1], "--help"]
    else:
        module, arguments = runs(command[2]), ["--help"]
    with pytest.raises(SystemExit) as stop:
        module.main(arguments)
    text = capsys.readouterr().out
    assert stop.value.code == 0 and ("example:" in text or "examples:" in text)
    assert [word for word in command if word.startswith("--") and word not in text] == []


def test_every_make_target_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^make ([a-z]+)", "\n".join(LINES), re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets and all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_file_in_the_tree_exists() -> None:
    tree = README.split("## What is where")[1].split("```")[1]
    sections = re.split(r"^(\S+/)", tree, flags=re.MULTILINE)[1:]
    missing, seen = [], 0
    for folder, text in zip(sections[::2], sections[1::2], strict=True):
        names = re.findall(r"(?<![\w./*])([a-z_]+(?:\.py|/))", text)
        seen += len(names)
        missing += [folder + name for name in names if not (ROOT / folder / name).exists()]
    assert missing == [] and seen >= 20
