"""Do two ways to run the same clips give the same? Per task on probabilities, per group on what is handed on.

A check has a tolerance for each number, and says what was expected where one is exceeded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.console import table
from codriver.tasks import TaskSet
from quantize.graphs.stepping import Trace


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The most that two ways may differ by. Where the numbers come from: DECISIONS.md."""

    agreement: float  # share of clips with the same class, at least
    mean_abs: float  # of a probability, over clips and classes
    max_abs: float  # of a probability
    features: float  # norm of the difference / norm, of any group; more where INT8 itself costs more, see ParityCheck
    slots: float


# The same codes node by node; a value on the edge between two may fall on either side.
SAME_CODES = Tolerance(agreement=0.99, mean_abs=0.003, max_abs=0.05, features=0.01, slots=0.05)
# A runtime adds in integers and rounds at other places. A slot rests on the small difference of two features.
RUNTIME = Tolerance(agreement=0.99, mean_abs=0.005, max_abs=0.1, features=0.02, slots=0.1)
# The same floating-point numbers, in another order.
SAME_FLOATS = Tolerance(agreement=1.0, mean_abs=1e-4, max_abs=1e-3, features=1e-4, slots=1e-4)
# What INT8 itself may cost against full precision. Wrong ranges show in the slots first.
ROUNDING = Tolerance(agreement=0.95, mean_abs=0.02, max_abs=0.5, features=0.1, slots=0.25)


@dataclass
class ParityCheck:
    """One way held against another, filled batch by batch."""

    dialect: str
    way: str
    against: str
    mode: str  # stepped, whole, or whole against stepped
    tolerance: Tolerance
    rounding: ParityCheck | None = None  # what INT8 itself costs, if both ways round
    _errors: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=dict)  # part -> group -> (2, T) squares
    _found: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)  # task -> [(B, K)]
    _wanted: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.dialect}: {self.way} against {self.against}, {self.mode}"

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Way and mode of what is checked, and of what it is held against."""
        mode, _, other = self.mode.partition(" against ")
        return (self.way, mode), (self.against, other or mode)

    def add(self, found: Trace, wanted: Trace) -> None:
        for part in ("features", "slots"):
            for group, reference in getattr(wanted, part).items():
                of_group = self._errors.setdefault(part, {}).setdefault(group, np.zeros((2, len(reference))))
                of_group += _squares(getattr(found, part)[group], reference)
        for task, reference in wanted.probabilities.items():
            self._found.setdefault(task, []).append(found.probabilities[task])
            self._wanted.setdefault(task, []).append(reference)

    def report(self, task_set: TaskSet) -> dict[str, Any]:
        """JSON-ready, with the sentences that say what exceeds its tolerance."""
        found, wanted = ({t: np.concatenate(some) for t, some in kept.items()} for kept in (self._found, self._wanted))
        result: dict[str, Any] = {
            "dialect": self.dialect,
            "way": self.way,
            "against": self.against,
            "mode": self.mode,
            "clips": len(next(iter(found.values()))),
            "tolerance": asdict(self.tolerance),
            "limits": {part: {g: self._limit(part, g) for g in of} for part, of in self._errors.items()},
            "tasks": {task: difference(found[task], wanted[task]) for task in found},
            **{part: {g: self._error(part, g) for g in of} for part, of in self._errors.items()},
            "slots_late": {g: _relative(some[:, -4:].sum(axis=1)) for g, some in self._errors["slots"].items()},
        }
        return result | {"faults": faults(self.name, result, self.tolerance, task_set)}

    def _limit(self, part: str, group: str) -> float:
        """The most that features or slots may differ by.

        In a deep network a code that falls on the other side of an edge moves those behind it, until two ways to round
        have nothing in common but what they approximate. Then they lie sqrt(2) of what rounding costs apart, the
        distance of two independent errors of one size; what lies beyond has another cause.
        """
        fixed = float(getattr(self.tolerance, part))
        return max(fixed, math.sqrt(2) * self.rounding._error(part, group)) if self.rounding else fixed

    def _error(self, part: str, group: str) -> float:
        return _relative(self._errors[part][group].sum(axis=1))


def _squares(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """(2, T): squared norms of the difference and of what was wanted, slot by slot."""
    axes = tuple(range(1, wanted.ndim))
    apart = found.astype(np.float64) - wanted
    return np.stack([(apart**2).sum(axis=axes), (wanted.astype(np.float64) ** 2).sum(axis=axes)])


def _relative(squares: NDArray[np.float64]) -> float:
    """Relative error from the two squared norms; of nothing at all, the error itself."""
    return float(np.sqrt(squares[0] / squares[1])) if squares[1] else float(np.sqrt(squares[0]))


def difference(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> dict[str, float | int]:
    """Of one task's probabilities, both (n, K)."""
    apart = np.abs(found - wanted)
    same = found.argmax(axis=1) == wanted.argmax(axis=1)
    return {
        "agreement": float(same.mean()),
        "flips": int((~same).sum()),
        "mean_abs": float(apart.mean()),
        "max_abs": float(apart.max()),
    }


def faults(name: str, result: Mapping[str, Any], allowed: Tolerance, task_set: TaskSet) -> list[str]:
    """One sentence for each number beyond its tolerance; none if all is well."""
    said = []
    for task, row in result["tasks"].items():
        title, flips = task_set[task].title, allowed_flips(result["clips"], allowed.agreement)
        if row["flips"] > flips:
            said.append(f"{name}: {title}: {row['flips']} of {result['clips']} answers differ, at most {flips} may")
        for key, words in (
            ("mean_abs", "probabilities differ by {} on average"),
            ("max_abs", "a probability differs by {}"),
        ):
            if not row[key] <= getattr(allowed, key):
                said.append(
                    f"{name}: {title}: {words.format(f'{row[key]:.4f}')}, expected at most {getattr(allowed, key)}"
                )
    for part in ("features", "slots"):
        for group, error in result[part].items():
            limit = result["limits"][part][group]
            if not error <= limit:
                said.append(f"{name}: {part} of {group}: relative error {error:.4f}, expected at most {limit:.3g}")
    return said


def allowed_flips(clips: int, agreement: float) -> int:
    """How many answers may differ. One always may: two classes can be as likely as each other."""
    return 0 if agreement == 1.0 else max(1, int(clips * (1 - agreement) + 1e-9))


def all_faults(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [fault for check in checks for fault in check["faults"]]


def parity_table(checks: Sequence[Mapping[str, Any]], task_set: TaskSet) -> list[str]:
    """One line a check, for people: the worst of each number over tasks and groups."""
    rows = [("dialect", "way", "against", "", "clips", *(task.title for task in task_set.tasks), "max", "slots", "")]
    for check in checks:
        tasks = check["tasks"].values()
        rows.append(
            (
                *(check[key] for key in ("dialect", "way", "against", "mode")),
                str(check["clips"]),
                *(f"{100 * row['agreement']:.1f} %" for row in tasks),
                f"{max(row['max_abs'] for row in tasks):.4f}",
                f"{100 * max(check['slots'].values()):.1f} %",
                "FAILS" if check["faults"] else "holds",
            )
        )
    return table(rows, numbers_from=4)
