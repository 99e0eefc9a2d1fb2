"""What OpenVINO computes from a module's IR is what the module computes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from torch import Tensor, nn  # noqa: E402

from codriver.engines import open_engine  # noqa: E402
from codriver.engines.base import Signature  # noqa: E402
from codriver.engines.base import Tensor as Described  # noqa: E402
from quantize.export.openvino_export import ir_from_module  # noqa: E402

pytestmark = pytest.mark.torch


class Pooled(nn.Module):
    """Mean and maximum over slots, one quantizer behind their concatenation, and a quantized convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(16, 16, 1, bias=False)

    def forward(self, slots: Tensor) -> Tensor:
        flat = slots.flatten(2)
        both = torch.cat([flat.mean(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)], dim=1)
        both = torch.fake_quantize_per_tensor_affine(both, 0.03, 0, 0, 255).reshape(1, 16, 4, 4)
        weight = torch.fake_quantize_per_tensor_affine(self.mix.weight, 0.004, 0, -64, 63)
        return torch.relu(nn.functional.conv2d(both, weight))


def test_a_maximum_over_slots_is_quantized_after_it_was_found() -> None:
    torch.manual_seed(0)
    module = Pooled().eval()
    slots = torch.relu(torch.randn(1, 16, 8, 4, 4))
    graph = ir_from_module(module, (slots,), ["slots"], ["mixed"])
    described = {"slots": Described("float32", (1, 16, 8, 4, 4))}, {"mixed": Described("float32", (1, 16, 4, 4))}
    engine = open_engine("openvino", graph, Signature(inputs=described[0], outputs=described[1]), threads=1)
    with torch.no_grad():
        expected = module(slots).numpy()
    found = engine.infer({"slots": slots.numpy()})["mixed"]
    engine.close()
    np.testing.assert_allclose(found, expected, atol=0.01)
