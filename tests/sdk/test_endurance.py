"""Long runs: nothing grows, and the same frames give the same answers to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codriver.perceiver import Perceiver
from tests import ROOT
from tests.faults import Cameras, FaultInjector, drive
from tests.soak import Limits, broken
from tests.tiny import answers


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_10_000_steps_with_faults_grow_nothing() -> None:
    """In a process of its own: what tests before it freed or kept would be counted too."""
    code = "import json, sys; from tests.soak import soak; json.dump(soak(10_000), sys.stdout)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    result = json.loads(done.stdout)
    assert broken(result, Limits(rss_mb=2.0)) == [], done.stdout


def test_600_steps_of_four_cameras_are_the_same_bit_by_bit_three_times(bundle_path: Path) -> None:
    digests = {digest(bundle_path) for _ in range(3)}
    assert len(digests) == 1


def digest(bundle: Path) -> str:
    """Over all that was answered in a run that begins with an open; one camera fails on the way."""
    found = hashlib.sha256()
    with Perceiver.open(bundle, threads=1) as perceiver:
        for _, percept, _ in drive(perceiver, Cameras(seed=2), FaultInjector("frozen", ("left",), 200, 100), 600):
            found.update(json.dumps(answers(percept)).encode())
    return found.hexdigest()
