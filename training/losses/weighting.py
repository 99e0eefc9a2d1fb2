"""How much each task weighs in AFD-Loss: six published ways behind one small interface.

The paper (arXiv 2602.01594) says that the weights follow the learning dynamics; its equation is not public, so this
choice is our instantiation and a subject of experiments. Formulas: reference/model.md 7.1 and the source in each
docstring.

A weighting is a module. Called with the batch's task losses it returns what they add up to and the weights it used:

    total, weights = weighting(losses, here, shared)

losses: (K,) float32 with gradient, in units of guessing evenly. here: (K,) bool, the tasks that are trained and have a
label in this batch; only these take part. shared: (B, D) with gradient, or None: only GradNorm looks at it.
Weights are constants for the model's gradient. Where a source has another scale than a mean weight of 1, it is brought
to it (uncertainty excepted, which learns its scale): learning rate and beta then mean the same with every weighting.

K task · B batch · D width of an embedding
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from codriver.errors import ConfigError

SMALL = 1e-4  # a loss below this share of guessing is noise: logarithms and quotients see no smaller one
Reduce = Callable[[Tensor], Tensor]  # sums a tensor over processes


class Equal(nn.Module):
    """Every task weighs 1. The other weightings override what they need."""

    needs_after_step = False  # True: `after_step` wants the losses of the same batch after the optimizer's step

    def __init__(self, trained: Tensor) -> None:
        """trained: (K,) bool, the tasks that take part at all."""
        super().__init__()
        self.register_buffer("trained", trained, persistent=False)
        self.register_buffer("used", trained.float())  # weights of the newest batch
        self.history: list[list[float]] = []  # mean loss of each task, epoch by epoch

    def forward(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        weights = self.weigh(losses, here, shared).detach()
        if self.training:
            self.used.copy_(weights)
        return (weights * losses).sum(), weights

    def weigh(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> Tensor:
        """(K,) weights of this batch."""
        return self.now()

    def now(self) -> Tensor:
        """(K,) weights as they stand, for the log; where they depend on the batch, those of the newest one."""
        return self.used

    def after_step(self, losses: Tensor) -> None:
        """losses: (K,) of the same batch, after the optimizer's step."""

    def forget(self) -> None:
        """Lessons change their kind: losses from here on do not compare with those before."""

    def synchronise(self, reduce: Reduce) -> None:
        """Make processes agree at the end of an epoch."""

    def get_extra_state(self) -> dict[str, Any]:
        return {"history": [list(epoch) for epoch in self.history]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.history = [list(map(float, epoch)) for epoch in state["history"]]


class DynamicWeightAverage(Equal):
    """w_k = n exp(r_k / T) / sum_i exp(r_i / T), r_k = L_k(t-1) / L_k(t-2) of epoch means; 1 in the first two epochs.

    Liu, Johns, Davison, "End-to-end multi-task learning with attention", CVPR 2019 (lorenmt/mtan). T: 2 there.
    """

    def __init__(self, trained: Tensor, temperature: float) -> None:
        super().__init__(trained)
        self.temperature = temperature

    def now(self) -> Tensor:
        if len(self.history) < 2:
            return self.trained.float()
        last, before = (torch.tensor(epoch, dtype=torch.float64) for epoch in (self.history[-1], self.history[-2]))
        powers = last / before.clamp(min=1e-8) / self.temperature
        return share_out(powers.to(self.used), self.trained)


class Uncertainty(Equal):
    """total = sum_k L_k / (2 exp(s_k)) + s_k / 2, with s_k learned by the model's optimizer.

    Kendall, Gal, Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, in the form and with the
    start (-0.5) of LibMTL. Losses below `SMALL` count as `SMALL`: for a loss of 0, s has no lower end.
    """

    def __init__(self, trained: Tensor) -> None:
        super().__init__(trained)
        self.log_variance = nn.Parameter(torch.full(trained.shape, -0.5))

    def forward(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        weights = 0.5 * torch.exp(-self.log_variance)
        terms = weights * losses.clamp(min=SMALL) + 0.5 * self.log_variance
        return torch.where(here, terms, torch.zeros_like(terms)).sum(), self.now()

    def now(self) -> Tensor:
        return 0.5 * torch.exp(-self.log_variance.detach()) * self.trained


class _Scored(Equal):
    """Weights that come from scores, which Adam moves step by step; both sources use Adam.

    Each process moves its own scores by the losses it sees; once per epoch they are averaged.
    """

    def __init__(self, trained: Tensor, rate: float, decay: float) -> None:
        super().__init__(trained)
        self.rate, self.decay = rate, decay
        for name in ("scores", "first_moment", "second_moment"):
            self.register_buffer(name, torch.zeros(trained.shape))
        self.register_buffer("steps", torch.zeros(()))

    def _move(self, gradient: Tensor) -> None:
        """One step of Adam against the gradient with respect to the scores; what is not finite does not move them."""
        gradient = torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
        states: tuple[list[Tensor], ...] = ([gradient], [self.first_moment], [self.second_moment], [], [self.steps])
        options = {"amsgrad": False, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "maximize": False}
        with torch.no_grad():
            adam([self.scores], *states, lr=self.rate, weight_decay=self.decay, foreach=False, **options)

    def synchronise(self, reduce: Reduce) -> None:
        processes = reduce(torch.ones_like(self.steps))
        for state in (self.scores, self.first_moment, self.second_moment):
            state.copy_(reduce(state.clone()) / processes)


class GradNorm(_Scored):
    """Weights under which every task's gradient is as long as its rate of learning asks for.

    Moves w to lower sum_k |w_k g_k - mean_i(w_i g_i) r_k^alpha|, the second term held constant; g_k is the norm of
    task k's gradient, r_k = L_k / mean_i L_i. Chen, Badrinarayanan, Lee, Rabinovich, "GradNorm", ICML 2018: alpha 1.5,
    rate 0.025; their L_k(0) is ln K_k for a cross-entropy, so that it is 1 in our units. w = n softmax(scores) keeps
    them positive and their mean 1 (LibMTL). g_k is taken with respect to the shared embedding instead of the last
    shared weights, as is usual: that costs K passes through the heads only.
    """

    def __init__(self, trained: Tensor, alpha: float, rate: float) -> None:
        super().__init__(trained, rate, decay=0.0)
        self.alpha = alpha

    def weigh(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> Tensor:
        if self.training and losses.requires_grad:
            self._adjust(losses, here, gradient_norms(losses, shared))
        return self.now()

    def now(self) -> Tensor:
        return share_out(self.scores, self.trained)

    def _adjust(self, losses: Tensor, here: Tensor, norms: Tensor) -> None:
        losses = losses.detach()
        rates = losses / mean_of(losses, here).clamp(min=SMALL)
        with torch.enable_grad():
            scores = self.scores.clone().requires_grad_()
            lengths = share_out(scores, self.trained) * norms
            wanted = (mean_of(lengths, here) * rates**self.alpha).detach()
            away = torch.where(here, lengths - wanted, torch.zeros_like(lengths)).abs().sum()
            self._move(torch.autograd.grad(away, scores)[0])


class FAMO(_Scored):
    """Weights under which every task's loss falls at the same rate, from losses alone.

    w_k proportional to z_k / L_k, z = softmax(scores); after the step the scores move against
    d/dscores sum_k z_k (log L_k - log L_k'), L' being the losses of the same batch then. Liu, Feng, Stone, Liu, "FAMO:
    fast adaptive multitask optimization", NeurIPS 2023: rate 0.025, decay 1e-3 as in LibMTL (their own code: 0.01).
    """

    needs_after_step = True

    def __init__(self, trained: Tensor, rate: float, decay: float) -> None:
        super().__init__(trained, rate, decay)
        self._before: tuple[Tensor, Tensor] | None = None  # losses and `here` of the batch that waits for its step

    def weigh(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> Tensor:
        if self.training:
            self._before = losses.detach(), here
        parts = torch.where(here, self._shares() / losses.detach().clamp(min=SMALL), torch.zeros_like(losses))
        return here.sum() * parts / parts.sum().clamp(min=SMALL)

    def after_step(self, losses: Tensor) -> None:
        if self._before is None:
            return
        before, here = self._before
        fall = before.clamp(min=SMALL).log() - losses.detach().float().clamp(min=SMALL).log()
        fall = torch.where(here, fall, torch.zeros_like(fall))
        shares = self._shares()
        self._move(shares * (fall - (shares * fall).sum()))  # softmax's Jacobian times the fall
        self._before = None

    def _shares(self) -> Tensor:
        return self.scores.masked_fill(~self.trained, -math.inf).softmax(dim=0)


class GeometricLoss(Equal):
    """n (prod_k L_k)^(1/n): its gradient is that of sum_k w_k L_k with w_k = (prod_i L_i)^(1/n) / L_k.

    Chennupati et al., "MultiNet++: multi-stream feature aggregation and geometric loss strategy", CVPR workshops 2019.
    Without the factor n in the source; with it equal losses weigh 1 each. Losses below `SMALL` count as `SMALL`.
    """

    def weigh(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> Tensor:
        logs = losses.detach().clamp(min=SMALL).log()
        return torch.where(here, torch.exp(mean_of(logs, here) - logs), torch.zeros_like(logs))


def share_out(scores: Tensor, taking_part: Tensor) -> Tensor:
    """n softmax(scores) over the n tasks that take part; the others get 0. Both (K,)."""
    return taking_part.sum() * scores.masked_fill(~taking_part, -math.inf).softmax(dim=0)


def mean_of(values: Tensor, which: Tensor) -> Tensor:
    """Scalar mean over the chosen ones; 0 where none is chosen. Both (K,)."""
    return torch.where(which, values, torch.zeros_like(values)).sum() / which.sum().clamp(min=1)


def gradient_norms(losses: Tensor, shared: Tensor | None) -> Tensor:
    """(K,) norm of each loss's gradient with respect to the shared embedding (B, D). A ConfigError where none flows."""
    if shared is not None and shared.requires_grad:
        found = [torch.autograd.grad(one, shared, retain_graph=True, allow_unused=True)[0] for one in losses]
        if all(one is not None for one in found):
            return torch.stack([one.float().norm() for one in found])
    raise ConfigError(
        "weighting 'gradnorm': no gradient reaches the shared embedding, expected one from every task; "
        "use DB-SCME with its shared branch, or another weighting"
    )
