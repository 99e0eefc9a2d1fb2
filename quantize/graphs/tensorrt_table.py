"""What TensorRT can run, told to NNCF: its table of permitted quantizers, swapped for the time of one call.

NNCF has no table for TensorRT, and its own for CPUs gives unsigned activations after ReLU, which TensorRT reads as
signed and clips without a word (reference/int8.md 1.2, 2.2). The documented settings cannot ask for signed ones, so
this reaches for a private name, `nncf.common.hardware.config.CPU_SETUP`. NNCF is pinned for it, and a contract test
says if it moves. A model quantized like this is restored without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from codriver.errors import ConfigError

BOTH_SIDES = ("CONVOLUTION", "DEPTHWISE_CONVOLUTION", "MAT_MUL")  # activations and weights in INT8
ONE_SIDE = ("ADD", "AVG_POOL")  # activations: run in INT8 where their inputs are


def tensorrt_table(stock: tuple[Any, ...]) -> tuple[Any, ...]:
    """NNCF's table with TensorRT's rules: signed, symmetric, per tensor; weights per channel within -127..127.

    What asks for quantized inputs there and is not named above is left in floating point; what lets quantizers pass
    (pooling by maximum, reshaping, concatenation under one scale) stays as it is.
    """
    from nncf.common.hardware.defines import Granularity, QConfigSpace
    from nncf.common.quantization.structs import QuantizationScheme

    signed = {"bits": 8, "mode": (QuantizationScheme.SYMMETRIC,), "signedness_to_force": True}
    activations = (QConfigSpace(**signed, granularity=(Granularity.PER_TENSOR,), narrow_range=(False,)),)
    weights = (QConfigSpace(**signed, granularity=(Granularity.PER_CHANNEL,), narrow_range=(True,)),)
    table = []
    for entry in stock:
        if entry.type.name in BOTH_SIDES:
            table.append(replace(entry, activations=activations, weights=weights))
        elif entry.type.name in ONE_SIDE:
            table.append(replace(entry, activations=activations, weights=()))
        elif not entry.activations and not entry.weights:
            table.append(entry)
    return tuple(table)


@contextmanager
def tensorrt_hardware() -> Iterator[None]:
    """NNCF quantizes for TensorRT inside this block, in this process alone and not for other threads at once."""
    import nncf
    from nncf.common.hardware import config

    stock = getattr(config, "CPU_SETUP", None)
    names = {entry.type.name for entry in stock or ()}
    if stock is None or not set(BOTH_SIDES + ONE_SIDE) <= names:
        raise _moved(nncf.__version__)
    config.CPU_SETUP = tensorrt_table(stock)
    try:
        if config.get_hw_setup(nncf.TargetDevice.ANY) is not config.CPU_SETUP:
            raise _moved(nncf.__version__)
        yield
    finally:
        config.CPU_SETUP = stock


def _moved(version: str) -> ConfigError:
    return ConfigError(
        f"NNCF {version} keeps its table of quantizers elsewhere than the version that codriver was made with; "
        "install the one that pyproject.toml pins"
    )
