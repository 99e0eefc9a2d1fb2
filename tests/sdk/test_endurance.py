"""Long runs: nothing grows, and the same frames give the same answers to the last bit."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from codriver.perceiver import Perceiver
from tests.faults import Cameras, FaultInjector, drive
from tests.soak import Limits, broken, soak
from tests.tiny import answers


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_10_000_steps_with_faults_grow_nothing() -> None:
    result = soak(10_000)
    assert broken(result, Limits(rss_mb=2.0)) == [], json.dumps(result)


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
