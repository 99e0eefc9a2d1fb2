"""The first convolution of a picture computes two columns at once, and what it answers stays the same bit by bit."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch
from torch import Tensor, nn

from quantize.export.columns import compute_two_columns_at_once
from quantize.export.onnx_export import onnx_bytes, onnx_from_module
from quantize.export.pixel_codes import take_pixels_as_codes
from quantize.graphs.dialects import dialect
from quantize.ptq.quantizers import quantized_module

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


class Camera(nn.Module):
    """Two convolutions, the first of which reads pixels over 255."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(8, 4, 3, stride=2, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        first = torch.relu(self.first(pixels.permute(0, 3, 1, 2).float() * (1.0 / 255.0)))
        return torch.relu(self.second(first))


def pictures(height: int = 12, width: int = 16) -> Tensor:
    return torch.randint(256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_codes(camera: Camera, example: Tensor) -> onnx.ModelProto:
    module = quantized_module(camera.eval(), [(example,)], dialect("ort-x86"))
    model = onnx_from_module(module, (example,), ("pixels",), ("y",))
    assert take_pixels_as_codes(model) == 1
    return model


def answer(model: onnx.ModelProto, example: Tensor) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"pixels": example.numpy()})[0])


def kernels(model: onnx.ModelProto) -> list[list[int]]:
    found = [node for node in model.graph.node if node.op_type == "Conv"]
    return [list(a.ints) for node in found for a in node.attribute if a.name == "kernel_shape"]


@pytest.mark.parametrize("shape", [(12, 16), (2, 4), (10, 40)])
def test_two_columns_at_once_give_the_same_bits(shape: tuple[int, int]) -> None:
    example = pictures(*shape)
    model = as_codes(Camera(), example)
    before = answer(model, example)
    assert compute_two_columns_at_once(model) == 1 and kernels(model) == [[3, 2], [3, 3]]
    onnx.checker.check_model(model, full_check=True)
    assert len(np.unique(before)) > 3
    np.testing.assert_array_equal(answer(model, example), before)


def test_what_is_shipped_has_it() -> None:
    module = quantized_module(Camera().eval(), [(pictures(),)], dialect("ort-x86"))
    assert [3, 2] in kernels(onnx.load_from_string(onnx_bytes(module, (pictures(),), ("pixels",), ("y",))))


@pytest.mark.parametrize(("stride", "shape"), [(1, (12, 16)), (2, (12, 18)), (2, (11, 16))])
def test_another_stride_or_side_is_left_as_it_is(stride: int, shape: tuple[int, int]) -> None:
    model = as_codes(Camera(stride), pictures(*shape))
    text = model.SerializeToString()
    assert compute_two_columns_at_once(model) == 0 and model.SerializeToString() == text


def test_nothing_of_the_old_kernel_is_left() -> None:
    model = as_codes(Camera(), pictures())
    compute_two_columns_at_once(model)
    read = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read
    assert all(set(node.output) & (read | {"y"}) for node in model.graph.node)
