"""Dialects: what INT8 means to each runtime. One checkpoint, one emission per dialect, never one file for all.

Facts behind the choices: reference/int8.md 1.2, 2.2, 3.1, 3.3, 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from codriver.errors import ConfigError

# How NNCF places and shapes quantizers; dialects of one recipe and one width of weights share a calibrated model.
FLOAT = "float"
PAIRED = "paired"  # on both sides of every operation; activations take all 256 codes, from their least to greatest
TENSORRT = "tensorrt"  # signed, symmetric, zero-point 0; of a residual addition only the skip (tensorrt_table.py)
OPENVINO = "openvino"  # as OpenVINO likes it: symmetric, unsigned where nothing is negative


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one runtime wants its graphs."""

    name: str
    engine: str  # codriver's: the runtime that the graphs are made for
    recipe: str  # FLOAT, PAIRED, TENSORRT or OPENVINO
    weight_bits: int  # 7 leaves the top bit free: x86 without VNNI adds two products in 16 bit and saturates
    requires: tuple[str, ...]  # processor features without which the graph gives wrong numbers, see codriver.cpu
    why: str
    signed_codes: bool = False  # PAIRED alone: store activations as int8, the same codes moved by 128

    @property
    def is_int8(self) -> bool:
        return self.recipe != FLOAT

    @property
    def is_ir(self) -> bool:
        """OpenVINO reads ONNX too, and misreads signed Q/DQ there (reference/int8.md 3.3): it gets its own format."""
        return self.engine == "openvino"


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="fp32",
            engine="onnxruntime",
            recipe=FLOAT,
            weight_bits=32,
            requires=(),
            why="no quantization: the reference that INT8 is compared with",
        ),
        Dialect(
            name="ort-x86",
            engine="onnxruntime",
            recipe=PAIRED,
            weight_bits=8,
            requires=("vnni",),
            why="ONNX Runtime on x86 with VNNI: unsigned activations, per tensor; signed weights, per channel",
        ),
        Dialect(
            name="ort-x86-7bit",
            engine="onnxruntime",
            recipe=PAIRED,
            weight_bits=7,
            requires=(),
            why="ONNX Runtime on any x86: the same with 7-bit weights, which cannot saturate",
        ),
        Dialect(
            name="ort-arm",
            engine="onnxruntime",
            recipe=PAIRED,
            weight_bits=8,
            requires=("arm",),
            why="ONNX Runtime on ARM: int8 times int8, which its kernels take as they are",
            signed_codes=True,
        ),
        Dialect(
            name="openvino",
            engine="openvino",
            recipe=OPENVINO,
            weight_bits=7,
            requires=(),
            why="OpenVINO on any x86: 7-bit weights, which cannot saturate where there is no VNNI",
        ),
        Dialect(
            name="openvino-fp32",
            engine="openvino",
            recipe=FLOAT,
            weight_bits=32,
            requires=(),
            why="no quantization, in OpenVINO: what its INT8 is timed against",
        ),
        Dialect(
            name="tensorrt",
            engine="tensorrt",
            recipe=TENSORRT,
            weight_bits=8,
            requires=(),
            why="TensorRT: signed activations with zero-point 0, per tensor; signed weights, per channel",
        ),
    )
}
DEFAULT = ("fp32", "ort-x86", "ort-x86-7bit")  # what the target x86-ort and its reference take


def dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise ConfigError(f"dialect {name!r} is not known; choose from {', '.join(DIALECTS)}")
    return DIALECTS[name]
