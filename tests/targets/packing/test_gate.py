"""The gate: what is missed is named with its measure, and packed only if somebody takes responsibility."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from codriver.errors import ConfigError
from targets.packing.gate import GateError, Verdict, check_names, judge
from targets.profiles.profile import load_profile
from tests.reports import emitted
from workshop.emitted_dialect import AccuracyChange, AuditResult, FinderCheck, LintResult, ParityResult

PROFILE = load_profile("x86-no-vnni")  # one dialect, ort-x86-7bit; two points on every task
DIALECT = "ort-x86-7bit"


def row(difference: float, low: float, high: float) -> AccuracyChange:
    return AccuracyChange(difference=difference, low=low, high=high, n=600)


def audited(int8_share: float | None) -> AuditResult:
    return AuditResult(runtime="onnxruntime", predicted=False, macs=1000, int8_share=int8_share)


def compared(*faults: str) -> ParityResult:
    return ParityResult(split="val", clips=8, checked=("integer",), max_abs=0.001, faults=faults, not_proven={})


def linted(broken: int, first: str = "") -> LintResult:
    return LintResult(rules=20, broken=broken, findings=broken, first=first)


def of_finder(**changes: Any) -> FinderCheck:
    return FinderCheck(**{"lint": linted(0), "audit": audited(0.99), "scores": None, "mean_off": 0.001} | changes)


def judged(floor_ms: float | None = 1.0, **results: Any) -> Verdict:
    good = {
        "lint": linted(0),
        "audit": audited(0.99),
        "parity": compared(),
        "accuracy": {"driver_emotion": row(-0.005, -0.015, 0.005)},
    }
    return judge({DIALECT: emitted(**good | results)}, PROFILE, floor_ms)


def test_what_holds_passes_without_a_word() -> None:
    verdict = judged(finder_check=of_finder())
    verdict.refuse_unless(())
    assert verdict.to_json(()) == {"exceptions": [], "open": []}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"lint": linted(1, "Conv_1: uint8")}, "lint:.*1 rules .*Conv_1: uint8"),
        ({"audit": audited(0.5)}, r"audit:.*50\.0 % of .* at least 90 % are wanted"),
        ({"audit": audited(None)}, "audit:.*an unknown share"),
        ({"parity": compared("traffic_context flips 3 %")}, "parity:ort-x86-7bit: traffic_context flips 3 %"),
        ({"accuracy": {"vehicle_behavior": row(-0.04, -0.055, -0.025)}}, r"loses 4\.0 points.* 0\.5 more than the 2"),
        ({"finder_check": of_finder(lint=linted(2, "Add_3"))}, "lint:.*of the finder: 2 rules .*Add_3"),
        ({"finder_check": of_finder(audit=audited(0.5))}, r"audit:.*of the finder: 50\.0 % of"),
        (
            {"finder_check": of_finder(mean_off=0.02)},
            r"parity:.*of the finder: its points are 0\.0200 of the frame off",
        ),
        (
            {"finder_check": of_finder(presence_off=0.5)},
            r"parity:.*of the finder: whether a driver is there is 0\.50 off full precision",
        ),
        ({"floor_ms": 130.0}, r"latency:.*130\.0 ms a step, is 30\.0 ms over the budget of 100 ms"),
    ],
)
def test_a_miss_is_refused_with_its_measure_and_the_way_to_allow_it(results: dict[str, Any], message: str) -> None:
    with pytest.raises(GateError, match=rf"not packed.*{message}.*--allow \w+:ort-x86-7bit"):
        judged(**results).refuse_unless(())


@pytest.mark.parametrize("name", ["audit", "audit:ort-x86-7bit"])
def test_an_allowed_miss_passes_and_is_kept_as_an_exception(name: str) -> None:
    verdict = judged(audit=audited(0.5))
    verdict.refuse_unless((name,))
    (exception,) = verdict.to_json((name,))["exceptions"]
    assert exception["name"] == "audit:ort-x86-7bit" and "50.0 %" in exception["message"]


def test_allowing_one_check_does_not_allow_another() -> None:
    with pytest.raises(GateError, match="audit:ort-x86-7bit"):
        judged(audit=audited(0.5)).refuse_unless(("lint", "audit:ort-x86"))


def test_a_loss_that_chance_can_explain_stops_nothing_but_is_said() -> None:
    verdict = judged(accuracy={"driver_emotion": row(-0.03, -0.05, -0.01)})
    verdict.refuse_unless(())
    (sentence,) = verdict.open
    assert "1.0 to 5.0 with 95 % confidence; 600 clips cannot show that it is within the 2 allowed" in sentence


def test_a_loss_of_just_the_budget_is_allowed() -> None:
    """Two points on every task: an interval that begins there is no miss, one that ends there leaves nothing open."""
    begins = judged(accuracy={"driver_emotion": row(-0.04, -0.06, -0.02)})
    assert not begins.misses and len(begins.open) == 1
    ends = judged(accuracy={"driver_emotion": row(-0.01, -0.02, 0.0)})
    assert not ends.misses and not ends.open


def test_the_budget_is_the_tasks_own() -> None:
    strict = replace(PROFILE, accuracy_budget_points={"driver_emotion": 0.4})
    results = {DIALECT: emitted(accuracy={"driver_emotion": row(-0.01, -0.015, -0.005)})}
    assert [miss.name for miss in judge(results, strict, 1.0).misses] == ["accuracy:ort-x86-7bit"]


def test_what_was_not_checked_is_said() -> None:
    verdict = judge({DIALECT: emitted()}, PROFILE, None)
    assert not verdict.misses and len(verdict.open) == 5 and any("lint:" in text for text in verdict.open)


@pytest.mark.parametrize("check", ["lint", "audit", "parity"])
def test_a_check_that_could_not_be_made_here_is_said_and_refuses_nothing(check: str) -> None:
    verdict = judged(**{check: None})
    assert not verdict.misses and verdict.open == [f"{check}:{DIALECT} was not checked"]


def test_full_precision_is_not_asked_for_int8() -> None:
    profile = load_profile("x86-ort-fp32")
    entry = emitted(audit=audited(0.0), parity=compared())
    verdict = judge({dialect: entry for dialect in profile.dialects}, profile, 1.0)
    assert not verdict.misses and not verdict.open


def test_full_precision_must_answer_as_the_model_does_too() -> None:
    """It is what INT8 is compared with: where it is wrong, every comparison is."""
    profile = load_profile("x86-ort-fp32")
    entry = emitted(parity=compared("traffic_context flips 3 %"))
    verdict = judge({dialect: entry for dialect in profile.dialects}, profile, 1.0)
    assert [miss.name for miss in verdict.misses] == [f"parity:{dialect}" for dialect in profile.dialects]


def test_a_name_that_no_check_has_cannot_be_allowed() -> None:
    check_names(("golden", "parity:ort-x86-7bit"), PROFILE)
    with pytest.raises(ConfigError, match=r"--allow accurracy is not known; choose from lint"):
        check_names(("accurracy",), PROFILE)
