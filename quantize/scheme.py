"""Dialects: what INT8 means to each runtime. One checkpoint, one emission per dialect, never one file for all.

Facts behind the choices: reference int8.md 1.2, 3.1, 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from codriver.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one runtime wants its INT8 graph."""

    name: str
    weight_bits: int            # 7 leaves the top bit free: x86 without VNNI adds two products in 16 bit and saturates
    requires: tuple[str, ...]   # processor features without which the graph gives wrong numbers
    why: str


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="fp32", weight_bits=32, requires=(),
            why="no quantization: the reference that INT8 is compared with",
        ),
        Dialect(
            name="ort-x86", weight_bits=8, requires=("vnni",),
            why="ONNX Runtime on x86 with VNNI: unsigned activations, per tensor; signed weights, per channel",
        ),
        Dialect(
            name="ort-x86-7bit", weight_bits=7, requires=(),
            why="ONNX Runtime on any x86: the same with 7-bit weights, which cannot saturate",
        ),
    )
}


def dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise ConfigError(f"dialect {name!r} is not known; choose from {', '.join(DIALECTS)}")
    return DIALECTS[name]
