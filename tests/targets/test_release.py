"""What ships beside the code: a bundle with one golden clip, videos that a source opens, and a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codriver.sources import open_source
from codriver.tasks import VIEWS
from targets.build import main as build
from targets.packing.pack import golden_files
from targets.release import main as release
from tests.clips import make_video
from tests.reports import quantized_folder
from workshop.quantized_report import QuantizedReport


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    """The shared data set with videos for its test clip, and what training.synth says of it."""
    own = Path(shutil.copytree(dataset, tmp_path / "data"))
    for view in VIEWS:
        make_video(own / "AIDE_Dataset" / "0006" / f"{view}.mp4", 30, view=view)
    made = {"generator": "training.synth", "seed": 5, "arguments": {"clips": 6}}
    (own / "dataset.json").write_text(json.dumps(made))
    return own


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """With its golden clip twice, the second with a picture of its own."""
    folder = quantized_folder(tmp_path / "q")
    path = folder / "golden" / "golden.json"
    content = json.loads(path.read_text())
    first = content["clips"][0]
    picture = first["steps"][0]["frames"]["incar"]
    shutil.copyfile(path.parent / picture, path.parent / "other.png")
    second = json.loads(json.dumps(first).replace(picture, "other.png"))
    path.write_text(json.dumps({**content, "clips": [first, second]}))
    return folder


def test_of_the_golden_clips_the_first_are_packed_with_their_pictures_alone(quantized: Path) -> None:
    report = QuantizedReport.read(quantized)
    one, every = golden_files(quantized, report, 1), golden_files(quantized, report)
    assert len(json.loads(one[report.golden])["clips"]) == 1 and len(json.loads(every[report.golden])["clips"]) == 2
    assert set(every) - set(one) == {"golden/other.png"}
    on_disk = {f"golden/{path.name}" for path in (quantized / "golden").iterdir()}
    assert set(every) == on_disk and all(
        (quantized / name).read_bytes() == one[name] for name in set(one) - {report.golden}
    )


def test_a_bundle_is_built_with_as_many_golden_clips_as_are_asked_for(quantized: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.bundle"
    assert build([str(quantized), "--target", "x86-ort", "--out", str(out), "--golden", "1"]) == 0
    assert len(json.loads((out / "golden" / "golden.json").read_text())["clips"]) == 1


def test_a_bundle_without_golden_clips_is_refused_as_wrong_use(quantized: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        build([str(quantized), "--target", "x86-ort", "--out", str(tmp_path / "none.bundle"), "--golden", "0"])
    assert "argument --golden: '0': expected a whole number from 1" in capsys.readouterr().err


def test_a_release_holds_bundle_card_and_clips_that_a_source_opens(quantized: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "try"
    assert release([str(quantized), "--data", str(data), "--out", str(out), "--before", "train it"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "clips", "demo.bundle"]
    with open_source(str(out / "clips" / "0006.json")) as source:
        times_s = [at.t for at in source if set(at.frames) == set(VIEWS)]
    assert times_s == pytest.approx([number / 15 for number in range(30)])
    commands = (out / "README.md").read_text().split("```")[1].strip().splitlines()
    synth, this = (
        "python -m training.synth DATA --clips 6 --seed 5 --videos test",
        "python -m targets.release QUANTIZED",
    )
    assert commands[:2] == ["train it", synth] and commands[2].startswith(this) and "--clips 1" in commands[2]


def test_clips_without_videos_are_refused_and_nothing_is_left(
    quantized: Path, data: Path, tmp_path: Path, capsys: Any
) -> None:
    (data / "AIDE_Dataset" / "0006" / "left.mp4").unlink()
    assert release([str(quantized), "--data", str(data), "--out", str(tmp_path / "try")]) == 2
    assert "left.mp4 is missing; make the footage with" in capsys.readouterr().err and not (tmp_path / "try").exists()


def test_a_folder_of_something_else_is_not_replaced(quantized: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert release([str(quantized), "--data", str(data), "--out", str(tmp_path / "mine")]) == 2
    assert "holds no demo.bundle" in capsys.readouterr().err and (tmp_path / "mine" / "notes.txt").exists()
