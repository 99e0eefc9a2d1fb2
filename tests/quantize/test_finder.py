"""The finder through quantization: every dialect, its rules, its scores in the runtime, and a bundle that holds it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("openvino")

from codriver.errors import ConfigError  # noqa: E402
from codriver.finder_graph import PRESENCE, points_of  # noqa: E402
from codriver.perceiver import Perceiver  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from codriver.verify.golden import FINDER, NOBODY, check_golden  # noqa: E402
from quantize.export.golden_nobody import write_golden_nobody  # noqa: E402
from quantize.export.held_out import by_certainty  # noqa: E402
from quantize.finder import check_finder, make_finders, with_finder  # noqa: E402
from quantize.finder_scores import by_clip, measure  # noqa: E402
from quantize.finder_scores import main as finder_scores  # noqa: E402
from quantize.graphs.dialects import DIALECTS  # noqa: E402
from quantize.graphs.fold import folded  # noqa: E402
from quantize.parity.runners import FP32  # noqa: E402
from quantize.precision.bench import validation_clips  # noqa: E402
from quantize.prove import ProofConfig, prove  # noqa: E402
from quantize.run import (  # noqa: E402
    QuantizeOptions,
    _scores_alone,
    quantize,
)
from targets.build import build  # noqa: E402
from targets.packing.gate import PRESENCE_OFF, GateError  # noqa: E402
from targets.packing.pack import golden_files  # noqa: E402
from tests.untrained import untrained_finder_record  # noqa: E402
from training.data.clips import Clip, empty_context  # noqa: E402
from training.finder.lookout import make_lookout  # noqa: E402
from training.finder.model import SIZES, Finder  # noqa: E402
from training.finder.pictures import drive_pictures  # noqa: E402
from training.finder.run import load_finder, save_finder  # noqa: E402
from training.finder.scores import score_points  # noqa: E402
from training.trainer.checkpoint import load_run  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402
from workshop.quantized_report import QuantizedReport  # noqa: E402
from workshop.resampling import BootstrapConfig  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.openvino]


@pytest.fixture(scope="module")
def finder_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights and statistics: what quantization does to a graph does not depend on training."""
    torch.manual_seed(0)
    model = Finder(SIZES["tiny"])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    folder = tmp_path_factory.mktemp("finder") / "run"
    folder.mkdir()
    middle = tuple((0.5, 0.5) for _ in range(points_of(gesture=False)))
    save_finder(folder, model.eval(), replace(untrained_finder_record(), mean_pose=middle))
    return folder


@pytest.fixture(scope="module")
def beside(quantized: Path, finder_run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finder in every dialect, beside graphs that were quantized without one."""
    folder = Path(shutil.copytree(quantized, tmp_path_factory.mktemp("beside") / "quantized"))
    finders = make_finders(finder_run, dataset, list(DIALECTS.values()), QuantizeOptions(clips=4, check=1))
    with_finder(folder, QuantizedReport.read(folder), finders).write(folder)
    return folder


@pytest.fixture(scope="module")
def full(untrained_run: Path, finder_run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quantized with the finder from the start, so that golden vectors hold it; in full precision."""
    out = tmp_path_factory.mktemp("full") / "quantized"
    options = QuantizeOptions(clips=4, golden=1, check=1, finder=finder_run)
    quantize(untrained_run, dataset, out, ["fp32", "openvino-fp32"], options)
    return out


def test_every_dialect_has_a_finder_that_keeps_its_rules_and_runs_in_int8(beside: Path) -> None:
    report = QuantizedReport.read(beside)
    for name, entry in report.dialects.items():
        assert entry.finder is not None and (beside / entry.finder.path).is_file()
        check = entry.finder_check
        assert check is not None and (check.lint is None or check.lint.broken == 0), name
        if check.audit is not None and DIALECTS[name].is_int8:
            assert check.audit.int8_share > 0.99, name


def test_presence_has_no_range_that_calibration_on_drives_could_end_at_a_driver_who_is_there(beside: Path) -> None:
    """Its logits were clipped at 0 where ONNX Runtime's dialects quantize outputs: an empty seat held a driver."""
    import onnx

    graphs = [some.finder.path for some in QuantizedReport.read(beside).dialects.values()]
    for path in (path for path in graphs if path.endswith(".onnx")):
        graph = onnx.load(beside / path).graph
        (by,) = [node for node in graph.node if "presence" in node.output]
        assert by.op_type == "Gemm", path


def test_a_runtime_finds_what_the_fake_quantized_model_finds(beside: Path) -> None:
    report = QuantizedReport.read(beside)
    ran = {name: some.finder_check for name, some in report.dialects.items() if some.finder_check.scores is not None}
    assert {"fp32", "ort-x86-7bit", "openvino"} <= set(ran)
    assert ran["fp32"].mean_off < 1e-4 and set(ran["fp32"].scores) == set(report.finder.check)


def test_a_bundle_packs_it_proves_it_and_finds_with_frames_alone(full: Path, tmp_path: Path) -> None:
    manifest = build(full, "x86-ort-fp32", tmp_path / "a.bundle")
    assert manifest.finder is not None
    with Perceiver.open(tmp_path / "a.bundle", threads=1) as perceiver:
        card = (tmp_path / "a.bundle" / "MODEL_CARD.md").read_text()
        assert "It has never seen a cabin without a driver" in card and "| openvino-fp32 |" in card
        assert "| annotations |" in card and "| validation, without posture |" in card
        assert "without gesture" not in card and "not for hands" in card and manifest.finder.gesture is False
        assert set(manifest.metrics["frames_alone"]["without"]) == {"nothing", "face", "body", "posture", "all"}
        assert {FINDER, NOBODY} <= {found.task for found in check_golden(perceiver)}
        frames = {v: np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8) for v in manifest.views}
        assert set(perceiver.step(frames, 0.0).driver.presence) == {"driver", "face", "camera"}


def surer_of_a_driver(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    graph = folder / "fp32" / "finder.onnx"
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        if tuple(tensor.dims) == (3,):  # the bias of presence
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(5), tensor.name))
    onnx.save(model, graph)


def test_a_runtime_that_sees_a_driver_in_pictures_of_nobody_is_told_from_full_precision(
    full: Path, finder_run: Path, dataset: Path, tmp_path: Path
) -> None:
    own, entry = Path(shutil.copytree(full, tmp_path / "own")), QuantizedReport.read(full).dialects["fp32"]
    finders = make_finders(finder_run, dataset, [DIALECTS["fp32"]], QuantizeOptions(clips=4, check=1))
    assert check_finder(own, "fp32", entry, finders).presence_off == pytest.approx(0, abs=1e-4)
    surer_of_a_driver(own)
    found = check_finder(own, "fp32", entry, finders)
    assert found.presence_off > PRESENCE_OFF and found.mean_off < 1e-4  # its points are what they were


def test_another_finder_than_the_golden_vectors_is_not_packed(full: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(full, tmp_path / "own"))
    surer_of_a_driver(own)
    with pytest.raises(GateError, match=r"finder is off by.*presence without a driver is off by"):
        build(own, "x86-ort-fp32", tmp_path / "b.bundle")


def test_golden_pictures_without_a_driver_are_of_cabins_if_the_finder_has_learned_from_some(
    finder_run: Path, tmp_path: Path
) -> None:
    full = folded(load_finder(finder_run).model)
    for cabins in (False, True):
        write_golden_nobody(tmp_path / str(cabins), full, ["fp32", "ort-x86"], cabins=cabins)
        clips = json.loads((tmp_path / str(cabins) / "golden.json").read_text())["clips"]
        assert len(clips) == (6 if cabins else 2)
        assert all(clip["expected"] == {"fp32": {}, "ort-x86": {}} for clip in clips)
        assert all(set(told) == set(PRESENCE) for clip in clips for told in clip["found"].values())


def test_a_bundle_with_fewer_golden_clips_keeps_the_pictures_without_a_driver(full: Path) -> None:
    report = QuantizedReport.read(full)
    content = json.loads(golden_files(full, report, 0)[report.golden])
    assert [any(clip["expected"].values()) for clip in content["clips"]] == [False, False]


def test_what_was_not_a_finder_is_refused(untrained_run: Path, dataset: Path, tmp_path: Path) -> None:
    from codriver.errors import SourceError

    with pytest.raises(SourceError, match="expected a finder"):
        quantize(
            untrained_run, dataset, tmp_path / "out", ["fp32"], QuantizeOptions(clips=4, golden=0, finder=untrained_run)
        )


def test_each_dialects_finder_is_scored_in_its_runtime_on_clips_it_never_saw(
    full: Path, finder_run: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finder_scores([str(full), "--data", str(dataset), "--finder", str(finder_run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["scores"]) == {"fp32", "openvino-fp32", "frame_before", "mean_pose"} and report["clips"] == 1
    told = report["differences"]["openvino-fp32 - fp32"]["face_iou"]
    assert told["value"] == pytest.approx(0, abs=1e-3) and told["interval"][0] <= told["value"] <= told["interval"][1]
    assert report["differences"].keys() >= {"fp32 - frame_before", "openvino-fp32 - frame_before"}
    pictures = drive_pictures(read_split(dataset, "test"), 15)
    middle = score_points(np.full_like(pictures.points, 0.5), pictures)  # the fixture's mean pose
    assert report["scores"]["mean_pose"]["pck_upper_body"]["value"] == pytest.approx(middle["pck_upper_body"])
    assert "pck_hands" not in report["scores"]["fp32"]
    assert "fp32 - mean_pose" in report["differences"]


def test_a_proof_is_of_clips_as_the_finder_sees_them_if_it_is_given_one(
    full: Path, untrained_run: Path, finder_run: Path, dataset: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(full, tmp_path / "own"))
    told, answers = {}, {}
    for finder in (None, finder_run):
        config = ProofConfig(split="val", clips=1, wholes=1, finder=finder)
        told[finder] = prove(own, untrained_run, dataset, ["fp32"], config)["driver"]
        with np.load(own / "proof.npz") as found:
            answers[finder] = found[f"{FP32}/driver_emotion"]
    assert told[None] == "as annotated" and told[finder_run].startswith("found by ")
    assert not np.allclose(answers[None], answers[finder_run], atol=1e-4)


def test_quantizers_are_ranked_on_clips_as_the_finder_sees_them(
    untrained_run: Path, finder_run: Path, dataset: Path
) -> None:
    config = load_run(untrained_run).model.config
    (seen,), _ = validation_clips(dataset, config, 1, 0, make_lookout(finder_run))
    (annotated,), _ = validation_clips(dataset, config, 1, 0)
    assert (seen.frames["front"] == annotated.frames["front"]).all()
    assert (seen.frames["posture"] != annotated.frames["posture"]).any()


def test_clips_are_told_by_how_certain_the_finder_was_in_thirds(untrained_run: Path) -> None:
    model = load_run(untrained_run).model
    clips, answers = [], {task: np.zeros((7, k)) for task, k in zip(AIDE.names, (5, 7, 3, 5), strict=True)}
    for sure in (0.9, 0.1, 0.5, 0.2, 0.8, 0.6, 0.3):
        frames, mask = empty_context(model.config)
        mask[0, -4:] = 1
        for name, points in (("posture", 26), ("gesture", 42)):
            frames[name][-4:, :points, 2] = sure
        clips.append(Clip(frames, mask, np.array([int(sure < 0.45), 0, 0, 0])))
    low, middle, high = by_certainty(model, clips, answers)
    assert (low.clips, middle.clips, high.clips) == (3, 2, 2)
    assert (low.low, low.high, high.low, high.high) == pytest.approx((0.1, 0.3, 0.8, 0.9))
    emotion = [some.accuracy["driver_emotion"] for some in (low, middle, high)]
    assert emotion == [0.0, 1.0, 1.0]  # the answer is always the first class


def test_scores_by_clip_are_those_of_its_frames_alone(dataset: Path) -> None:
    pictures = drive_pictures(read_split(dataset, "train"), 4)
    points = pictures.points + np.float32(0.02)
    told = by_clip(points, pictures)
    of_second = [row for row, clip in enumerate(pictures.clips) if clip == list(dict.fromkeys(pictures.clips))[1]]
    alone = score_points(points[of_second], pictures.at(of_second))
    assert {name: some[1] for name, some in told.items()} == pytest.approx(alone, nan_ok=True)


def test_a_folder_without_a_finder_says_what_to_do(quantized: Path, dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"give quantize\.run a --finder"):
        measure(quantized, dataset, "test", BootstrapConfig(resamples=10))


def test_scores_that_another_finder_saw_for_are_not_this_bundles(
    untrained_run: Path, finder_run: Path, tmp_path: Path
) -> None:
    run, other = load_run(untrained_run), tmp_path / "other"
    other.mkdir()
    save_finder(other, Finder(SIZES["tiny"]), untrained_finder_record())
    record = replace(run.record, finder=make_lookout(finder_run).describe(), test_frames_alone=run.record.test)
    seen = replace(run, record=record)
    assert _scores_alone(seen, finder_run) == run.record.test
    assert _scores_alone(seen, other) == {}
