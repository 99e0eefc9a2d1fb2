"""Quantizers ranked by what they cost, layers kept in floating point, and budgets that can or cannot be kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("openvino")

import onnx  # noqa: E402

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import AIDE, GROUPS, JOINTS  # noqa: E402
from quantize.export.fake_quant import load_fake_quant  # noqa: E402
from quantize.graphs.graphs import example_step  # noqa: E402
from quantize.precision.layers import Layers, QuantizedConv, keep_float, layers_of, only, readable  # noqa: E402
from quantize.precision.search import Budget, emitted, fewest_layers, parse_budget  # noqa: E402
from quantize.ptq.quantizers import quantizers  # noqa: E402
from quantize.sensitivity import main as sensitivity  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
IMAGES = [group for group in GROUPS if group not in JOINTS]


@pytest.mark.parametrize("dialect", ["ort-x86-7bit", "tensorrt", "openvino"])
def test_every_quantizer_has_a_name_of_its_own_that_begins_with_its_group(quantized: Path, dialect: str) -> None:
    names = [readable(name) for name in quantizers(load_fake_quant(quantized, dialect).encoder)]
    assert len(set(names)) == len(names) > 0
    assert {name.partition(".")[0] for name in names} <= set(GROUPS)


def test_a_layer_is_a_convolution_with_its_weights_and_its_input(quantized: Path) -> None:
    pair = load_fake_quant(quantized, "ort-x86")
    encoder, model = pair.encoder, pair.model
    layers = layers_of(encoder, example_step(model.config))
    parts = (model.encoders, model.motions, model.along_times)
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for part in parts for module in part.modules())
    assert len(layers.all) == convolutions and all(layer.input for layer in layers.all)


def test_an_input_that_another_layer_reads_stays_quantized(quantized: Path) -> None:
    """The feature feeds the scene, the difference and the output; the first convolution alone reads the pixels."""
    pair = load_fake_quant(quantized, "ort-x86")
    encoder, model = pair.encoder, pair.model
    layers = layers_of(encoder, example_step(model.config))
    scene, first = layers.removed_with(["face.scene"]), layers.removed_with(["face.layers.0.0"])
    assert {readable(name) for name in scene} == {"face.scene.weights"}
    assert {readable(name) for name in first} == {"face.layers.0.0.weights", "face.mul.output"}


def test_a_name_that_is_no_layer_is_refused_with_the_names_that_are(quantized: Path) -> None:
    pair = load_fake_quant(quantized, "ort-x86")
    encoder, model = pair.encoder, pair.model
    with pytest.raises(ConfigError, match=r"layer tail is not there; the layers are .*face\.scene"):
        keep_float(encoder, ["tail"], example_step(model.config))


def test_kept_layers_leave_as_floating_point_and_the_others_do_not(quantized: Path, tmp_path: Path) -> None:
    (tmp_path / "e.onnx").write_bytes(emitted(quantized, "ort-x86-7bit", ["incar.change", "face.scene"]).model)
    graph = onnx.load(tmp_path / "e.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    floats = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in stored]
    assert len(floats) == 2


def test_with_no_quantizer_the_model_is_the_full_precision_one_and_all_come_back(quantized: Path) -> None:
    pair = load_fake_quant(quantized, "ort-x86")
    encoder, model = pair.encoder, pair.model
    example = [torch.rand_like(x) if x.is_floating_point() else x + 99 for x in example_step(model.config)]
    full = load_fake_quant(quantized, "fp32").encoder
    with torch.inference_mode():
        coded = encoder(*example)
        with only(encoder, ()):
            for found, wanted in zip(encoder(*example), full(*example), strict=True):
                torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)  # joints are in half precision
        for found, wanted in zip(encoder(*example), coded, strict=True):
            assert torch.equal(found, wanted)


def three_layers() -> tuple[Layers, list[str], list[dict[str, Any]]]:
    """Layers a, b and c, whose quantizers cost 5, 3 and 1 thousandths, added up."""
    costs = {"a": 0.005, "b": 0.003, "c": 0.001}
    layers = Layers(tuple(QuantizedConv(name, name, None) for name in costs), {})
    rows = [{"hook": name, "losses": {t: {"mean_abs": cost} for t in AIDE.names}} for name, cost in costs.items()]
    return layers, list(costs), rows


def losses(enabled: set[str]) -> dict[str, dict[str, float]]:
    total = sum({"a": 0.005, "b": 0.003, "c": 0.001}[name] for name in enabled)
    return {task: {"mean_abs": total} for task in AIDE.names}


@pytest.mark.parametrize(("allowed", "kept"), [(0.01, ()), (0.0045, ("a",)), (0.0061, ("b",)), (0.0, ("a", "b", "c"))])
def test_the_search_keeps_no_layer_in_floating_point_that_the_budget_does_not_need(
    allowed: float, kept: tuple[str, ...]
) -> None:
    trial = fewest_layers(
        *three_layers()[:2], losses, three_layers()[2], parse_budget([str(allowed)], "mean_abs", AIDE)
    )
    assert trial.met and len(trial.kept) == len(kept) and trial.losses["driver_emotion"]["mean_abs"] <= allowed + 1e-9


def test_a_budget_that_no_layer_can_meet_is_not_met() -> None:
    layers, names, rows = three_layers()
    base = {task: {"mean_abs": 0.5} for task in AIDE.names}
    trial = fewest_layers(layers, names, lambda enabled: base, rows, Budget("mean_abs", {"driver_emotion": 0.1}))
    assert not trial.met and trial.kept == ("a", "b", "c")


@pytest.mark.parametrize("text", ["much", "tail=0.1", "-1", "nan"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="budget"):
        parse_budget([text], "mean_abs", AIDE)


def test_the_command_ranks_draws_and_fails_on_a_budget_that_cannot_be_met(
    quantized: Path, untrained_run: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = Path(shutil.copytree(quantized, tmp_path / "quantized"))
    command = [str(folder), "--run", str(untrained_run), "--data", str(dataset), "--dialect", "ort-x86-7bit"]
    assert sensitivity([*command, "--budget", "0"]) == 1
    said = capsys.readouterr()
    assert "over its budget of 0 with every layer in floating point" in said.err
    found = json.loads((folder / "sensitivity-ort-x86-7bit.json").read_text())
    worst = [max(loss["mean_abs"] for loss in row["losses"].values()) for row in found["quantizers"]]
    assert worst == sorted(worst, reverse=True) and found["split"] == "val"
    assert (folder / "sensitivity-ort-x86-7bit.svg").read_text().startswith("<?xml")
    assert "The budget cannot be met" in (folder / "report.html").read_text()
    assert set(found["search"]["cost"]) == {"none", "all"}  # nobody keeps one layer alone where all are not enough
