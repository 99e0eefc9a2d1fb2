"""Torch-TensorRT as a second opinion: what can be held without it, which is all but what TensorRT makes of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from codriver.errors import BackendMissing, EngineError  # noqa: E402
from quantize import torch_tensorrt as bridge  # noqa: E402
from quantize.export.dynamo_export import with_native_quantizers  # noqa: E402
from quantize.graphs.dialects import DIALECTS  # noqa: E402
from quantize.graphs.fold import folded  # noqa: E402
from quantize.graphs.graphs import EncoderGraph, example_step  # noqa: E402
from quantize.ptq.quantizers import quantized_encoder, quantizers  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
Step = tuple[Any, ...]
# As ModelOpt 0.47 declares and Torch-TensorRT 2.13 converts it.
SCHEMA = (
    "quantize_op(Tensor input, Tensor amax, int num_bits, int exponent_bits, bool unsigned, bool narrow_range)"
    " -> Tensor"
)


def codes_of(x: Any, amax: Any, num_bits: int, exponent_bits: int, unsigned: bool, narrow_range: bool) -> Any:
    """What Torch-TensorRT makes of it: Q and DQ with scale amax / 127."""
    assert (num_bits, exponent_bits, unsigned) == (8, 0, False)
    return torch.clamp(torch.round(x / (amax / 127)), -127 if narrow_range else -128, 127) * (amax / 127)


@pytest.fixture(scope="module")
def operator() -> Iterator[None]:
    """ModelOpt's, which needs CUDA to run."""
    library = torch.library.Library("tensorrt", "FRAGMENT")
    library.define(SCHEMA)
    library.impl("quantize_op", codes_of, "CPU")
    torch.library.register_fake("tensorrt::quantize_op", lambda x, *rest: torch.empty_like(x), lib=library)
    yield
    library._destroy()


def quantized(dialect: str) -> tuple[Any, Step]:
    torch.manual_seed(0)
    model = folded(UVM3TL(SIZES["tiny"]).eval())
    step = tuple(torch.rand(some.shape).mul(255).to(some.dtype) for some in example_step(model.config))
    return quantized_encoder(EncoderGraph(model).eval(), [step], DIALECTS[dialect]).eval(), step


@pytest.fixture(scope="module")
def encoder_and_step() -> tuple[Any, Step]:
    return quantized("tensorrt")


@pytest.mark.usefixtures("operator")
def test_exchanged_quantizers_give_the_features_of_nncfs_and_are_all_in_the_exported_program(
    encoder_and_step: tuple[Any, Step],
) -> None:
    encoder, step = encoder_and_step
    program = bridge.exported(encoder, step)
    found = Counter(str(node.target) for node in program.graph.nodes)
    assert found["tensorrt.quantize_op.default"] == len(quantizers(encoder)) > 20
    with torch.no_grad():
        assert not bridge.too_far(bridge.apart(program.module()(*step), encoder(*step)))


@pytest.mark.usefixtures("operator")
def test_scales_that_are_ten_times_too_small_are_too_far(encoder_and_step: tuple[Any, Step]) -> None:
    encoder, step = encoder_and_step
    exchanged = with_native_quantizers(encoder, bridge.AmaxQuantize).eval()
    with torch.no_grad():
        for some in exchanged.modules():
            if isinstance(some, bridge.AmaxQuantize) and some.amax.numel() == 1:
                some.amax *= 0.1
        assert bridge.too_far(bridge.apart(exchanged(*step), encoder(*step)))


def test_an_unsigned_quantizer_is_refused() -> None:
    encoder, _ = quantized("ort-x86-7bit")
    with pytest.raises(EngineError, match="expected signed, symmetric 8 bits"):
        with_native_quantizers(encoder, bridge.AmaxQuantize)


def test_without_torch_tensorrt_it_is_said_what_to_install(
    encoder_and_step: tuple[Any, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelopt", None)
    with pytest.raises(BackendMissing, match=r"pip install nvidia-modelopt and the torch-tensorrt for torch \d"):
        bridge.compiled(*encoder_and_step)


def test_a_folder_without_the_dialect_is_one_line_and_exit_code_2(tmp_path: Path, capsys: Any) -> None:
    assert bridge.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "quantize.run --dialect tensorrt" in said and len(said.splitlines()) == 1
