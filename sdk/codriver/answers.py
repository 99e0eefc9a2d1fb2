"""From logits and what was seen to an answer that says how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codriver.engines import Arrays
from codriver.errors import EngineError
from codriver.manifest import Manifest, TaskSpec
from codriver.percept import TaskResult, ViewStatus
from codriver.window import ContextConfig

LOST_S = 1.0  # a camera that is silent for longer counts as lost (reference/integration.md 4.2)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(K,) -> (K,) probabilities, in double precision: they sum to one, and no logit overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(shifted / shifted.sum(), dtype=np.float64)


def view_status(now_s: float, seen_s: float | None) -> ViewStatus:
    """seen_s: capture time of the view's newest frame, None if there never was one."""
    if seen_s is None:
        return ViewStatus(status="never", age_s=None, reason="no frame yet")
    age_s = now_s - seen_s
    if age_s == 0:
        return ViewStatus(status="ok", age_s=0.0, reason="")
    if age_s <= LOST_S:
        reason = f"no frame in this step, the last one is {age_s:.2f} s old"
        return ViewStatus(status="late", age_s=age_s, reason=reason)
    return ViewStatus(status="lost", age_s=age_s, reason=f"no frame for {age_s:.1f} s")


def task_results(manifest: Manifest, logits: Arrays, fresh: Mapping[str, bool], filled: int) -> dict[str, TaskResult]:
    """Every task's answer, or why there is none.

    logits: (1, K) by task. fresh: whether a view fills the newest slot. filled: slots that hold any view.
    """
    results = {}
    for task in manifest.tasks:
        reason = _gathering(manifest, filled) or _missing_view(manifest, task, fresh)
        results[task.name] = _invalid(reason) if reason else _valid(task, logits[task.name][0])
    return results


def _missing_view(manifest: Manifest, task: TaskSpec, fresh: Mapping[str, bool]) -> str:
    if any(fresh[view] for view in task.needs_any):
        return ""
    views = " or ".join(task.needs_any)
    return f"no fresh frame from {views}, or none {manifest.context.slot_s:g} s before it"


def _gathering(manifest: Manifest, filled: int) -> str:
    context = manifest.context
    if not is_gathering(context, filled):
        return ""
    needed = math.ceil(context.min_context * context.slots)
    return f"gathering context: {filled * context.slot_s:.1f} of {needed * context.slot_s:.1f} s"


def is_gathering(context: ContextConfig, filled: int) -> bool:
    """Whether too few slots are filled to answer anything."""
    return filled < context.min_context * context.slots


def _invalid(reason: str) -> TaskResult:
    return TaskResult(label=None, index=None, probability=None, probabilities={}, valid=False, reason=reason)


def _valid(task: TaskSpec, logits: NDArray[np.float32]) -> TaskResult:
    probabilities = softmax(logits)  # (K,)
    index = int(probabilities.argmax())
    return TaskResult(
        label=task.labels[index],
        index=index,
        probability=float(probabilities[index]),
        probabilities=dict(zip(task.labels, probabilities.tolist(), strict=True)),
        valid=True,
        reason="",
    )


def check_finite(stage: str, outputs: Arrays) -> None:
    """Raise an EngineError if a graph answered NaN or infinity: neither may become a label or a memory."""
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise EngineError(f"the {stage} gave NaN or infinity in {name}; run `codriver verify` on it")


def state_of(tasks: Mapping[str, TaskResult], views: Mapping[str, ViewStatus], gathering: bool) -> str:
    if gathering:
        return "init"
    if not any(result.valid for result in tasks.values()):
        return "invalid"
    answered = all(result.valid for result in tasks.values())
    seen = all(view.status == "ok" for view in views.values())
    return "ok" if answered and seen else "degraded"
