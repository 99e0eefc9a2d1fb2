"""From a run to a bundle: the graphs are what they claim to be, in ONNX Runtime."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from codriver import Perceiver  # noqa: E402
from codriver.sources import ClipFolder  # noqa: E402
from codriver.tasks import AIDE, GROUPS, JOINTS  # noqa: E402
from codriver.verify.golden import check_golden  # noqa: E402
from quantize.graphs.fold import folded  # noqa: E402
from quantize.run import main as quantize  # noqa: E402
from targets.build import main as build  # noqa: E402
from training.data.batches import collate  # noqa: E402
from training.data.clips import load_clip  # noqa: E402
from training.train import main as train  # noqa: E402
from training.trainer.checkpoint import load_run  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


@pytest.fixture(scope="module")
def line(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole line on tiny data: run, quantized, x86.bundle, fp32.bundle."""
    out = tmp_path_factory.mktemp("line")
    data = ["--data", str(dataset)]
    assert train([*data, "--out", str(out / "run"), "--size", "tiny", "--epochs", "2", "--batch", "2"]) == 0
    arguments = [str(out / "run"), *data, "--out", str(out / "quantized"), "--clips", "4", "--golden", "1"]
    assert quantize(arguments) == 0
    for target, name in (("x86-ort", "x86"), ("x86-ort-fp32", "fp32")):
        assert build([str(out / "quantized"), "--target", target, "--out", str(out / f"{name}.bundle")]) == 0
    return out


def optimized(path: Path, tmp_path: Path) -> Counter[str]:
    """Operators that ONNX Runtime really runs."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


@pytest.mark.parametrize("dialect", ["ort-x86", "ort-x86-7bit"])
def test_onnx_runtime_runs_every_convolution_of_the_encoder_in_int8(line: Path, tmp_path: Path, dialect: str) -> None:
    path = line / "quantized" / dialect / "encoder.onnx"
    convolutions = sum(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    operators = optimized(path, tmp_path)
    assert operators["QLinearConv"] == convolutions > 0
    assert not operators["Conv"] and not operators["FusedConv"]


@pytest.mark.parametrize(("dialect", "limit"), [("ort-x86", 127), ("ort-x86-7bit", 64)])
def test_weights_are_stored_as_int8_within_the_dialects_range(line: Path, dialect: str, limit: int) -> None:
    graph = onnx.load(line / "quantized" / dialect / "encoder.onnx").graph
    weights = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    kernels = [weight for weight in weights if weight.ndim == 4]
    assert len(kernels) == sum(node.op_type == "Conv" for node in graph.node)
    assert limit // 2 < max(np.abs(kernel.astype(int)).max() for kernel in kernels) <= limit


def test_activations_are_unsigned_and_graphs_stay_readable_for_old_runtimes(line: Path) -> None:
    model = onnx.load(line / "quantized" / "ort-x86" / "encoder.onnx")
    constants = {
        n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in model.graph.node if n.op_type == "Constant"
    }
    constants |= {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = [constants[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert zeros and all(zero.dtype == np.uint8 and zero.ndim == 0 for zero in zeros)
    assert model.opset_import[0].version == 17 and model.ir_version <= 10
    assert {node.domain for node in model.graph.node} == {""}


def test_what_changed_is_quantized_in_its_own_range(line: Path) -> None:
    """The difference of two features is small beside them: taken in floating point, then given all 256 codes."""
    graph = onnx.load(line / "quantized" / "ort-x86" / "encoder.onnx").graph
    takers = {name: node for node in graph.node for name in node.input}
    differences = [node for node in graph.node if node.op_type == "Sub"]
    assert len(differences) == len(GROUPS) - len(JOINTS)
    assert all(takers[node.output[0]].op_type == "QuantizeLinear" for node in differences)


def test_keypoints_are_not_quantized_on_their_way_in(line: Path) -> None:
    """255 steps for a whole image are too coarse for a hand; NNCF quantizes slices and means if it meets any."""
    graph = onnx.load(line / "quantized" / "ort-x86" / "encoder.onnx").graph
    reached, coarse = set(JOINTS), []
    for node in graph.node:
        if reached & set(node.input):
            coarse += [node.name] if node.op_type == "QuantizeLinear" else []
            reached |= set() if node.op_type == "Relu" else set(node.output)
    assert len(reached) > len(JOINTS) and not coarse


def test_the_same_run_gives_the_same_bytes(line: Path, dataset: Path, tmp_path: Path) -> None:
    again = [str(line / "run"), "--data", str(dataset), "--out", str(tmp_path / "q"), "--clips", "4", "--golden", "0"]
    assert quantize([*again, "--check", "0", "--dialect", "ort-x86"]) == 0
    for path in ("ort-x86/encoder.onnx", "ort-x86/fuser.onnx"):
        assert (tmp_path / "q" / path).read_bytes() == (line / "quantized" / path).read_bytes()


def test_folding_batch_normalisation_changes_no_logit(line: Path, dataset: Path) -> None:
    model = load_run(line / "run").model
    frames, mask, _ = collate([load_clip(ref, model.config, AIDE) for ref in read_split(dataset, "train")])
    with torch.inference_mode():
        before, after = model(frames, mask).logits, folded(model)(frames, mask).logits
    assert all(torch.allclose(before[task], after[task], atol=1e-5) for task in before)


@pytest.mark.parametrize("frames", [45, 38, 30])
def test_stepping_a_clip_slot_by_slot_gives_the_probabilities_of_the_whole_clip(
    line: Path, dataset: Path, tmp_path: Path, frames: int
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    for path in (root / "AIDE_Dataset" / "0002").glob("*frames/*.jpg"):
        if int(path.stem) >= frames:
            path.unlink()
    ref = read_split(root, "train")[1]
    model = load_run(line / "run").model
    clip_frames, mask, _ = collate([load_clip(ref, model.config, AIDE)])
    with torch.inference_mode():
        whole = {task: some.double().softmax(dim=1)[0] for task, some in model(clip_frames, mask).logits.items()}
    with Perceiver.open(line / "fp32.bundle") as perceiver, ClipFolder(ref.folder, strict=True, every=3) as source:
        for at in source:  # faster than slots, a percept has the mean over a slot
            percept = perceiver.step(at.frames, at.t, at.driver)
    for task, expected in whole.items():
        stepped = list(percept.tasks[task].probabilities.values())
        np.testing.assert_allclose(stepped, expected.numpy(), atol=1e-4)


def test_a_bundle_proves_itself_on_its_golden_vectors(line: Path) -> None:
    with Perceiver.open(line / "x86.bundle") as perceiver:
        assert all(difference.ok for difference in check_golden(perceiver))


def test_a_bundle_whose_graph_answers_otherwise_is_not_kept(line: Path, tmp_path: Path, capsys: Any) -> None:
    # The variant that every x86 processor runs: ort-x86 asks for VNNI.
    folder = Path(shutil.copytree(line / "quantized", tmp_path / "quantized"))
    graph = onnx.load(folder / "ort-x86-7bit" / "fuser.onnx")
    (giver,) = [node for node in graph.graph.node if "driver_emotion" in node.output]
    giver.output[list(giver.output).index("driver_emotion")] = "before"
    graph.graph.initializer.append(numpy_helper.from_array(np.arange(5, dtype=np.float32), "more"))
    graph.graph.node.append(onnx.helper.make_node("Add", ["before", "more"], ["driver_emotion"]))
    onnx.save(graph, folder / "ort-x86-7bit" / "fuser.onnx")
    assert build([str(folder), "--target", "x86-ort", "--out", str(tmp_path / "bad.bundle")]) == 1
    assert "driver_emotion is off by" in capsys.readouterr().err
    assert not (tmp_path / "bad.bundle").exists()


def test_the_report_says_what_was_calibrated_on(line: Path) -> None:
    report = json.loads((line / "quantized" / "report.json").read_text())
    assert report["calibration"]["split"] == "train" and len(report["calibration"]["ids"]) == 4
    assert set(report["dialects"]) == {"fp32", "ort-x86", "ort-x86-7bit"} and report["seed"] == 0


def kernel_bytes(tensor: onnx.TensorProto) -> int:
    """Of two columns at once (2 O, 4 C, 3, 2): those of the (O, C, 3, 3) that they are made of."""
    return len(tensor.raw_data) * 3 // 16 if list(tensor.dims[2:]) == [3, 2] else len(tensor.raw_data)


def test_int8_kernels_weigh_a_quarter_of_fp32(line: Path) -> None:
    report = json.loads((line / "quantized" / "report.json").read_text())
    graphs = {
        name: onnx.load(line / "quantized" / entry["encoder"]["path"]) for name, entry in report["dialects"].items()
    }
    kernels = {
        name: sum(kernel_bytes(t) for t in graph.graph.initializer if len(t.dims) == 4)
        for name, graph in graphs.items()
    }
    assert 4 * kernels["ort-x86"] == kernels["fp32"] > 0


def test_a_run_that_is_none_is_refused_and_nothing_is_written(dataset: Path, tmp_path: Path, capsys: Any) -> None:
    assert quantize([str(tmp_path), "--data", str(dataset), "--out", str(tmp_path / "q")]) == 2
    assert "is not a run" in capsys.readouterr().err and not (tmp_path / "q").exists()
