"""Pictures enter an INT8 graph as they are, and what it answers stays the same bit by bit."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch
from torch import Tensor, nn

from quantize.export.onnx_export import onnx_bytes, onnx_from_module
from quantize.export.pixel_codes import take_pixels_as_codes
from quantize.graphs.dialects import dialect
from quantize.ptq.quantizers import learnt_ranges, quantized_module, quantizers

pytestmark = [pytest.mark.torch, pytest.mark.nncf]

EVERY_LEVEL = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)


class Camera(nn.Module):
    """One convolution on pixels over `white`."""

    def __init__(self, white: float = 255.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.factor = nn.Conv2d(3, 4, 3), 1.0 / white

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.relu(self.conv(pixels.permute(0, 3, 1, 2).float() * self.factor))


def quantized(camera: Camera, name: str = "ort-x86", brightest: int = 251) -> nn.Module:
    """Calibrated on one dim picture."""
    dim = EVERY_LEVEL.clamp(3, brightest)
    return quantized_module(camera.eval(), [(dim,)], dialect(name))


def exported(module: nn.Module) -> onnx.ModelProto:
    return onnx_from_module(module, (EVERY_LEVEL,), ("pixels",), ("y",))


def kinds(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def answer(model: onnx.ModelProto) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"pixels": EVERY_LEVEL.numpy()})[0])


def test_a_picture_is_read_as_codes_and_every_level_gives_the_same_bits() -> None:
    before, after = exported(quantized(Camera())), exported(quantized(Camera()))
    assert take_pixels_as_codes(after) == 1
    assert {"Cast", "Mul"} <= kinds(before) and not {"Cast", "Mul"} & kinds(after)
    np.testing.assert_array_equal(answer(after), answer(before))


def test_what_is_shipped_has_it() -> None:
    data = onnx_bytes(quantized(Camera()), (EVERY_LEVEL,), ("pixels",), ("y",))
    assert not {"Cast", "Mul"} & kinds(onnx.load_from_string(data))


def test_pixels_that_are_not_their_own_codes_are_computed_as_before() -> None:
    module = quantized(Camera())
    picture = next(q for name, q in quantizers(module).items() if "/mul/" in name)
    with torch.no_grad():
        picture.state_dict()["input_range"].fill_(251 / 255)
    model = exported(module)
    assert take_pixels_as_codes(model) == 0 and "Mul" in kinds(model)


@pytest.mark.parametrize("name", ["ort-x86", "openvino", "tensorrt"])
def test_a_pictures_range_is_what_pixels_have_and_not_what_calibration_saw(name: str) -> None:
    ends = {"input_low": 0.0, "input_range": 1.0, "scale": 1.0}
    picture = next(q for where, q in quantizers(quantized(Camera(), name)).items() if "/mul/" in where)
    known = {key: float(value) for key, value in picture.state_dict().items() if key in ends}
    assert known and known == {key: ends[key] for key in known}


def test_what_is_no_pixel_over_255_keeps_the_range_that_calibration_saw() -> None:
    picture = next(q for where, q in quantizers(quantized(Camera(white=128.0))).items() if "/mul/" in where)
    assert float(picture.state_dict()["input_range"]) == pytest.approx(251 / 128, rel=0.02)


def test_fine_tuning_leaves_a_pictures_range_and_learns_the_others() -> None:
    module = quantized(Camera())
    picture = next(q for where, q in quantizers(module).items() if "/mul/" in where)
    learnt = {id(parameter) for parameter in learnt_ranges(module)}
    assert learnt and not learnt & {id(parameter) for parameter in picture.parameters()}
