"""A trained model as each dialect wants it: calibrated on training clips, with ranges that are given or measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from codriver.console import say
from codriver.files.atomic import sha256
from quantize.graphs.dialects import Dialect
from quantize.graphs.fold import with_vectors_in_half
from quantize.graphs.graphs import EncoderGraph, FuserGraph, ModulePair, pair_of
from quantize.precision.bench import validation_clips
from quantize.precision.layers import keep_float
from quantize.precision.ranges import BEST, CLIPS, best_ranges
from quantize.ptq.calibration import CALIBRATION_SLOTS, CONTEXT_CLIPS, calibration_clips, encoder_steps, fuser_contexts
from quantize.ptq.convolutions import quantized_convolutions
from quantize.ptq.quantizers import RANGES, quantized_encoder
from training.finder.lookout import FinderLookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import read_split
from workshop.quantized_report import CalibrationRecord, MeasuredRanges


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """What activations' ranges come from."""

    clips: int = 64  # to calibrate on
    seed: int = 0
    ranges: str = RANGES[0]  # or BEST, which tries them all
    keep_float: tuple[str, ...] = ()  # layers, as quantize.sensitivity names them


def calibrate(
    model: UVM3TL, data: Path, chosen: Sequence[Dialect], config: CalibrationConfig, lookout: FinderLookout | None
) -> tuple[dict[str, ModulePair], CalibrationRecord]:
    """By dialect, the calibrated graphs; and for the report, what they were calibrated on. model: folded."""
    say(f"calibrating on {config.clips} training clips, stratified by every task's labels")
    say("NNCF compiles its quantizers at its first call on a machine: about a minute")
    calibration = calibration_clips(read_split(data, "train"), model, config.clips, config.seed, lookout)
    steps = list(encoder_steps(model, calibration.clips, CALIBRATION_SLOTS))
    measured = _measured_ranges(model, steps, chosen, (data, lookout), config) if config.ranges == BEST else {}
    ranges = {s.name: measured[s.name].chosen if s.name in measured else config.ranges for s in chosen}
    record = CalibrationRecord(
        split="train",
        clips=config.clips,
        seed=config.seed,
        ids=calibration.ids,
        ids_sha256=sha256("\n".join(calibration.ids).encode()),
        class_counts=calibration.class_counts,
        slots=CALIBRATION_SLOTS,
        used=len(steps),
        ranges=config.ranges,
        measured_ranges=measured,
    )
    contexts = list(fuser_contexts(model, calibration.clips[:CONTEXT_CLIPS]))
    return pairs_of(model, (steps, contexts), chosen, ranges, config.keep_float), record


def pairs_of(
    model: UVM3TL,
    seen: tuple[list[Any], list[Any]],
    chosen: Sequence[Dialect],
    ranges: Mapping[str, str],
    floats: Sequence[str] = (),
) -> dict[str, ModulePair]:
    """By dialect, the graphs as it wants them; those that differ in emission alone share them.

    model: folded. seen: what encoder and fuser take on calibration clips. ranges: INT8 dialect -> estimator.
    """
    made: dict[tuple[str, int], ModulePair] = {}
    for some in chosen:
        key = (some.recipe, some.weight_bits)
        if key not in made:
            made[key] = _pair_for(model, seen, some, ranges.get(some.name, RANGES[0]))
            if floats and some.is_int8:
                keep_float(made[key].encoder, floats, seen[0][0])
    return {some.name: made[some.recipe, some.weight_bits] for some in chosen}


def _pair_for(model: UVM3TL, seen: tuple[list[Any], list[Any]], some: Dialect, ranges: str) -> ModulePair:
    if not some.is_int8:
        return pair_of(model)
    steps, contexts = seen
    encoder = encoder_of(model, steps, some, ranges)
    pair = ModulePair(encoder, quantized_convolutions(FuserGraph(with_vectors_in_half(model)), contexts, some))
    pair.eval()
    return pair


def encoder_of(model: UVM3TL, steps: list[Any], some: Dialect, ranges: str) -> nn.Module:
    if not some.is_int8:
        return EncoderGraph(model).eval()
    say(f"quantizing for {some.name}: {some.why}")
    started = time.monotonic()
    quantized = quantized_encoder(EncoderGraph(with_vectors_in_half(model)).eval(), steps, some, ranges)
    say(f"  {time.monotonic() - started:.0f} s")
    return quantized


def _measured_ranges(
    model: UVM3TL,
    steps: list[Any],
    chosen: Sequence[Dialect],
    seen: tuple[Path, FinderLookout | None],
    config: CalibrationConfig,
) -> dict[str, MeasuredRanges]:
    """seen: the data, and who looks at it."""
    say(f"trying {len(RANGES)} range estimators on {CLIPS} validation clips, for each dialect")
    clips, _ = validation_clips(seen[0], model.config, CLIPS, config.seed, seen[1])
    return best_ranges(model, chosen, clips, lambda some, ranges: encoder_of(model, steps, some, ranges))
