"""Tiny bundles that tests share; a test that changes one copies it first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codriver.perceiver import Perceiver
from tests.spies import Spy, spied
from tests.tiny import make_tiny_bundle, tiny_manifest


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with all eight streams and golden vectors. Read only."""
    return make_tiny_bundle(tmp_path_factory.mktemp("shared") / "tiny.bundle")


@pytest.fixture
def own_bundle_path(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to damage."""
    return Path(shutil.copytree(bundle_path, tmp_path / "own.bundle"))


@pytest.fixture(scope="session")
def shared_perceiver(bundle_path: Path) -> Iterator[Perceiver]:
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        yield perceiver


@pytest.fixture
def perceiver(shared_perceiver: Perceiver) -> Perceiver:
    """Fresh but for `sequence`, which goes on from test to test. Not to be closed."""
    shared_perceiver.reset()
    return shared_perceiver


@pytest.fixture(scope="session")
def shared_spies() -> Iterator[tuple[Perceiver, Spy, Spy]]:
    spies = spied(tiny_manifest())
    with spies[0]:
        yield spies


@pytest.fixture
def spies(shared_spies: tuple[Perceiver, Spy, Spy]) -> tuple[Perceiver, Spy, Spy]:
    """A perceiver, and its encoder and fuser as they are seen from inside. Not to be closed."""
    perceiver, *engines = shared_spies
    perceiver.reset()
    for spy in engines:
        spy.forget()
    return shared_spies
