"""Post-training quantization of the encoder with NNCF.

The fuser stays in floating point: it is the smaller part, and INT8 hurts softmax and gates most (int8.md 1.8, rule 9).
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codriver.errors import ConfigError
from quantize.graphs import EncoderGraph
from quantize.scheme import Dialect

# NNCF compiles its quantizers at the first call and gives up after a minute, which a slow machine exceeds.
os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", "900")


def quantized_encoder(encoder: EncoderGraph, steps: Sequence[tuple[Tensor, ...]], dialect: Dialect) -> nn.Module:
    """The encoder with fake quantizers, calibrated. `encoder` is folded; `steps` are its inputs on real clips."""
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if not steps:
        raise ConfigError(
            "calibration holds no clip in which every stream is present; INT8 cannot be calibrated without"
        )
    nncf.set_log_level(logging.WARNING)  # which nodes it leaves alone is in the scheme; people need the progress bars
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NNCF's own deprecations
        quantized = nncf.quantize(
            encoder,
            nncf.Dataset(steps),
            preset=nncf.QuantizationPreset.MIXED,  # asymmetric activations: all 256 codes after a ReLU
            subset_size=len(steps),
            # The joint encoders stay in floating point: nothing to gain, and a keypoint in 255 steps is off by a
            # finger's width.
            ignored_scope=nncf.IgnoredScope(types=["linear"]),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                quantize_outputs=True,  # a convolution without Q/DQ behind it fuses nowhere
                # The whole range, not the mean of the samples' ranges: fast motion is rare, and what tells it apart.
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                disable_bias_correction=True,  # NNCF's fast one moved answers further than rounding does (DECISIONS.md)
                overflow_fix=OverflowFix.ENABLE if dialect.weight_bits == 7 else OverflowFix.DISABLE,
            ),
        )
    if dialect.weight_bits == 7:
        leave_the_ties(quantized)
    return quantized


@torch.no_grad()
def leave_the_ties(model: nn.Module) -> None:
    """Give each channel's largest weight the code 63.

    NNCF halves the range, which puts it on 63.5: torch rounds it one way, ONNX the other, a whole step apart.
    """
    for name, quantizer in quantizers(model).items():
        if name.startswith("pre_hooks.") and name.endswith("__1.0"):
            quantizer.scale.mul_(63.5 / 63)


def quantizers(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> quantizer, once for each place it sits in."""
    from nncf.torch.function_hook.wrapper import get_hook_storage
    from nncf.torch.quantization.layers import BaseQuantizer

    hooks = get_hook_storage(model).named_hooks(remove_duplicate=False)
    return {name: hook for name, hook in hooks if isinstance(hook, BaseQuantizer)}


@torch.no_grad()
def export_as_qdq(model: nn.Module) -> None:
    """Make every quantizer leave the exporter as QuantizeLinear and DequantizeLinear."""
    from nncf.torch.quantization.layers import QuantizerExportMode

    for quantizer in quantizers(model).values():
        quantizer.set_export_mode(QuantizerExportMode.ONNX_QUANTIZE_DEQUANTIZE_PAIRS)
