"""Post-training quantization of the encoder with NNCF: its placement, with exceptions; convolutions.py has ours."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from codriver.errors import ConfigError
from quantize.graphs.dialects import PAIRED, TENSORRT, Dialect
from quantize.graphs.graphs import EncoderGraph
from quantize.graphs.tensorrt_table import tensorrt_hardware
from quantize.ptq.pixels import give_pixels_their_range

# How the range of an activation follows from what calibration saw. The first is the default: the whole range, because
# fast motion is rare, and what tells it apart (DECISIONS.md, "Whole ranges").
RANGES = ("minmax", "mean-minmax", "median-minmax", "mean-no-outliers-minmax", "mean-quantile", "histogram")
# Convolutions whose output goes straight into an addition, by the end of their names in ResidualBlock, Motion,
# AlongTime and Finder.
CONV_BRANCH = re.compile(r"^post_hooks\.(.*/)?((second|scene|now)/conv2d|fine_lateral/2/relu)/\d+__0\.\d+$")


def quantized_encoder(
    encoder: EncoderGraph, steps: Sequence[tuple[Tensor, ...]], some: Dialect, ranges: str = RANGES[0]
) -> nn.Module:
    """The encoder with fake quantizers, calibrated. `encoder` is folded; `steps` are its inputs on real clips."""
    if not steps:
        raise ConfigError(
            "calibration holds no clip in which every stream is present; INT8 cannot be calibrated without"
        )
    # The joint encoders stay in floating point: nothing to gain, and a keypoint in 255 steps is a finger's width off.
    return quantized_module(encoder, steps, some, ranges, keep=("linear",))


def quantized_module(
    module: nn.Module,
    steps: Sequence[Tensor | tuple[Tensor, ...]],
    some: Dialect,
    ranges: str = RANGES[0],
    keep: Sequence[str] = (),
) -> nn.Module:
    """Any folded graph with fake quantizers, calibrated on its inputs. keep: kinds of layers left in floating point."""
    import nncf

    nncf.set_log_level(logging.WARNING)  # which nodes it leaves alone is in the scheme; people need the progress bars
    table = tensorrt_hardware() if some.recipe == TENSORRT else nullcontext()
    with warnings.catch_warnings(), table:
        warnings.simplefilter("ignore")  # NNCF's own deprecations
        quantized = nncf.quantize(module, nncf.Dataset(steps), subset_size=len(steps), **_settings(some, ranges, keep))
    if some.recipe == TENSORRT:
        free_conv_branches(quantized)
    if some.weight_bits == 7:
        leave_the_ties(quantized)
    give_pixels_their_range(quantized, quantizers(quantized), steps[0] if isinstance(steps[0], tuple) else (steps[0],))
    return quantized


@torch.no_grad()
def leave_the_ties(quantized: nn.Module) -> None:
    """Give each channel's largest weight the code 63.

    NNCF halves the range, which puts it on 63.5: torch rounds that one way and the exporter another, a step apart.
    """
    for name, quantizer in quantizers(quantized).items():
        if name.endswith("__1.0"):
            quantizer.scale.mul_(63.5 / 63)


def _settings(some: Dialect, ranges: str, keep: Sequence[str]) -> dict[str, Any]:
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if ranges not in RANGES:
        raise ConfigError(f"ranges {ranges!r}: expected one of {', '.join(RANGES)}")
    preset = nncf.QuantizationPreset
    return {
        "preset": preset.MIXED if some.recipe == PAIRED else preset.PERFORMANCE,
        "ignored_scope": nncf.IgnoredScope(types=list(keep)),
        "advanced_parameters": nncf.AdvancedQuantizationParameters(
            # ONNX Runtime: a convolution without Q/DQ behind it fuses nowhere. TensorRT: the next one's Q does that.
            quantize_outputs=some.recipe == PAIRED,
            activations_range_estimator_params=getattr(RangeEstimatorParametersSet, ranges.upper().replace("-", "_")),
            disable_bias_correction=True,  # NNCF's fast one moved answers further than rounding does (DECISIONS.md)
            overflow_fix=OverflowFix.ENABLE if some.weight_bits == 7 else OverflowFix.DISABLE,
        ),
    }


def free_conv_branches(quantized: nn.Module) -> int:
    """Take the quantizers off the convolutions' side of every residual addition, so that TensorRT fuses the two.

    Q/DQ on the skip alone (reference/int8.md 2.2). Where both sides are convolutions, in Motion, what changed
    counts as the skip.
    Returns how many.
    """
    from nncf.torch.function_hook.wrapper import get_hook_storage

    storage = get_hook_storage(quantized)
    names = [name for name in quantizers(quantized) if CONV_BRANCH.match(name)]
    for name in names:
        storage.delete_hook(name)
    return len(names)


def free_outputs(quantized: nn.Module, layer: str) -> int:
    """Take the quantizers off what a linear layer gives, if there are any. Returns how many."""
    from nncf.torch.function_hook.wrapper import get_hook_storage

    storage = get_hook_storage(quantized)
    names = [name for name in quantizers(quantized) if re.match(rf"^post_hooks\.(.*/)?{layer}/linear/", name)]
    for name in names:
        storage.delete_hook(name)
    return len(names)


def quantizers(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> quantizer, once for each place it sits in; none in a model that NNCF has not seen."""
    from nncf.torch.function_hook.wrapper import get_hook_storage, is_wrapped
    from nncf.torch.quantization.layers import BaseQuantizer

    if not is_wrapped(model):
        return {}
    hooks = get_hook_storage(model).named_hooks(remove_duplicate=False)
    return {name: hook for name, hook in hooks if isinstance(hook, BaseQuantizer)}


def learnt_ranges(*graphs: nn.Module) -> list[nn.Parameter]:
    """What quantizers learn, once each: how far they reach. A picture's range is known (pixels.py)."""
    every = [q for graph in graphs for q in quantizers(graph).values() if not getattr(q, "is_fixed", False)]
    return list({id(p): p for q in every for p in q.parameters() if p.is_floating_point()}.values())


@torch.no_grad()
def export_as_qdq(model: nn.Module) -> None:
    """Make every quantizer leave the exporter as QuantizeLinear and DequantizeLinear."""
    from nncf.torch.quantization.layers import QuantizerExportMode

    for quantizer in quantizers(model).values():
        quantizer.set_export_mode(QuantizerExportMode.ONNX_QUANTIZE_DEQUANTIZE_PAIRS)
