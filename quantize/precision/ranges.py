"""Which range estimator suits a dialect: all of them are tried on validation clips, and each task has its say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from codriver.console import say
from quantize.graphs.dialects import Dialect
from quantize.graphs.graphs import FuserGraph, ModulePair
from quantize.precision.bench import Bench
from quantize.ptq.quantizers import RANGES
from training.data.clips import Clip
from training.model.uvm3tl import UVM3TL
from workshop.quantized_report import MeasuredRanges, TaskLoss

BEST = "best"
CLIPS = 64  # validation clips, stratified as calibration's are
BATCH = 16

Losses = Mapping[str, TaskLoss]  # by task


def best_ranges(
    model: UVM3TL, chosen: Sequence[Dialect], clips: Sequence[Clip], encoder_of: Callable[[Dialect, str], nn.Module]
) -> dict[str, MeasuredRanges]:
    """INT8 dialect -> what each estimator costs, and the one to take.

    One estimator serves all tasks, which share the encoder: chosen is the one whose worst-off task loses least, by
    the mean absolute change of its probabilities. Accuracy is recorded, but too coarse to choose by.
    encoder_of: makes the calibrated encoder. Dialects that differ in emission alone share a choice.
    """
    found: dict[tuple[str, int], MeasuredRanges] = {}
    for some in (some for some in chosen if some.is_int8):
        key = (some.recipe, some.weight_bits)
        if key in found:
            continue
        losses = {ranges: losses_of(encoder_of(some, ranges), model, clips) for ranges in RANGES}
        found[key] = MeasuredRanges(chosen=least(losses), losses=losses)
        say(f"  {some.name}: {found[key].chosen} costs the worst-off task least ({worst(losses):.4f})")
    return {some.name: found[some.recipe, some.weight_bits] for some in chosen if some.is_int8}


def losses_of(encoder: nn.Module, model: UVM3TL, clips: Sequence[Clip]) -> Losses:
    """Of the encoder's quantizers alone: the fuser's ranges are always from least to greatest."""
    bench = Bench(ModulePair(encoder, FuserGraph(model)).eval(), clips, BATCH)
    return {task: TaskLoss(**row) for task, row in bench.losses(bench.names).items()}


def least(losses: Mapping[str, Losses]) -> str:
    """The estimator whose worst-off task loses least; the first of equals."""
    return min(losses, key=lambda ranges: worst_task(losses[ranges]))


def worst(losses: Mapping[str, Losses]) -> float:
    return worst_task(losses[least(losses)])


def worst_task(losses: Losses) -> float:
    return max(loss.mean_abs for loss in losses.values())
