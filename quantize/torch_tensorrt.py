"""For developers: the TensorRT dialect's encoder through Torch-TensorRT, a second opinion on what TensorRT makes of it.

    python -m quantize.torch_tensorrt out/quantized

It goes another way than the bundle: no ONNX and no parser, torch.export and torch_tensorrt's converters. NNCF's
quantizers are none of what those know, so each becomes the operator that ModelOpt registers and they convert
(reference/int8.md 4): amax = scale * 127, one to one, because ours are symmetric and signed.

Needs an NVIDIA GPU, TensorRT, and the torch_tensorrt of this torch's version, beside nvidia-modelopt; these pin other
versions of ours, so in an environment of their own. Not run on hardware yet: the tests hold the exchanged quantizers
against NNCF's, and the exported program; what TensorRT makes of it, they cannot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codriver.console import put, put_json, table
from codriver.errors import BackendMissing, EngineError
from quantize.export.dynamo_export import with_native_quantizers
from quantize.export.fake_quant import load_fake_quant
from quantize.graphs.graphs import ENCODER_OUTPUTS
from quantize.parity.compare import RUNTIME
from quantize.speed import step_of
from workshop.command import command

DIALECT = "tensorrt"
BITS, EXPONENT_BITS, UNSIGNED = 8, 0, False  # INT8


class AmaxQuantize(nn.Module):
    """torch.ops.tensorrt.quantize_op with the numbers of one of NNCF's quantizers."""

    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.low, high, scale, zero_point = quantizer.get_parameters_for_torch_fq()
        if high != 127 or zero_point.any():
            raise EngineError(
                f"a quantizer gives {self.low}..{high}, expected signed, symmetric 8 bits: --dialect {DIALECT}"
            )
        shape = quantizer.scale_shape if quantizer.per_channel else (1,)
        self.register_buffer("amax", (scale.detach() * high).reshape(shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.low == -127
        found: Tensor = torch.ops.tensorrt.quantize_op(x, self.amax, BITS, EXPONENT_BITS, UNSIGNED, narrow)
        return found


def exported(encoder: nn.Module, step: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """What Torch-TensorRT compiles. ModelOpt's operator must be registered."""
    with torch.no_grad():
        return torch.export.export(with_native_quantizers(encoder, AmaxQuantize).eval(), step)


def compiled(encoder: nn.Module, step: tuple[Tensor, ...]) -> Any:
    """The encoder as one TensorRT engine inside a torch module; an error rather than a part left to torch."""
    try:
        import modelopt.torch.quantization  # noqa: F401  registers the operator
        import torch_tensorrt
    except (ImportError, OSError) as error:
        raise BackendMissing(
            f"Torch-TensorRT does not load ({error}); in an environment of its own: pip install nvidia-modelopt and "
            f"the torch-tensorrt for torch {torch.__version__}, whose TensorRT comes from NVIDIA's package index"
        ) from error
    if not torch.cuda.is_available():
        raise EngineError("torch sees no NVIDIA GPU; see whether nvidia-smi lists one, and whether this torch has CUDA")
    program = exported(encoder.cuda(), tuple(some.cuda() for some in step))
    inputs = [some.cuda() for some in step]
    return torch_tensorrt.dynamo.compile(program, inputs=inputs, require_full_compilation=True, min_block_size=1)


def cross_check(quantized: Path) -> dict[str, float]:
    """Output -> norm of the difference to the fake-quantized model / norm, on one step of random pixels (seed 0)."""
    encoder = load_fake_quant(quantized, DIALECT).encoder
    arrays, _ = step_of(quantized, DIALECT)
    step = tuple(torch.from_numpy(values) for values in arrays.values())
    with torch.inference_mode():
        wanted = encoder(*step)
    found = compiled(encoder, step)(*(some.cuda() for some in step))
    return apart(found, wanted)


def apart(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> dict[str, float]:
    pairs = {name: (f.detach().cpu(), w.detach()) for name, f, w in zip(ENCODER_OUTPUTS, found, wanted, strict=True)}
    return {name: float((f - w).norm() / w.norm().clamp_min(1e-12)) for name, (f, w) in pairs.items()}


def too_far(differences: Mapping[str, float]) -> list[str]:
    """Outputs that differ by more than a runtime may (quantize.parity)."""
    limits = {name: RUNTIME.features if name.endswith("_feature") else RUNTIME.slots for name in differences}
    return [name for name, value in differences.items() if not value <= limits[name] or not np.isfinite(value)]


@command("quantize.torch_tensorrt")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.torch_tensorrt",
        description="Hold the TensorRT encoder, compiled by Torch-TensorRT, against the fake-quantized model.",
        epilog="example: python -m quantize.torch_tensorrt out/quantized",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    differences = cross_check(args.quantized)
    faults = too_far(differences)
    if args.json:
        put_json({"kind": "cross_check", "differences": differences, "too_far": faults})
    else:
        rows = [(name, f"{value:.4f}", "too far" if name in faults else "") for name, value in differences.items()]
        put("\n".join(table([("output", "relative difference", ""), *rows], numbers_from=1)))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
