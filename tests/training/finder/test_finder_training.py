"""Training the finder end to end on a tiny data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import SourceError  # noqa: E402
from training.finder.__main__ import main, make_parser  # noqa: E402
from training.finder.learn import FinderTrainConfig, Learner  # noqa: E402
from training.finder.model import SIZES, Finder  # noqa: E402
from training.finder.pictures import FinderVaryConfig, Pictures, drive_pictures  # noqa: E402
from training.finder.run import load_finder, save_finder  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch
SHORT = FinderTrainConfig(size="tiny", epochs=2, batch=4, frames_per_clip=2)


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finder") / "run"
    small = ["--size", "tiny", "--epochs", "2", "--batch", "4", "--frames-per-clip", "2"]
    assert main(["--data", str(dataset), "--out", str(out), *small]) == 0
    return out


def test_a_run_says_what_it_learned_from_and_what_it_cannot_know(run: Path) -> None:
    found = load_finder(run)
    assert found.record.data["frames"] == {"drive": 8} and found.record.knows_absence is False
    assert set(found.record.test) >= {"finder", "mean_pose", "frame_before"}
    assert [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_hands_are_looked_for_where_that_is_asked_and_in_runs_of_before(run: Path, tmp_path: Path) -> None:
    assert make_parser().parse_args(["--data", "d", "--out", "o", "--gesture"]).gesture is True
    assert load_finder(run).model.points == 30
    with_hands = Learner(replace(SHORT, gesture=True), FinderVaryConfig(), whole_pictures())
    assert with_hands.kept.points == 72 and np.isfinite(with_hands.run_epoch()["loss"])
    save_finder(tmp_path, with_hands.kept, load_finder(run).record)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["model"].pop("gesture") is True
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert load_finder(tmp_path).model.points == 72


def whole_pictures() -> Pictures:
    points, weights = np.full((4, 72, 2), 0.5, np.float32), np.ones((4, 72), np.float32)
    pixels = np.zeros((4, 144, 256, 3), np.uint8)
    return Pictures(pixels, points, weights, np.ones((4, 3), np.float32), ("",) * 4, ("drive",) * 4)


def test_what_is_loaded_gives_what_was_saved(run: Path) -> None:
    pixels = torch.randint(0, 256, (2, 144, 256, 3), dtype=torch.uint8)
    first, second = load_finder(run).model, load_finder(run).model
    assert all(torch.equal(a, b) for a, b in zip(first(pixels), second(pixels), strict=True))


def test_a_frames_answer_does_not_depend_on_its_batch() -> None:
    model = Finder(SIZES["tiny"]).eval()
    pixels = torch.randint(0, 256, (3, 144, 256, 3), dtype=torch.uint8)
    for alone, among in zip(model(pixels[1:2]), model(pixels), strict=True):
        assert torch.allclose(alone[0], among[1], atol=1e-5)


def test_a_resumed_run_steps_like_one_never_stopped(dataset: Path) -> None:
    pictures = drive_pictures(read_split(dataset, "train"), 2)
    whole, first, second = (Learner(SHORT, FinderVaryConfig(), pictures) for _ in range(3))
    whole.run_epoch()
    whole.run_epoch()
    first.run_epoch()
    second.load_state(first.state())
    second.run_epoch()
    for (name, a), b in zip(whole.kept.state_dict().items(), second.kept.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_it_learns_where_a_bright_spot_is() -> None:
    """One spot marks every point: after some steps the finder follows it, which the mean place cannot."""
    from training.finder.scores import sights_of

    rng = np.random.default_rng(0)
    places = rng.uniform(0.2, 0.8, (64, 1, 2)).astype(np.float32)
    pixels = np.zeros((64, 144, 256, 3), np.uint8)
    for image, (x, y) in zip(pixels, places[:, 0] * [256, 144], strict=True):
        image[int(y) - 6 : int(y) + 6, int(x) - 6 : int(x) + 6] = 255
    points = np.repeat(places, 72, axis=1)
    known = np.ones(points.shape[:2], np.float32)
    known[:, -4:] = 0
    pictures = Pictures(pixels, points, known, np.ones((64, 3), np.float32), ("",) * 64, ("drive",) * 64)
    config = FinderTrainConfig(size="tiny", epochs=12, batch=8)
    learner = Learner(config, FinderVaryConfig(gain=0.0, shift=0.02, scale=0.0), pictures)
    for _ in range(config.epochs):
        learner.run_epoch()
    off = [
        np.abs(sight.points[:-4] - place).mean()
        for sight, place in zip(sights_of(learner.kept, pictures), places[:, 0], strict=True)
    ]
    assert np.mean(off) < 0.05 < np.abs(places - places.mean(axis=0)).mean()


def test_a_folder_that_is_no_finder_is_refused(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SourceError, match=r"training\.finder"):
        load_finder(tmp_path)
    missing = str(tmp_path / "no_data")
    assert main(["--data", missing, "--out", str(tmp_path / "out")]) == 2 and missing in capsys.readouterr().err
