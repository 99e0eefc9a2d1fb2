"""What the line emits obeys its dialects, and runs in INT8: the demo's encoder with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("openvino")

from codriver.device.cpu import cpu_features
from quantize.audit import audit
from quantize.graphs.dialects import dialect
from quantize.lint import lint
from quantize.rules.dialects import RULES
from quantize.rules.read import read_model
from quantize.run import main as quantize
from tests.untrained import write_untrained_run

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.slow]

RUNS_IN = {"ort-x86": "onnxruntime", "ort-x86-7bit": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt"}


@pytest.fixture(scope="module")
def quantized(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoder")
    data = ["--data", str(dataset)]
    write_untrained_run(out / "run", "demo", dataset)
    dialects = [word for name in ("fp32", *(RULES | RUNS_IN)) for word in ("--dialect", name)]
    arguments = [str(out / "run"), *data, "--out", str(out / "quantized"), "--clips", "4"]
    arguments += ["--golden", "0", "--check", "0"]  # what the graphs answer is not looked at here
    assert quantize([*arguments, *dialects]) == 0
    return out / "quantized"


@pytest.mark.parametrize("name", [name for name in RULES if name != "openvino"])  # its graph is no ONNX file
def test_every_graph_that_is_emitted_obeys_its_dialect(quantized: Path, name: str) -> None:
    assert lint(read_model(quantized / name / "encoder.onnx"), name).findings == ()


@pytest.mark.parametrize("name", RUNS_IN)
def test_at_least_99_percent_of_the_encoders_products_run_in_int8(quantized: Path, name: str) -> None:
    """But where the processor lacks what the dialect asks for: its weights saturate there, and the audit says so."""
    found = audit(next((quantized / name).glob("encoder.[ox][nm][nl]*")), RUNS_IN[name], runs=3)
    assert found.share is not None and found.macs > 30e6
    if RUNS_IN[name] == "onnxruntime" and not set(dialect(name).requires) <= set(cpu_features()):
        assert found.share == 0 and len(found.in_float) > 5
    else:
        assert found.share >= 0.99


def test_the_encoder_in_full_precision_has_no_share_in_int8(quantized: Path) -> None:
    assert audit(quantized / "fp32" / "encoder.onnx", "onnxruntime", runs=3).share == 0
