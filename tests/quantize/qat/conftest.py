"""A run, its clips and a calibrated encoder that the tests of QAT share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clips(dataset: Path) -> list[Any]:
    from codriver.tasks import AIDE
    from training.data.clips import load_clips
    from training.model.uvm3tl import SIZES
    from workshop.aide_splits import read_split

    return load_clips(read_split(dataset, "train"), SIZES["tiny"], AIDE)


@pytest.fixture(scope="session")
def run(clips: list[Any]) -> Any:
    """A run with weights that nobody trained."""
    from tests.quantize.qat.tuning import make_run

    return make_run(clips)


@pytest.fixture(scope="session")
def calibrated(run: Any, clips: list[Any]) -> Any:
    """An encoder after PTQ. Copy it before you train it."""
    from tests.quantize.qat.tuning import make_calibrated

    return make_calibrated(run, clips)
