"""Training end to end on a tiny data set: what it leaves behind, and that evaluation agrees with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import SourceError  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from targets.trial.scoring import macro_f1  # noqa: E402
from tests.untrained import untrained_finder_record  # noqa: E402
from training.data.batches import epoch_order, predict  # noqa: E402
from training.data.clips import Clip, load_clips  # noqa: E402
from training.report.metrics import score  # noqa: E402
from training.train import main  # noqa: E402
from training.trainer.checkpoint import load_run  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert main(["--data", str(dataset), "--out", str(out), "--size", "tiny", "--epochs", "3", "--batch", "2"]) == 0
    return out


def test_a_run_holds_weights_meta_data_and_a_line_per_epoch(run: Path) -> None:
    meta = json.loads((run / "meta.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {path.name for path in run.iterdir()} == {
        *("model.safetensors", "meta.json", "metrics.jsonl", "curves.png", "best.safetensors", "last.pt")
    }
    assert meta["seed"] == 0 and len(meta["loss_state"]["history"]) == 3
    assert [line["epoch"] for line in lines] == [1, 2, 3] and len(lines[0]["task_weights"]) == 4


def test_the_same_seed_trains_the_same_weights(run: Path, dataset: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    main(["--data", str(dataset), "--out", str(again), "--size", "tiny", "--epochs", "3", "--batch", "2"])
    first, second = load_run(run).model.state_dict(), load_run(again).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_scores_in_the_run_are_those_of_evaluating_it_again(
    run: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    from training.evaluate import main as evaluate

    assert evaluate([str(run), "--data", str(dataset), "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tasks"] == json.loads((run / "meta.json").read_text())["test"] and result["n"] == 1


def test_normalisation_learns_in_every_epoch_and_rests_in_evaluation(run: Path, dataset: Path) -> None:
    """MMTL-UniAD's public loop froze it after the first evaluation (reference/model.md 4.6, item 6)."""
    model = load_run(run).model
    counters = {name: int(n) for name, n in model.state_dict().items() if name.endswith("num_batches_tracked")}
    assert len(counters) > 20 and set(counters.values()) == {3 * 2}  # epochs, batches
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model, load_clips(read_split(dataset, "val"), model.config, AIDE))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_batches_are_shuffled_anew_each_epoch_and_reproducible() -> None:
    order = [epoch_order(8, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert order[0] == order[1] and len({str(some) for some in order}) == 3


@pytest.mark.parametrize("file", ["model.safetensors", "meta.json"])
def test_a_damaged_run_is_refused_with_its_name(run: Path, tmp_path: Path, file: str) -> None:
    for name in ("model.safetensors", "meta.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-40])
    with pytest.raises(SourceError, match=str(tmp_path)):
        load_run(tmp_path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"lacks meta\.json or model\.safetensors"):
        load_run(tmp_path)


def test_scores_are_unrounded_and_agree_with_the_runtimes_own(dataset: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [Clip({}, np.ones((8, 16), np.float32), rng.integers(0, 3, 4)) for _ in range(60)]
    probabilities = {task.name: rng.dirichlet(np.ones(task.classes), 60) for task in AIDE.tasks}
    scores = score(probabilities, clips, AIDE)
    for k, task in enumerate(AIDE.tasks):
        truth = np.array([clip.labels[k] for clip in clips])
        answers = probabilities[task.name].argmax(axis=1)
        assert scores[task.name].macro_f1 == pytest.approx(macro_f1(truth, answers))
        assert scores[task.name].accuracy == pytest.approx(float((truth == answers).mean()))


def test_a_run_that_was_given_a_finder_is_scored_with_frames_alone_too_and_goes_on_with_no_other(
    dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    from training.finder.model import SIZES, Finder
    from training.finder.run import save_finder

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_finder(tmp_path / name, Finder(SIZES["tiny"]), untrained_finder_record())
    out = tmp_path / "run"
    short = ["--data", str(dataset), "--out", str(out), "--size", "tiny", "--epochs", "1", "--batch", "2"]
    assert main([*short, "--finder", str(tmp_path / "a")]) == 0
    record = load_run(out).record
    assert record.test_frames_alone and set(record.test_frames_alone) == set(record.test)
    assert record.finder["disturbed_by"] == 1
    assert "frames alone" in capsys.readouterr().out
    assert main([*short, "--finder", str(tmp_path / "b"), "--resume"]) == 2
    assert "finder id was" in capsys.readouterr().err


def test_a_run_begins_with_the_weights_of_another_whatever_their_precision_and_records_which(
    run: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    from safetensors.torch import load_file, save_file

    halves = {name: value.half() for name, value in load_file(run / "model.safetensors").items()}
    save_file(halves, tmp_path / "half.safetensors")
    still = ["--epochs", "1", "--batch", "2", "--learning-rate", "1e-12"]
    short = ["--data", str(dataset), "--out", str(tmp_path / "out"), "--size", "tiny", *still]
    assert main([*short, "--start", str(tmp_path / "half.safetensors")]) == 0
    now = load_run(tmp_path / "out")
    weights = {name: value for name, value in now.model.named_parameters()}
    assert all(torch.allclose(value, halves[name].float(), atol=1e-9) for name, value in weights.items())
    assert now.record.start and now.record.start["weights_sha256"]
    assert main([*short, "--resume"]) == 2
    assert "start weights_sha256 was" in capsys.readouterr().err


def test_weights_of_another_size_are_no_start(run: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    short = ["--data", str(dataset), "--out", str(tmp_path / "out"), "--size", "small", "--epochs", "1"]
    assert main([*short, "--start", str(run / "model.safetensors")]) == 2
    assert "does not hold weights of this size" in capsys.readouterr().err
