"""What reads our recordings in tests: Node.js packages, pinned in tests/readers, installed by `make readers`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

READERS = Path(__file__).with_name("readers")


def judged(path: Path) -> dict[str, Any]:
    """Topic -> schema, messages, violations of a file, as Foxglove's own reader and schemas have it."""
    folder = Path(os.environ.get("CODRIVER_READERS") or Path(sys.prefix) / "readers")
    if not (folder / "ready").exists() or not shutil.which("node"):
        why = f"Foxglove's reader is not in {folder}: install Node.js, then `make readers`"
        if os.environ.get("CODRIVER_REQUIRE_READERS"):  # where a check must not be left out quietly
            pytest.fail(why)
        pytest.skip(why)
    command = ["node", str(READERS / "judge.cjs"), str(folder), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))
