"""A sample in a process of its own, as its users run it: the package's sources, and nothing of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import ROOT


def sample(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run samples/`name` to its end. folder: that it is run in."""
    return subprocess.run(
        [sys.executable, str(ROOT / "samples" / name), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "sdk")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
