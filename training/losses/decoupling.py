"""What keeps the embeddings of AFD-Loss apart: three published terms, each 0 where they are apart. Our instantiation.

The paper (arXiv 2602.01594) names a feature-decoupling constraint; its equation is not public. Formulas:
reference/model.md 7.2.

specific: (B, tasks, D), or None where DB-SCME has no specific branch. shared: (B, D), or None likewise. Pairs that need
what is None are left out; a term without any pair is 0. All compute in float32 and return a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-6  # embeddings shorter than this are not blown up to unit length


def cosine(specific: Tensor | None, shared: Tensor | None) -> Tensor:
    """Mean squared cosine over task pairs and task-shared pairs, 0 (orthogonal) to 1. Blind to the length of each.

    The soft form of the orthogonality of Bousmalis et al., "Domain separation networks", NeurIPS 2016, sample by
    sample; reference/model.md 7.2.
    """
    parts = [part for part in (specific, None if shared is None else shared[:, None]) if part is not None]
    if sum(part.shape[1] for part in parts) < 2:
        return _nothing(specific, shared)
    products = _products(torch.cat(parts, dim=1))
    n = products.shape[1]
    pairs = torch.triu(torch.ones(n, n, dtype=torch.bool, device=products.device), diagonal=1)
    return products[:, pairs].square().mean()


def gram(specific: Tensor | None, shared: Tensor | None) -> Tensor:
    """Squared Frobenius norm of Z Z^T - I, mean over the batch; Z: (tasks, D) of one sample, rows of unit length.

    0 (orthogonal) to tasks * (tasks - 1). Blind to the length of each. Tasks only, the shared embedding stays out. The
    penalty of Brock, Lim, Ritchie, Weston, "Neural photo editing with introspective adversarial networks", ICLR 2017,
    on embeddings. The diagonal is left out: it is 0 but for an embedding of zeros, which is not to be punished.
    """
    if specific is None or specific.shape[1] < 2:
        return _nothing(specific, shared)
    products = _products(specific)
    return (products - torch.diag_embed(products.diagonal(dim1=1, dim2=2))).square().sum(dim=(1, 2)).mean()


def difference(specific: Tensor | None, shared: Tensor | None) -> Tensor:
    """Squared Frobenius norm of Z_0^T Z_k / B, mean over tasks; Z: (B, D), columns centred, then rows of unit length.

    The difference loss of Bousmalis et al., "Domain separation networks", NeurIPS 2016. 0 (no feature of one varies
    with any of the other) to 1, thanks to the division by B, which the source does not have. Blind to the scale of each
    embedding as a whole. It needs a batch: one sample, centred, is 0.
    """
    if specific is None or shared is None:
        return _nothing(specific, shared)
    own, common = _centred(specific.transpose(0, 1)), _centred(shared)  # (tasks, B, D), (B, D)
    return (common.T @ own / len(common)).square().sum(dim=(1, 2)).mean()


def none(specific: Tensor | None, shared: Tensor | None) -> Tensor:
    """0: embeddings are left as they are."""
    return _nothing(specific, shared)


Term = Callable[[Tensor | None, Tensor | None], Tensor]
TERMS: dict[str, Term] = {"none": none, "cosine": cosine, "gram": gram, "difference": difference}


def _products(embeddings: Tensor) -> Tensor:
    """(B, n, D) -> (B, n, n) cosines."""
    unit = F.normalize(embeddings.float(), dim=2, eps=TINY)
    return unit @ unit.transpose(1, 2)


def _centred(embedding: Tensor) -> Tensor:
    """(..., B, D): every feature's mean over the batch taken off, then every row of unit length."""
    embedding = embedding.float()
    return F.normalize(embedding - embedding.mean(dim=-2, keepdim=True), dim=-1, eps=TINY)


def _nothing(specific: Tensor | None, shared: Tensor | None) -> Tensor:
    some = specific if specific is not None else shared
    return torch.zeros((), device=None if some is None else some.device)
