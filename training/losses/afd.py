"""AFD-Loss: adaptive weights from learning dynamics, and feature decoupling. Our instantiation.

The paper (arXiv 2602.01594) names both parts; their equations are not public. Ours:

    L = sum_k w_k * CE_k / ln(K_k) + beta * L_dec + auxiliary * sum_k w_k * A_k

CE_k / ln(K_k) puts tasks of different class counts on one scale: guessing evenly costs 1 in each. A_k is the same of
the answers that every remembered slot of every stream gives alone, the mean over the streams that are there and can
know of the task; it is no part of the paper, and most of the loss's value. How much each term moves the encoders is
measured in every run: training/losses/shares.py.
w_k: training/losses/weighting.py, six candidates, and dynamics.py. L_dec: training/losses/decoupling.py, three, and
summands.py, whose strength is its share of the gradient instead of beta. The engine's part:

    parts = loss(model(frames, mask), labels, mask)         parts.total.backward(); optimizer.step()
    loss.after_step(lambda: losses of this batch by now)    only looked at where loss.needs_after_step
    loss.end_epoch(reduce)

`loss.parameters()` belong in the optimizer, and `loss.to(device)` moves its state with the model. Processes that
average gradients each take the class-weighted mean of their own batch; nothing corrects for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.errors import ConfigError
from codriver.files.decode import rule
from codriver.tasks import STREAMS, TaskSet
from training.losses.decoupling import TERMS
from training.losses.dynamics import Fixed, LearningDynamics
from training.losses.instruments import Embeddings
from training.losses.summands import SummandDecoupling
from training.losses.weighting import FAMO, DynamicWeightAverage, Equal, GeometricLoss, GradNorm, Reduce, Uncertainty
from training.model.clip_rows import remembered
from training.model.uvm3tl import Fused

WEIGHTINGS = ("equal", "dwa", "uncertainty", "gradnorm", "famo", "gls", "dynamics", "fixed")
SUMMANDS = "summands"
DECOUPLINGS = (*TERMS, SUMMANDS)
BY_TASK = ("cross_entropy", "auxiliary")  # terms that are sums over tasks


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    weighting: str = "equal"  # one of WEIGHTINGS
    temperature: float = 2.0  # DWA's; higher is more even
    gradnorm_alpha: float = 1.5  # how hard GradNorm pulls slow tasks up
    gradnorm_rate: float = 0.025  # learning rate of GradNorm's weights
    famo_rate: float = 0.025  # learning rate of FAMO's weights
    famo_decay: float = 1e-3  # weight decay on them
    # absent: runs of before do not have them and stay readable
    dynamics_alpha: float = rule(1.0, absent=True)  # power of a task's level; 0 is equal weights
    dynamics_steps: int = rule(50, absent=True)  # over which the level is averaged
    fixed: tuple[float, ...] = rule((), absent=True)  # of weighting "fixed", one a task
    decoupling: str = "none"  # one of DECOUPLINGS
    beta: float = 0.05  # of the decoupling term; 0 switches it off. Of summands it is only the switch
    share: float = rule(0.1, absent=True)  # of summands: part of the gradient at the embeddings that is the term's
    auxiliary: float = 1.0  # of the streams' own guesses; 0 switches them off
    label_smoothing: float = 0.05
    class_balance: float = 0.5  # class weight = (1 / share) ** this; 0 none, 1 fully balanced
    tasks: tuple[str, ...] = ()  # train these only, the others weigh 0 and are not decoupled; empty: all

    @property
    def decouples(self) -> bool:
        return self.beta > 0 and self.decoupling != "none"

    def __post_init__(self) -> None:
        for field, known in (("weighting", WEIGHTINGS), ("decoupling", DECOUPLINGS)):
            if getattr(self, field) not in known:
                raise ConfigError(f"{field}: got {getattr(self, field)!r}, expected one of {', '.join(known)}")


# AFD-Loss as all runs before 2026-11-30 have it: DWA, and cosines of all pairs. It was the default until twelve seeds
# did not show it, or any other, to beat equal weights: docs/ablation/afd, docs/results.md.
AFD: dict[str, Any] = {"weighting": "dwa", "decoupling": "cosine"}


@dataclass(frozen=True)
class LossParts:
    total: Tensor  # scalar, with gradient
    tasks: Tensor  # (tasks,) detached, CE_k / ln(K_k)
    weights: Tensor  # (tasks,) detached, as used
    decoupling: Tensor  # scalar, detached
    terms: dict[str, Tensor]  # scalars with gradient, in sum the total: cross_entropy, decoupling, auxiliary
    each: Tensor  # (tasks,) `tasks` with gradient
    embeddings: Embeddings  # of this batch
    by_task: Tensor | None = None  # (tasks,) with gradient: what each adds to the terms BY_TASK


class WeightedTasks(nn.Module):
    """What AFD-Loss remembers, whatever its tasks are: the weighting, and how each task's loss went."""

    def __init__(self, config: LossConfig, trained: Tensor) -> None:
        """trained: (tasks,) bool."""
        super().__init__()
        self.config = config
        self.weighting = make_weighting(config, trained)
        self.register_buffer("loss_sum", torch.zeros(len(trained), dtype=torch.float64))  # of this epoch so far
        self.register_buffer("labelled", torch.zeros(len(trained), dtype=torch.float64))  # samples in that sum

    def _remember(self, losses: Tensor, labelled: Tensor) -> None:
        counted = torch.where(torch.isfinite(losses), labelled, 0)  # a step that overflowed must not spoil the epoch
        self.loss_sum += torch.nan_to_num(losses, 0.0, 0.0, 0.0) * counted
        self.labelled += counted

    def forget(self) -> None:
        """Lessons change their kind from here on."""
        self.weighting.forget()

    @property
    def needs_after_step(self) -> bool:
        """Whether `after_step` will run the model once more."""
        return self.weighting.needs_after_step

    def after_step(self, losses_after: Callable[[], Tensor]) -> None:
        """losses_after: gives `task_losses` of the same batch with the stepped model; called only where needed.

        Run it as the batch was run: in evaluation mode dropout and batch normalisation would move the losses, too."""
        if self.needs_after_step:
            with torch.no_grad():
                self.weighting.after_step(losses_after())

    def end_epoch(self, reduce: Reduce = lambda tensor: tensor) -> None:
        """Close an epoch: its mean losses join the history that sets the next weights.

        reduce: sums a tensor over processes, so that all compute the same weights. A task without any label in the
        epoch keeps its last mean, at first 1, which is guessing.
        """
        losses, labelled = reduce(torch.stack([self.loss_sum, self.labelled])).cpu()
        if labelled.any():
            last = self.history[-1] if self.history else [1.0] * len(losses)
            means = losses / labelled.clamp(min=1)
            self.history.append(torch.where(labelled > 0, means, torch.tensor(last, dtype=means.dtype)).tolist())
        self.loss_sum.zero_()
        self.labelled.zero_()
        self.weighting.synchronise(reduce)

    @property
    def weights(self) -> list[float]:
        """One weight per task as they stand, 0 for those not trained; constants for the model's gradient."""
        weights: list[float] = self.weighting.now().tolist()
        return weights

    @property
    def history(self) -> list[list[float]]:
        """Mean loss of each task, epoch by epoch."""
        return self.weighting.history

    def state_for_meta(self) -> dict[str, Any]:
        """All of the state as numbers that JSON can hold; `load_meta_state` takes it back."""
        tensors = {key: value.tolist() for key, value in self.state_dict().items() if isinstance(value, Tensor)}
        return {"history": self.history, "weights": self.weights, "tensors": tensors}

    def load_meta_state(self, state: dict[str, Any]) -> None:
        """Go on from the state of a run folder; runs of before hold the history alone."""
        saved = {key: torch.tensor(values, dtype=torch.float64) for key, values in state.get("tensors", {}).items()}
        unknown = self.load_state_dict(saved, strict=False).unexpected_keys
        if unknown:
            raise KeyError(f"state of the loss: got {', '.join(unknown)}, which its configuration does not have")
        self.weighting.set_extra_state(state)


class AFDLoss(WeightedTasks):
    """The loss and the state that its weights come from; that is saved with the checkpoint and goes on in QAT."""

    def __init__(self, task_set: TaskSet, config: LossConfig, class_counts: Mapping[str, Sequence[int]]) -> None:
        """class_counts: task -> training clips of each class. A ConfigError names a task that the set lacks."""
        chosen = {task_set[name].name for name in config.tasks} or set(task_set.names)
        super().__init__(config, torch.tensor([name in chosen for name in task_set.names]))
        self.task_set = task_set
        self.chosen = [k for k, name in enumerate(task_set.names) if name in chosen]
        self.summands = SummandDecoupling(config.share) if config.decoupling == SUMMANDS else None
        for name in task_set.names:
            weights = balanced_weights(class_counts[name], config.class_balance)
            self.register_buffer(f"{name}_classes", weights, persistent=False)  # the counts come with the data

    def forward(self, fused: Fused, labels: Tensor, mask: Tensor) -> LossParts:
        """labels: (B, tasks) int64, -1 where a clip has no label for the task. mask: (B, S, T) of the clips.

        Computes in float32 whatever the model computed in. In evaluation mode (`eval()`) no state changes.
        """
        with torch.autocast(labels.device.type, enabled=False):
            losses, known = self.task_losses(fused, labels), labels >= 0  # (tasks,), (B, tasks)
            entropy, weights = self.weighting(losses, known.any(dim=0) & self.weighting.trained, fused.shared)
            terms, by_task = {"cross_entropy": entropy}, weights * losses
            decoupling, scaled = self._decouple(fused, entropy)
            if self.config.decouples:
                terms["decoupling"] = scaled
            if self.config.auxiliary and fused.guesses is not None:
                guesses = self._guess_losses(fused.guesses, labels, mask)
                terms["auxiliary"] = self.config.auxiliary * (weights * guesses).sum()
                by_task = by_task + self.config.auxiliary * weights * guesses
        if self.training:
            self._remember(losses.detach(), known.sum(dim=0))
        found = (None if some is None else some.detach() for some in (fused.specific, fused.shared, fused.summands))
        total = sum_of_terms(terms)
        values = losses.detach(), weights, decoupling.detach()
        return LossParts(total, *values, terms, losses, Embeddings(*found), by_task)

    def task_losses(self, fused: Fused, labels: Tensor) -> Tensor:
        """(tasks,) CE_k / ln(K_k), 0 where no clip has a label. Changes no state: what `after_step` wants."""
        return torch.stack(
            [self._task_loss(fused.logits[n], labels[:, k], k) for k, n in enumerate(self.task_set.names)]
        )

    def _decouple(self, fused: Fused, entropy: Tensor) -> tuple[Tensor, Tensor]:
        """The decoupling term, and the same at its strength."""
        specific = None if fused.specific is None else fused.specific[:, self.chosen]
        if self.summands is None:
            term = TERMS[self.config.decoupling](specific, fused.shared)
            return term, self.config.beta * term
        if fused.summands is None or fused.specific is None or fused.shared is None:  # at evaluation, or a branch off
            return entropy.new_zeros(()), entropy.new_zeros(())
        term, scaled = self.summands(fused.summands[:, :, self.chosen], [fused.specific, fused.shared], entropy)
        return term, scaled

    def _guess_losses(self, guesses: dict[str, dict[str, Tensor]], labels: Tensor, mask: Tensor) -> Tensor:
        """(tasks,) loss of the slots' own guesses, averaged over the streams that are there and can know."""
        asked = remembered(mask) > 0  # (B, S, T)
        there = asked.any(dim=2).any(dim=0)  # (S,)
        losses = []
        for k, task in enumerate(self.task_set.names):
            able = [index for index, stream in enumerate(STREAMS) if task in guesses.get(stream, {})]
            parts = [
                self._task_loss(
                    guesses[STREAMS[index]][task].flatten(0, 1),
                    torch.where(asked[:, index], labels[:, k, None], -1).flatten(),
                    k,
                )
                for index in able
            ]
            losses.append(torch.stack(parts).sum() / there[able].sum().clamp(min=1) if parts else mask.new_zeros(()))
        return torch.stack(losses)

    def _task_loss(self, logits: Tensor, target: Tensor, k: int) -> Tensor:
        """CE_k / ln(K_k), the mean weighted by class; 0 without any label. logits: (N, K). target: (N,), -1 unknown."""
        weights = self.get_buffer(f"{self.task_set.names[k]}_classes")
        smoothing = self.config.label_smoothing
        loss = F.cross_entropy(
            logits.float(), target, weights, ignore_index=-1, label_smoothing=smoothing, reduction="sum"
        )
        weight = (weights[target.clamp(min=0)] * (target >= 0)).sum()  # its own mean would be 0/0 without labels
        return loss / weight.clamp(min=1e-6) / math.log(self.task_set.tasks[k].classes)


def sum_of_terms(terms: dict[str, Tensor]) -> Tensor:
    first, *rest = terms.values()
    for some in rest:
        first = first + some
    return first


def make_weighting(config: LossConfig, trained: Tensor) -> Equal:
    """The weighting that the configuration names. trained: (tasks,) bool."""
    if config.weighting == "dwa":
        return DynamicWeightAverage(trained, config.temperature)
    if config.weighting == "gradnorm":
        return GradNorm(trained, config.gradnorm_alpha, config.gradnorm_rate)
    if config.weighting == "dynamics":
        return LearningDynamics(trained, config.dynamics_alpha, config.dynamics_steps)
    if config.weighting == "fixed":
        return Fixed(trained, config.fixed)
    if config.weighting == "famo":
        return FAMO(trained, config.famo_rate, config.famo_decay)
    return {"equal": Equal, "uncertainty": Uncertainty, "gls": GeometricLoss}[config.weighting](trained)


def balanced_weights(counts: Sequence[int], power: float) -> Tensor:
    """Class weights (1 / share) ** power, scaled so that the expected weight of a clip is 1. Unseen classes weigh 1."""
    share = torch.tensor(counts, dtype=torch.float32) / max(sum(counts), 1)
    weights = torch.where(share > 0, share.clamp(min=1e-6) ** -power, torch.ones_like(share))
    expected = (weights * share).sum()
    return weights / expected if expected > 0 else weights
