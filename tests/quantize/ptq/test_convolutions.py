"""Convolutions in 8 bits, and what ONNX Runtime needs beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantize.checks import lint_of
from quantize.export.onnx_export import onnx_bytes
from quantize.graphs.dialects import dialect
from quantize.ptq.convolutions import quantized_convolutions

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


class Top(nn.Module):
    """The top of a pyramid: a sum of two convolutions that no convolution reads, only an enlargement does."""

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.relu = relu
        self.a, self.b, self.out = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = self.a(x) + self.b(x.mean(dim=(2, 3), keepdim=True))
        both = torch.relu(both) if self.relu else both
        large = F.interpolate(both, scale_factor=2.0, mode="nearest")
        return self.out(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), large * large], dim=1))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("name", ["ort-x86", "ort-x86-7bit"])
def test_a_sum_of_two_quantized_tensors_is_quantized_too(tmp_path: Path, name: str, relu: bool) -> None:
    torch.manual_seed(1)
    example = (torch.randn(1, 3, 8, 8),)
    module = quantized_convolutions(Top(relu=relu).eval(), [example], dialect(name))
    path = tmp_path / "top.onnx"
    path.write_bytes(onnx_bytes(module, example, ("x",), ("y",), dialect(name).signed_codes))
    found = lint_of([path], name)
    assert (found.findings, found.first) == (0, "")
