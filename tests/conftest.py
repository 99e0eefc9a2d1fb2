"""Fixtures that several folders share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.aide import write_dataset


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_child_processes() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that: `make test &` would fail."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of noise in AIDE's layout. Read only: copy it before you break it."""
    return write_dataset(tmp_path_factory.mktemp("aide"))
