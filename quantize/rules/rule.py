"""What a rule is, and what checking one finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from quantize.rules.view import GraphView

Found = tuple[str, str]  # where: node or tensor; what was found there


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user expects beyond the dialect."""

    int8: frozenset[str] | None = None  # names of the convolutions that must run in INT8; None: every one
    quantized_outputs: frozenset[str] = field(default_factory=frozenset)  # graph outputs that may end in Q/DQ


Check = Callable[[GraphView, Asked], Iterable[Found]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that a dialect asks of a file."""

    number: int
    title: str
    why: str  # what the runtime does with a file that breaks it
    mend: str
    severity: str  # error: refused or wrong numbers; warning: slower, or less accurate than it could be
    check: Check
    fixable: bool = False  # --fix mends it, mostly or always, without changing a value


@dataclass(frozen=True)
class Finding:
    rule: int
    where: str
    what: str
