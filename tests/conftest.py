"""Fixtures that several folders share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

import codriver  # noqa: F401  before any test imports ONNX Runtime, which would report home: codriver.quiet
from codriver.perceiver import Perceiver
from tests.aide import write_dataset
from tests.spies import Spy, spied
from tests.tiny import make_tiny_bundle, tiny_manifest, without_finder

# An example over a second fails. The tests look at the same examples each time; `make fuzz` looks at new ones.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
_COMMON = {"deadline": 1000, "database": None, "phases": (Phase.explicit, Phase.generate, Phase.shrink)}
settings.register_profile("tests", max_examples=500, derandomize=True, suppress_health_check=_SLOW, **_COMMON)
_MANY = int(os.environ.get("FUZZ_EXAMPLES", "100000"))
settings.register_profile("fuzz", max_examples=_MANY, suppress_health_check=_SLOW, **_COMMON)
# For an emulated processor, tests/emulate_arm.py, whose seconds are not those of a real one.
settings.register_profile("emulated", settings.get_profile("tests"), max_examples=50, deadline=None)
settings.load_profile("tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the work, files that take long come first: one of them at the end keeps one process alone.

    The very first makes the graphs which all of tests/quantize share; others that ask for them come after those that
    need not wait. In other respects the order stays as it is.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    sharing = [item.path for item in items if "untrained_run" in getattr(item, "fixturenames", ())]
    slow, quantizing = ({item.path for item in items if item.get_closest_marker(name)} for name in ("slow", "nncf"))

    def rank(item: pytest.Item) -> int:
        path = item.path
        if path in sharing:
            return 0 if path == sharing[0] else 3
        return 1 if path in slow else 2 if path in quantizing else 4

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_child_processes() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that: `make test &` would fail."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of noise in AIDE's layout. Read only: copy it before you break it."""
    return write_dataset(tmp_path_factory.mktemp("aide"))


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
    spies = spied(without_finder(tiny_manifest()))
    with spies[0]:
        yield spies


@pytest.fixture
def spies(shared_spies: tuple[Perceiver, Spy, Spy]) -> tuple[Perceiver, Spy, Spy]:
    """A perceiver without a finder, and its encoder and fuser as they are seen from inside. Not to be closed."""
    perceiver, *engines = shared_spies
    perceiver.reset()
    for spy in engines:
        spy.forget()
    return shared_spies
