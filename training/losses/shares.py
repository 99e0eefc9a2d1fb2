"""Which term of the loss moves the encoders, in numbers: the norm of each term's gradient there, and its share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

KEY = "gradients_at_encoders"  # in an epoch's record, in meta.json and in QAT's part of report.json


def gradients_at(parameters: Iterable[nn.Parameter], terms: Mapping[str, Tensor]) -> dict[str, Any]:
    """JSON-ready: by term the Euclidean norm of its gradient over all parameters, and its share of the norms' sum.

    terms: scalars of one forward pass, whose graph is kept. Nothing is written to the parameters' own gradients.
    """
    moved = [parameter for parameter in parameters if parameter.requires_grad]
    norms = {name: _norm(moved, term) for name, term in terms.items()}
    whole = sum(norms.values())
    return {"norm": norms, "share": {name: norm / whole if whole else 0.0 for name, norm in norms.items()}}


def _norm(parameters: list[nn.Parameter], term: Tensor) -> float:
    if not parameters or not term.requires_grad:
        return 0.0
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    squares = [some.double().square().sum() for some in found if some is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def of_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the epochs in which they were measured, from the records of a training."""
    return [{"epoch": row["epoch"], **row[KEY]} for row in records if KEY in row]


def said(gradients: Mapping[str, Any]) -> str:
    """For people, the largest first: `teacher 73 %, cross_entropy 16 %, decoupling 0.03 %`."""
    ordered = sorted(gradients["share"].items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.2g} %" for name, share in ordered)
