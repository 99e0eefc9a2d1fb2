"""Latency against the budget that a bundle carries: measured by `codriver verify`, judged with chance in mind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codriver.bundle.device_profile import PROFILE_NAME, parse_target, read_target
from codriver.bundle.folder import Bundle
from codriver.bundle.manifest_json import read_manifest
from codriver.cli.main import main
from codriver.errors import BundleError
from codriver.perceiver import Perceiver
from codriver.verify.latency import Latency, chance_of, measure_latency
from workshop.bundle_writer import seal

PROFILE: dict[str, Any] = {
    "name": "test",
    "title": "a test's device",
    "latency_budget_ms": 1000.0,
    "memory_budget_mb": 500.0,
    "nvpmodel": "",
    "compute_capability": "",
    "more": "than is read",
}


def with_profile(bundle: Path, **changes: object) -> Path:
    (bundle / PROFILE_NAME).write_text(json.dumps(PROFILE | changes))
    seal(bundle, replace(read_manifest(bundle), files={}))
    return bundle


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main(["verify", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_bundle_that_keeps_its_budget_is_verified_with_the_times_it_took(own_bundle_path, capsys) -> None:
    code, result = verify(capsys, with_profile(own_bundle_path), "--steps", 20)
    latency = result["latency"]
    assert code == 0 and latency["ok"] and (latency["steps"], latency["budget_ms"], latency["late"]) == (20, 1000, 0)
    assert 0 < latency["p50"] <= latency["p99"] <= latency["worst"] < 1000


def test_a_bundle_that_is_too_slow_is_not_verified(own_bundle_path, capsys) -> None:
    bundle = with_profile(own_bundle_path, latency_budget_ms=0.001)
    code, result = verify(capsys, bundle, "--steps", 20)
    assert code == 1 and not result["ok"] and result["latency"]["late"] == 20 and all(g["ok"] for g in result["golden"])
    assert main(["verify", str(bundle), "--steps", "20"]) == 1
    assert "p99 may be 0.001 ms: TOO SLOW" in capsys.readouterr().out


def test_without_a_profile_or_with_no_steps_latency_is_not_judged(bundle_path, own_bundle_path, capsys) -> None:
    assert main(["verify", str(bundle_path)]) == 0
    assert "latency not judged: the bundle carries no profile" in capsys.readouterr().out
    slow = with_profile(own_bundle_path, latency_budget_ms=0.001)
    assert main(["verify", str(slow), "--steps", "0"]) == 0
    assert "latency not measured" in capsys.readouterr().out


def test_a_budget_for_another_power_mode_is_named(own_bundle_path, capsys) -> None:
    assert main(["verify", str(with_profile(own_bundle_path, nvpmodel="25W")), "--steps", "5"]) == 0
    assert "that budget is for power mode 25W, this is not told" in capsys.readouterr().out


def test_fewer_than_no_steps_is_wrong_use(bundle_path, capsys) -> None:
    assert main(["verify", str(bundle_path), "--steps", "-1"]) == 2


def test_few_late_steps_may_be_chance_and_many_are_not() -> None:
    times = {"p50": 1.0, "p95": 1.0, "p99": 1.0, "worst": 9.0}
    judged = [Latency(steps=200, frame_px=(320, 180), budget_ms=5, late=late, **times).ok for late in (0, 2, 6, 7, 200)]
    assert judged == [True, True, True, False, False]
    assert chance_of(0, 200) == 1 and chance_of(1, 200) == pytest.approx(1 - 0.99**200)


def test_the_stream_leaves_the_perceiver_as_new_and_its_counts_untouched(own_bundle_path) -> None:
    with Perceiver.open(with_profile(own_bundle_path), threads=1) as perceiver:
        found = measure_latency(perceiver, 1000, steps=3)
        assert found.steps == 3 and perceiver.stats().steps == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "expected an object"),
        (json.dumps(PROFILE | {"latency_budget_ms": "fast"}).encode(), "latency_budget_ms"),
        (b'{"name": "x"}', "lacks title"),
    ],
)
def test_a_profile_that_is_not_one_is_refused_with_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        parse_target(data)


def test_a_bundle_from_before_profiles_has_no_target(bundle_path: Path) -> None:
    assert read_target(Bundle.open(bundle_path)) is None
