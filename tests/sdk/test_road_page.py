"""What docs/road.md says can be typed, and its tables say what the code does."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codriver.config import HealthConfig, WorkerConfig
from codriver.perceiver import Perceiver
from codriver.tasks import VIEWS
from codriver.worker import PerceiverWorker
from tests import ROOT

PAGE = (ROOT / "docs" / "road.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def in_a_folder_with_the_bundle(bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("demo", "new"):
        (tmp_path / f"{name}.bundle").symlink_to(bundle_path)
    monkeypatch.chdir(tmp_path)
    yield


@pytest.mark.usefixtures("in_a_folder_with_the_bundle")
def test_the_programs_on_the_page_run(bundle_path: Path) -> None:
    assert len(BLOCKS) == 4
    a, b = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)
    names: dict[str, Any] = {"a": a, "b": b}
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        first, second = BLOCKS[0].strip().splitlines()[-2:]
        exec(BLOCKS[0].replace(second, second.replace("12.3", "12.4")), names | {"perceiver": perceiver})
        assert perceiver.stats().views["front"].processed == 2 and "Frame(" in second and "Frame(" not in first
    exec(BLOCKS[1], names)
    with names["perceiver"] as perceiver:
        assert perceiver.bundle.policy.health_of("incar") == HealthConfig(black_below=2.0, flat_std=1.0)
        assert perceiver.bundle.policy.timing.pair_s == 0.033 and perceiver.bundle.policy.smoothing.on
    names |= {"PerceiverWorker": PerceiverWorker, "frames": {"incar": a, "front": b}}
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        exec(BLOCKS[2], names | {"perceiver": perceiver})  # its worker ends with the test
        pytest.importorskip("prometheus_client")
        left = {"perceiver": perceiver}
        exec(BLOCKS[3].replace("9464", "0", 1), names | left, left)
        left["server"].close()
        assert left["percept"].sequence == 0 and Path("codriver.jsonl").read_text().count("camera ") == 4
        logging.getLogger("codriver").handlers.pop().close()


def test_the_limits_on_the_page_are_the_defaults() -> None:
    limits, worker = HealthConfig(), WorkerConfig()
    for said in (
        f"nothing for {limits.late_s:g} s",
        f"nothing for {limits.lost_s:g} s",
        f"below {limits.black_below:g} or above {limits.saturated_above:g} and spread below {limits.flat_std:g}, "
        f"for {limits.flat_s:g} s",
        f"no detail in {limits.covered_share:.0%} of 4 x 4 blocks for {limits.covered_s:g} s".replace("%", " %"),
        f"not answered {worker.grace_ms:g} ms after its deadline",
    ):
        assert said in PAGE.replace("\n", " "), said
    assert limits.frozen_frames == 5 and limits.recovery_frames == 10  # five frames, ten good frames
    assert all(f"`{status}`" in PAGE for status in ("ok", "late", "lost", "never", "refused", "frozen", "covered"))
    assert set(VIEWS) >= {"incar", "front"}
