"""Whether a bundle may be packed: every check that was made must hold, and what was not made is said.

    lint      no rule of the dialect is broken (quantize.lint)
    audit     the multiply-accumulates run in INT8 (quantize.audit)
    parity    the runtime's answers are those of the fake-quantized model (quantize.prove)
    golden    the bundle gives its golden vectors' answers, on this machine
    accuracy  no task loses more points than the profile allows, INT8 against full precision on the same test clips
              (quantize.prove)
    latency   the predicted floor of a step lies within the profile's budget; only a device can show that a step does

Accuracy is judged by the paired difference's confidence interval, so that chance neither ships nor stops a bundle:
the loss misses its budget if all of the interval lies beyond it, holds if all of it lies within, and is otherwise not
shown by so few clips, which is written into the manifest and into the page, but stops nothing.

Lint, audit, parity and accuracy were found out by quantize and stand in its report; what does not stand there is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codriver.errors import CodriverError, ConfigError
from targets.profiles.profile import Profile
from workshop.emitted_dialect import AccuracyChange, AuditResult, EmittedDialect, LintResult

CHECKS = ("lint", "audit", "parity", "golden", "accuracy", "latency")
FINDER_OFF = 0.005  # of the frame: what a runtime's points may stray from the fake-quantized model's, in the mean
PRESENCE_OFF = 0.25  # what its presence may stray from full precision's at worst, pictures of nobody among them
INT8_SHARE = 0.9  # least share of multiply-accumulates in INT8; size tiny, whose joint encoders weigh most, has 0.914


class GateError(CodriverError):
    """The bundle does not do what was promised of it, so it is not kept."""


@dataclass(frozen=True)
class Miss:
    """A check that does not hold."""

    check: str  # one of CHECKS
    dialect: str
    message: str

    @property
    def name(self) -> str:
        return f"{self.check}:{self.dialect}"

    def is_among(self, allowed: Collection[str]) -> bool:
        """Whether `accuracy`, or `accuracy:ort-x86`, is allowed."""
        return self.check in allowed or self.name in allowed


@dataclass
class Verdict:
    """All misses, what was not checked, and what the clips could not show."""

    misses: list[Miss] = field(default_factory=list)
    open: list[str] = field(default_factory=list)  # sentences

    def refuse_unless(self, allowed: Collection[str]) -> None:
        """A GateError names every miss that is not allowed, by how much it misses, and how to allow it."""
        left = [miss for miss in self.misses if not miss.is_among(allowed)]
        if left:
            lines = "; ".join(f"{miss.name}: {miss.message}" for miss in left)
            names = " ".join(f"--allow {name}" for name in dict.fromkeys(miss.name for miss in left))
            raise GateError(f"not packed. {lines}. Mend it, or take responsibility with {names}")

    def to_json(self, allowed: Collection[str]) -> dict[str, Any]:
        """For the manifest: exceptions are kept for ever with the bundle."""
        taken = [miss for miss in self.misses if miss.is_among(allowed)]
        return {"exceptions": [{"name": miss.name, "message": miss.message} for miss in taken], "open": self.open}


def check_names(allowed: Sequence[str], profile: Profile) -> None:
    """A ConfigError if something is to be allowed that cannot be missed."""
    known = [*CHECKS, *(f"{check}:{dialect}" for check in CHECKS for dialect in profile.dialects)]
    for name in allowed:
        if name not in known:
            raise ConfigError(f"--allow {name} is not known; choose from {', '.join(known)}")


def judge(dialects: Mapping[str, EmittedDialect], profile: Profile, floor_ms: float | None) -> Verdict:
    """All but the golden vectors, which need the bundle. floor_ms: of a step; None where no graph could be read."""
    verdict = Verdict()
    for dialect in profile.dialects:
        some, full = dialects[dialect], dialect.endswith("fp32")
        checked: dict[str, list[str] | None] = {} if full else {"lint": _lint(some.lint), "audit": _audit(some.audit)}
        checked["parity"] = None if some.parity is None else list(some.parity.faults)
        for check, messages in checked.items():
            if messages is None:
                verdict.open.append(f"{check}:{dialect} was not checked")
            else:
                verdict.misses += [Miss(check, dialect, message) for message in messages]
        if some.finder_check is not None and not full:
            of_finder = {"lint": _lint(some.finder_check.lint), "audit": _audit(some.finder_check.audit)}
            for check, messages in of_finder.items():
                verdict.misses += [Miss(check, dialect, f"of the finder: {message}") for message in messages or ()]
        if some.finder_check is not None and (some.finder_check.mean_off or 0.0) > FINDER_OFF:
            off = f"of the finder: its points are {some.finder_check.mean_off:.4f} of the frame off the model's"
            verdict.misses.append(Miss("parity", dialect, f"{off}, at most {FINDER_OFF:g} is allowed"))
        if some.finder_check is not None and (some.finder_check.presence_off or 0.0) > PRESENCE_OFF:
            off = f"of the finder: whether a driver is there is {some.finder_check.presence_off:.2f} off full precision"
            verdict.misses.append(Miss("parity", dialect, f"{off}, at most {PRESENCE_OFF:g} is allowed"))
        if some.accuracy is not None:
            _accuracy(some.accuracy, dialect, profile.accuracy_budget_points, verdict)
        elif not full:
            verdict.open.append(f"accuracy:{dialect} was not measured; quantize.prove does")
    if floor_ms is None:
        verdict.open.append("latency was not predicted: none of the graphs is ONNX")
    elif floor_ms > profile.latency_budget_ms:
        over_ms = floor_ms - profile.latency_budget_ms
        text = f"even the predicted floor, {floor_ms:.1f} ms a step, is {over_ms:.1f} ms over the budget of "
        verdict.misses.append(Miss("latency", profile.dialects[0], f"{text}{profile.latency_budget_ms:g} ms"))
    return verdict


def _lint(found: LintResult | None) -> list[str] | None:
    """What speaks against the graph; None if nobody looked."""
    if found is None or not found.broken:
        return None if found is None else []
    return [f"{found.broken} rules are broken, {found.findings} findings; the first: {found.first}"]


def _audit(found: AuditResult | None) -> list[str] | None:
    if found is None:
        return None
    share = found.int8_share
    if share is not None and share >= INT8_SHARE:
        return []
    reached = "an unknown share" if share is None else f"{100 * share:.1f} %"
    return [f"{reached} of the multiply-accumulates run in INT8, at least {100 * INT8_SHARE:.0f} % are wanted"]


def _accuracy(
    changes: Mapping[str, AccuracyChange], dialect: str, budget: Mapping[str, float], verdict: Verdict
) -> None:
    """changes: by task. budget: points that each may lose."""
    for task, change in changes.items():
        loss, least, most = (-100 * share for share in (change.difference, change.high, change.low))
        allowed = budget[task]
        text = f"{task} loses {loss:.1f} points of accuracy, {least:.1f} to {most:.1f} with 95 % confidence"
        if least > allowed:
            over = f"{text}: at least {least - allowed:.1f} more than the {allowed:g} allowed"
            verdict.misses.append(Miss("accuracy", dialect, over))
        elif most > allowed:
            more = f"{text}; {change.n} clips cannot show that it is within the {allowed:g} allowed"
            verdict.open.append(f"accuracy:{dialect}: {more}")
