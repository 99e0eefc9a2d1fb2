"""Tiny bundles that tests share; a test that changes one copies it first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codriver.perceiver import Perceiver
from tests.tiny import make_tiny_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with all eight streams and golden vectors. Read only."""
    return make_tiny_bundle(tmp_path_factory.mktemp("shared") / "tiny.bundle")


@pytest.fixture
def own_bundle_path(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to damage."""
    return Path(shutil.copytree(bundle_path, tmp_path / "own.bundle"))


@pytest.fixture
def perceiver(bundle_path: Path) -> Iterator[Perceiver]:
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        yield perceiver
