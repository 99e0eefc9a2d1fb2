"""A target does not ship maps or boxes that INT8 made worse, and says what its pictures could not show."""

from __future__ import annotations

from typing import Any

import pytest

from codriver.dense.spec import DenseSpec
from targets.packing.dense import judge_dense
from targets.packing.gate import GateError, Verdict
from targets.profiles.profile import load_profile
from workshop.dense_report import DenseChange, DenseDialect, DenseOrigin, DenseQuantizedReport
from workshop.emitted_dialect import AuditResult, EmittedGraph, LintResult

PROFILE = load_profile("x86-no-vnni")  # one dialect, ort-x86-7bit
DIALECT = "ort-x86-7bit"
SPEC = DenseSpec(task_set="nyudv2", tasks=("semantics", "depth"), height_px=96, width_px=128)


def worse(cost: float, low: float, high: float, *, is_error: bool = False) -> DenseChange:
    name = "rmse_m" if is_error else "miou"
    return DenseChange(
        judged_by=name, scores={}, fp32={}, is_error=is_error, cost=cost, low=low, high=high, pictures=90
    )


def judged(**results: Any) -> Verdict:
    good = {
        "lint": LintResult(rules=20, broken=0, findings=0, first=""),
        "audit": AuditResult(runtime="onnxruntime", predicted=False, macs=1000, int8_share=0.98),
        "parity": {"onnxruntime": {"semantics": 0.0, "depth": 0.0}},
        "accuracy": {"semantics": worse(0.001, -0.002, 0.004), "depth": worse(0.01, 0.0, 0.019, is_error=True)},
    }
    dialect = DenseDialect(
        engine="onnxruntime",
        requires=(),
        why="",
        dense=EmittedGraph(path="dense.onnx", sha256="0" * 64, bytes=1),
        not_run={},
        accuracy_of="onnxruntime",
        **good | results,
    )
    origin = DenseOrigin(weights_sha256="", created="", git_commit="", pictures={}, test={}, calibration=())
    report = DenseQuantizedReport(
        created="",
        tools={},
        git_commit="",
        seed=0,
        machine="",
        color="bgr",
        dense=SPEC,
        run=origin,
        golden="golden/golden.json",
        dialects={DIALECT: dialect},
    )
    verdict = Verdict()
    judge_dense(report, PROFILE, verdict)
    return verdict


def test_what_costs_less_than_is_allowed_passes_without_a_word() -> None:
    verdict = judged()
    verdict.refuse_unless(())
    assert verdict.open == []


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("semantics", worse(0.02, 0.011, 0.03), r"semantics is worse by 2\.00 points of miou, at most 1 are allowed"),
        ("depth", worse(0.03, 0.021, 0.04, is_error=True), r"depth is worse by 3\.00 % of rmse_m, at most 2 are"),
    ],
)
def test_what_surely_costs_more_is_refused_in_its_own_unit(task: str, change: DenseChange, message: str) -> None:
    with pytest.raises(GateError, match=rf"accuracy:{DIALECT}: {message}"):
        judged(accuracy={task: change}).refuse_unless(())


def test_a_cost_whose_interval_reaches_beyond_the_limit_is_said_and_does_not_refuse() -> None:
    verdict = judged(accuracy={"depth": worse(0.01, -0.01, 0.025, is_error=True)})
    verdict.refuse_unless(())
    assert len(verdict.open) == 1 and "90 pictures cannot show that it is within 2" in verdict.open[0]


def test_int8_that_nobody_judged_is_said() -> None:
    assert "was not judged; quantize with fp32" in judged(accuracy={}).open[0]


def test_a_dialect_of_full_precision_has_nothing_to_be_judged() -> None:
    assert judged(accuracy={}, audit=None, lint=None).open == []
