"""Fixtures that several folders share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

import codriver  # noqa: F401  before any test imports ONNX Runtime, which would report home: codriver.quiet
from tests.aide import write_dataset

# An example over a second fails. The tests look at the same examples each time; `make fuzz` looks at new ones.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
_COMMON = {"deadline": 1000, "database": None, "phases": (Phase.explicit, Phase.generate, Phase.shrink)}
settings.register_profile("tests", max_examples=500, derandomize=True, suppress_health_check=_SLOW, **_COMMON)
_MANY = int(os.environ.get("FUZZ_EXAMPLES", "100000"))
settings.register_profile("fuzz", max_examples=_MANY, suppress_health_check=_SLOW, **_COMMON)
# For an emulated processor, tests/emulate_arm.py, whose seconds are not those of a real one.
settings.register_profile("emulated", settings.get_profile("tests"), max_examples=50, deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_child_processes() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that: `make test &` would fail."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of noise in AIDE's layout. Read only: copy it before you break it."""
    return write_dataset(tmp_path_factory.mktemp("aide"))
