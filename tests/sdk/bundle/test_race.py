"""engine="fastest": all that runs here is tried, one is kept, and it is said which and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codriver.bundle import variants
from codriver.bundle.loader import fastest
from codriver.errors import BackendMissing, ConfigError
from codriver.perceiver import Perceiver
from codriver.tasks import STREAMS
from tests.faults import Idle
from tests.tiny import make_tiny_bundle, run, tiny_manifest, tiny_steps

pytest.importorskip("onnxruntime")


def test_the_fastest_of_all_variants_that_run_here_is_kept_and_all_times_are_told(tmp_path: Path) -> None:
    draft = tiny_manifest()
    free = tuple(replace(variant, requires=()) for variant in draft.variants)
    path = make_tiny_bundle(tmp_path / "b", STREAMS, variants=free)
    with Perceiver.open(path, engine="fastest", threads=1) as perceiver:
        assert set(perceiver.bundle.benchmark_ms) == {"ort-x86", "ort-x86-7bit"}
        assert perceiver.bundle.benchmark_ms[perceiver.variant] == min(perceiver.bundle.benchmark_ms.values())
        with Perceiver.open(path, variant=perceiver.variant, threads=1) as named:
            assert run(perceiver, tiny_steps(10)).tasks == run(named, tiny_steps(10)).tasks


def test_the_slower_engine_loses_the_race() -> None:
    class Slow(Idle):
        def infer(self, inputs: dict) -> dict:
            for _ in range(20):
                super().infer(inputs)
            return super().infer(inputs)

    signature = tiny_manifest().encoder_signature
    name, medians_ms = fastest(
        {"slow": Slow(signature), "quick": Idle(signature)}, dict.fromkeys(("slow", "quick"), signature)
    )
    assert name == "quick" and medians_ms["quick"] < medians_ms["slow"]


def test_a_variant_and_the_fastest_of_all_cannot_both_be_asked_for(bundle_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out variant 'ort-x86'"):
        Perceiver.open(bundle_path, engine="fastest", variant="ort-x86")


def test_where_nothing_runs_it_is_said_of_each_why(tmp_path: Path) -> None:
    gpu = tuple(replace(variant, engine="tensorrt") for variant in tiny_manifest().variants[1:])
    with pytest.raises(BackendMissing, match="needs tensorrt, not installed here"):
        Perceiver.open(make_tiny_bundle(tmp_path / "b", variants=gpu), engine="fastest")


@pytest.mark.parametrize(("here", "says"), [("1.23.2", ""), ("1.22.0", "here is 1.22.0"), ("of unknown version", "")])
def test_a_runtime_of_a_version_that_the_target_does_not_allow_is_refused_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, here: str, says: str
) -> None:
    monkeypatch.setattr(variants, "runtime_version", lambda engine: here)
    variant = replace(tiny_manifest().variants[1], versions=("1.23", "1.24"))
    why = variants.why_not(variant, {"x86"})
    assert says in why and bool(why) == bool(says)
    if says:
        assert "is for onnxruntime 1.23 or 1.24" in why and "install one of these, or build for this one" in why
