"""What `make try` shows: the bundle proves itself and answers on the clips, and its card tells the truth."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codriver.bundle.folder import Bundle
from codriver.bundle.variants import why_not
from codriver.cli.main import main as codriver
from codriver.device.cpu import cpu_features
from codriver.perceiver import Perceiver
from codriver.sources import open_source
from codriver.tasks import AIDE, VIEWS
from codriver.verify.golden import check_golden
from tests import ROOT

FOLDER = ROOT / "samples" / "try"
BUNDLE, CARD = FOLDER / "demo.bundle", (FOLDER / "README.md").read_text(encoding="utf-8")
CLIPS = sorted(FOLDER.glob("clips/*.json"))
MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def perceiver() -> Iterator[Perceiver]:
    if all(why_not(variant, cpu_features()) for variant in Bundle.open(BUNDLE).manifest.variants):
        pytest.skip("the released bundle is for x86")
    with Perceiver.open(BUNDLE, threads=1) as opened:
        yield opened


def test_it_is_small_enough_to_be_cloned_by_everybody() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= MOST_BYTES


def test_the_line_of_the_makefile_names_what_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ntry:")[1].split("\n\n")[0]
    paths = re.findall(r"samples/\S+", recipe)
    assert [sorted(ROOT.glob(path)) for path in paths] == [[BUNDLE], CLIPS]


@pytest.mark.parametrize(
    ("setting", "argument", "port"),
    [("", "", 8765), ("9000", "", 9000), ("", "PORT=", 8765), ("9000", "PORT=9001", 9001)],
)
def test_an_empty_port_is_the_usual_one(setting: str, argument: str, port: int) -> None:
    command = ["make", "--dry-run", "try", *([argument] if argument else [])]
    said = subprocess.check_output(command, cwd=ROOT, env=os.environ | {"PORT": setting}, text=True)
    assert said.splitlines()[-1].endswith(f"--port {port} --open")


def test_the_card_says_what_the_manifest_says() -> None:
    manifest = Bundle.open(BUNDLE).manifest
    assert manifest.training["kind"] in CARD and "synthetic" in manifest.training["kind"]
    alone = manifest.metrics["frames_alone"]["test"]  # nothing where another finder saw for the run's scores
    how = "from frames alone" if alone else "with the data set's boxes and keypoints"
    assert f"`{manifest.id}`" in CARD
    assert f"{manifest.metrics['clips']} held-out test clips, not those here, {how}" in CARD
    assert f"ONNX Runtime: {', '.join(variant.name for variant in manifest.variants)} |" in CARD
    trained = manifest.training["clips"]
    assert f"| {trained['train']} clips, {trained['val']} for validation |" in CARD
    for task in manifest.tasks:
        scores = (alone or manifest.metrics["fp32"])[task.name]
        told = re.search(rf"^\| {AIDE[task.name].title} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", CARD, re.MULTILINE)
        assert told, task.name
        exact = [100 * scores[name] for name in ("accuracy", "macro_f1", "majority")]
        assert [float(cell) for cell in told.groups()] == pytest.approx(exact, abs=0.051)


def test_the_card_lists_the_clips_that_are_there_and_classes_that_exist() -> None:
    rows = [row.split(" | ") for row in re.findall(r"^\| (\d{4} \| .*) \|$", CARD, re.MULTILINE)]
    assert [row[0] for row in rows] == [path.stem for path in CLIPS] and len(rows) >= 2
    assert all(label in task.labels for row in rows for label, task in zip(row[1:], AIDE.tasks, strict=True))


def test_the_bundle_proves_itself(perceiver: Perceiver) -> None:
    found = check_golden(perceiver)
    assert {some.task for some in found} >= {*AIDE.names, "presence without a driver"}, found
    assert len(found) == len(AIDE.tasks) + 2 and all(some.ok for some in found), found
    assert codriver(["verify", str(BUNDLE), "--steps", "0"]) == 0


@pytest.mark.parametrize("clip", CLIPS, ids=lambda path: path.stem)
def test_it_answers_on_every_clip_from_frames_alone(perceiver: Perceiver, clip: Path) -> None:
    perceiver.reset()
    with open_source(str(clip)) as source:
        sets = list(source)
        assert source.problems == [] and source.views and set(source.views) == set(VIEWS)
    assert [at.t for at in sets] == pytest.approx([number / 15 for number in range(45)], abs=1e-3)
    percepts = [perceiver.step(at.frames, t=at.t) for at in sets]
    assert percepts[-1].driver is not None and all(result.valid for result in percepts[-1].tasks.values())
