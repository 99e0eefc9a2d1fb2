"""A task that is left out at build time is nowhere in the bundle, and the others answer as before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from codriver.bundle.manifest import Manifest
from codriver.cli.main import main as codriver
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles, Signature
from codriver.perceiver import Perceiver
from codriver.tasks import AIDE
from targets.build import main as build
from targets.packing.leave_out import LeftOverError, check_left_out, graph_without, ir_without
from tests.clips import make_clip
from tests.reports import quantized_folder
from tests.tiny import run, tiny_fuser, tiny_manifest, tiny_steps
from workshop.quantized_report import QuantizedReport

EMOTION = AIDE["driver_emotion"]
TRACES = ("emotion", *EMOTION.labels)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`with` and `without` the emotion, of the same quantized folder."""
    folder = tmp_path_factory.mktemp("leave")
    arguments = [str(quantized_folder(folder / "q")), "--target", "x86-ort"]
    assert build([*arguments, "--out", str(folder / "with")]) == 0
    assert build([*arguments, "--out", str(folder / "without"), "--without", EMOTION.name, "--version", "4"]) == 0
    return folder


def traces(text: str) -> list[str]:
    return [word for word in TRACES if word.lower() in text.lower()]


def test_no_file_of_the_bundle_knows_of_the_task(bundles: Path) -> None:
    for path in sorted(path for path in (bundles / "without").rglob("*") if path.is_file()):
        if path.suffix != ".png":
            assert traces(path.read_bytes().decode("latin-1")) == [], path
    assert traces((bundles / "with/manifest.json").read_text()) == list(TRACES)  # they would be found


def test_no_percept_and_no_attribute_knows_of_the_task_and_the_others_answer_as_before(bundles: Path) -> None:
    steps = tiny_steps(12)
    with Perceiver.open(bundles / "without", threads=1) as perceiver:
        percept = run(perceiver, steps)
        assert perceiver.manifest.version == 4
    with Perceiver.open(bundles / "with", threads=1) as perceiver:
        whole = run(perceiver, steps)
    assert traces(json.dumps(percept.to_dict())) == [] and not hasattr(percept, EMOTION.name)
    assert traces(" ".join(dir(percept))) == [] and traces(repr(percept)) == []
    assert percept.tasks == {name: result for name, result in whole.tasks.items() if name != EMOTION.name}
    assert percept.state == whole.state == "ok"


def test_no_command_says_a_word_of_the_task(bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path, frames=12)  # its annotation holds the label
    bundle = str(bundles / "without")
    for command in (["info"], ["verify"], ["bench", "--steps", "2"], ["run", "--source", str(clip)]):
        for options in ([], ["--json"]):
            assert codriver([command[0], bundle, *command[1:], *options]) == 0, command
            said = capsys.readouterr()
            assert said.out and traces(said.out + said.err) == [], command


def test_a_task_that_is_not_there_or_all_of_them_cannot_be_left_out(tmp_path: Path, capsys: Any) -> None:
    arguments = [str(quantized_folder(tmp_path / "q")), "--target", "x86-ort", "--out", str(tmp_path / "b")]
    assert build([*arguments, "--without", "weather"]) == 2
    assert "the model answers" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_what_is_still_there_is_named(tmp_path: Path) -> None:
    report = QuantizedReport.read(quantized_folder(tmp_path / "q")).without(["driver_emotion"])
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "card.md").write_text("answers driver_behavior and Happiness")
    with pytest.raises(LeftOverError, match=r"card\.md still holds 'Happiness' of driver_emotion"):
        check_left_out(tmp_path / "bundle", report)


@pytest.mark.torch
def test_the_models_own_fuser_loses_the_tasks_weights_and_names_and_keeps_the_other_answers() -> None:
    torch = pytest.importorskip("torch")
    from quantize.export.onnx_export import onnx_from_module
    from quantize.graphs.graphs import FUSER_INPUTS, FuserGraph, example_context
    from training.model.uvm3tl import SIZES, UVM3TL

    torch.manual_seed(0)
    model = UVM3TL(SIZES["tiny"]).eval()
    example = example_context(model.config)
    whole = onnx_from_module(FuserGraph(model).eval(), example, FUSER_INPUTS, AIDE.names)
    before = session(whole)
    cut = graph_without(whole, [EMOTION.name])  # in place
    after = session(cut)
    assert traces(cut.SerializeToString().decode("latin-1")) == []
    random = np.random.default_rng(0)
    inputs = {i.name: random.random(i.shape, np.float32) for i in before.get_inputs()}
    assert [i.name for i in after.get_inputs()] == list(inputs)
    expected = dict(zip(AIDE.names, before.run(None, inputs), strict=True))
    for output, values in zip(after.get_outputs(), after.run(None, inputs), strict=True):
        np.testing.assert_array_equal(values, expected.pop(output.name))
    assert list(expected) == [EMOTION.name]


@pytest.mark.openvino
def test_openvinos_form_loses_the_task_too(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    manifest = tiny_manifest()
    whole = openvino.Core().read_model(tiny_fuser(manifest).SerializeToString())
    for node in whole.get_ordered_ops():
        node.set_friendly_name(f"/driver_emotion/{node.get_friendly_name()}")  # as the converter names them
    openvino.save_model(whole, tmp_path / "m.xml", compress_to_fp16=False)
    files = ((tmp_path / "m.xml").read_bytes(), (tmp_path / "m.bin").read_bytes())
    cut = ir_without(*files, [EMOTION.name])
    assert b"driver_emotion" in files[0] and traces(cut[0].decode()) == [] and len(cut[1]) < len(files[1])
    random = np.random.default_rng(0)
    inputs = {n: random.random(t.shape, np.float32) for n, t in manifest.fuser_signature.inputs.items()}
    before, after = (
        open_engine("openvino", GraphFiles(*pair), signature, threads=1).infer(inputs)
        for pair, signature in ((files, manifest.fuser_signature), (cut, without(manifest)))
    )
    assert list(after) == [name for name in before if name != EMOTION.name]
    assert all(np.array_equal(after[name], before[name]) for name in after)


def without(manifest: Manifest) -> Signature:
    whole = manifest.fuser_signature
    return Signature(inputs=whole.inputs, outputs={n: t for n, t in whole.outputs.items() if n != EMOTION.name})


def session(model: onnx.ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
