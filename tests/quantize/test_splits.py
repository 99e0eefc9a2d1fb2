"""Labels and light that differ from split to split, followed through train, quantize and build: a wrong split shows.

All training clips have the first class of every task, half of the validation clips and a quarter of the test clips. A
model that always gives it is right on as many. Training frames are dark, validation frames
brighter, test frames brightest. So each number and each frame says which clips it comes from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from codriver.bundle.folder import Bundle  # noqa: E402
from codriver.tasks import AIDE, GROUPS, VIEWS  # noqa: E402
from codriver.verify.golden import read_golden  # noqa: E402
from quantize.run import main as quantize  # noqa: E402
from targets.build import main as build  # noqa: E402
from tests.aide import HEIGHT, WIDTH, annotation  # noqa: E402
from training.data.clips import load_clips  # noqa: E402
from training.train import main as train  # noqa: E402
from training.trainer.checkpoint import load_run, save_run  # noqa: E402
from workshop.aide_splits import read_split, split_digest  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
DIALECT = "ort-x86-7bit"
SHARES = {"train": 1.0, "val": 0.5, "test": 0.25}  # of the clips that have the first class of every task
CLIPS = {"train": 6, "val": 4, "test": 8}  # enough to tell them apart by their number
LEVELS = {"train": 60, "val": 120, "test": 240}  # no pixel of a split's frames is brighter
FILES = {"train": "training", "val": "validation", "test": "testing"}


def write_split_dataset(root: Path, frames: int = 45) -> Path:
    """AIDE's layout. Labels of class 0 or 1 alone."""
    random = np.random.default_rng(0)
    for split, count in CLIPS.items():
        rows = []
        for number in range(count):
            name = f"{split}{number}"
            for view in VIEWS:
                folder = root / "AIDE_Dataset" / name / f"{view}frames"
                folder.mkdir(parents=True)
                for at in range(frames):
                    noise = random.integers(0, LEVELS[split] + 1, (HEIGHT, WIDTH, 3)).astype(np.uint8)
                    cv2.imwrite(str(folder / f"{at}.jpg"), noise, [cv2.IMWRITE_JPEG_QUALITY, 100])
            path = root / "AIDE_Dataset" / "annotation" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(annotation(int(number >= SHARES[split] * count), random, frames)))
            rows.append(f"AIDE_Dataset/{name}/,AIDE_Dataset/annotation/{name}.json")
        (root / f"{FILES[split]}.csv").write_text("\n".join(["0,1", *rows]) + "\n")
    return root


@dataclass(frozen=True)
class Line:
    """What the whole line left."""

    data: Path
    run: Path
    quantized: Path
    bundle: Path
    report: dict[str, Any]


def always_the_first(run: Path) -> None:
    """Make the run's heads give the first class, whatever they see: what it answers is then known."""
    found = load_run(run)
    with torch.no_grad():
        for head in found.model.dbscme.heads.values():
            head.bias += torch.tensor([50.0] + [0.0] * (len(head.bias) - 1))
    save_run(run, found)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    out = tmp_path_factory.mktemp("splits")
    data = write_split_dataset(out / "data")
    options = ["--size", "tiny", "--epochs", "2", "--batch", "3", "--validate-every", "1", "--keep", "best"]
    options += "--weighting dwa --decoupling cosine".split()  # what noise teaches with equal weights breaks a lint rule
    assert train(["--data", str(data), "--out", str(out / "run"), *options]) == 0
    always_the_first(out / "run")
    arguments = [str(out / "run"), "--data", str(data), "--out", str(out / "q"), "--clips", "5", "--golden", "1"]
    qat = ["--qat", "1", "--qat-rate", "0.000001", "--qat-patience", "9", "--workers", "0"]
    assert quantize([*arguments, "--dialect", "fp32", "--dialect", DIALECT, *qat]) == 0
    assert build([str(out / "q"), "--target", "x86-no-vnni", "--out", str(out / "b.bundle"), "--allow", "parity"]) == 0
    report = json.loads((out / "q" / "report.json").read_text())
    return Line(data, out / "run", out / "q", out / "b.bundle", report)


def of_all(scores: dict[str, Any], metric: str) -> set[float]:
    return {row[metric] for row in scores.values()}


def names_of(line: Line, split: str) -> set[str]:
    return {ref.id for ref in read_split(line.data, split)}


def test_what_training_learned_is_the_first_class_of_every_task(line: Line) -> None:
    """Or else the shares below would mean nothing."""
    meta = json.loads((line.run / "meta.json").read_text())
    assert all(counts[0] == CLIPS["train"] and not any(counts[1:]) for counts in meta["class_counts"].values())
    assert meta["data"]["clips"] == CLIPS


def test_training_watches_validation_clips_and_chooses_its_epoch_by_them(line: Line) -> None:
    records = [json.loads(text) for text in (line.run / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 2
    last = records[-1]["val"]
    assert of_all(last, "majority") == {SHARES["val"]}  # the share of the label that these clips have most
    means = [np.mean([row["accuracy"] for row in record["val"].values()]) for record in records]
    meta = json.loads((line.run / "meta.json").read_text())
    assert meta["best_epoch"] == meta["kept_epoch"] == 1 + int(np.argmax(means))


def test_a_run_is_scored_on_test_clips(line: Line) -> None:
    meta = json.loads((line.run / "meta.json").read_text())
    assert of_all(meta["test"], "majority") == {SHARES["test"]} and meta["test_clips"] == CLIPS["test"]


def test_ranges_are_calibrated_on_training_frames(line: Line) -> None:
    """A picture's own range is known; the first convolution's reaches as far as calibration's frames drive it."""
    assert set(line.report["calibration"]["ids"]) <= names_of(line, "train")
    graph = onnx.load(line.quantized / line.report["dialects"][DIALECT]["ptq"]["encoder"]["path"]).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    quantizer = first_behind(graph, "outside", "QuantizeLinear")
    reach = float(values[quantizer.input[1]]) * (255 - int(values[quantizer.input[2]]))
    assert 0.9 * driven(line, "train") < reach < 1.1 * driven(line, "train") < 0.8 * driven(line, "val")


def first_behind(graph: onnx.GraphProto, name: str, kind: str) -> onnx.NodeProto:
    reached = {name}
    for node in graph.node:
        if reached & set(node.input):
            if node.op_type == kind:
                return node
            reached |= set(node.output)
    pytest.fail(f"no {kind} behind {name}")


def driven(line: Line, split: str) -> float:
    """The most that the first convolution of the outside views gives, behind its ReLU, in full precision."""
    model = onnx.load(line.quantized / "fp32" / "encoder.onnx")
    found = first_behind(model.graph, "outside", "Relu").output[0]
    model.graph.output.append(onnx.ValueInfoProto(name=found))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    zeros = {i.name: np.zeros(i.shape, np.uint8 if "uint8" in i.type else np.float32) for i in session.get_inputs()}
    clips = load_clips(read_split(line.data, split), load_run(line.run).model.config, AIDE)
    most = 0.0
    for clip in clips:
        for pictures in zip(*(clip.frames[stream] for stream in GROUPS["outside"]), strict=True):
            (values,) = session.run([found], zeros | {"outside": np.stack(pictures)})
            most = max(most, float(values.max()))
    return most


def test_temperatures_are_fitted_on_validation_clips(line: Line) -> None:
    assert {row["clips"] for row in line.report["confidence"].values()} == {CLIPS["val"]}


def test_what_cameras_tell_is_measured_on_validation_clips(line: Line) -> None:
    rows = line.report["run"]["subsets"]
    assert len(rows) == 15 and {row["clips"] for row in rows} == {CLIPS["val"]}
    for row in rows:
        assert set(row["accuracy"].values()) == set(row["majority"].values()) == {SHARES["val"]}
        assert set(row["accuracy"]) == {task.name for task in AIDE.tasks if set(task.needs_any) & set(row["views"])}


def test_runtimes_are_compared_on_validation_clips(line: Line) -> None:
    for entry in line.report["dialects"].values():
        assert (entry["parity"]["split"], entry["parity"]["clips"]) == ("val", CLIPS["val"])


def test_fine_tuning_learns_from_training_clips_and_is_judged_on_validation_clips(line: Line) -> None:
    qat = line.report["dialects"][DIALECT]["qat"]
    assert qat["val_clips"] == CLIPS["val"] and len(qat["records"]) == 1
    for scores in (qat["val_fp32"], qat["val_ptq"], *(record["val"] for record in qat["records"])):
        assert of_all(scores, "accuracy") == {SHARES["val"]}
    for record in qat["records"]:  # heads this sure of the first class lose over 10 times guessing on other clips
        assert max(record["task_losses"]) < 3


def test_golden_vectors_show_validation_frames(line: Line) -> None:
    for steps, *_ in read_golden(Bundle.open(line.bundle)):
        for frames, _, _ in steps:
            for frame in frames.values():
                assert LEVELS["train"] + 30 < frame.max() <= LEVELS["val"] + 30  # JPEG overshoots


def test_the_bundle_tells_of_test_clips_and_never_of_others(line: Line) -> None:
    metrics = Bundle.open(line.bundle).manifest.metrics
    assert of_all(metrics["fp32"], "majority") == {SHARES["test"]} and metrics["clips"] == CLIPS["test"]
    assert metrics["clips_sha256"] == split_digest(read_split(line.data, "test"))
    digests = {split_digest(read_split(line.data, split)) for split in CLIPS}
    assert len(digests) == 3
