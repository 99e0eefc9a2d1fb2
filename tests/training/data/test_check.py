"""The check command: every problem of a data set in one report, in the words with which training refuses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from codriver.errors import SourceError
from codriver.tasks import AIDE, VIEWS
from tests.aide import edit_annotation, write_dataset
from training.data.__main__ import main
from training.data.check import CheckConfig, DataReport, check_dataset, inspect, to_dict, to_text
from training.data.clips import load_clip
from training.model.uvm3tl import SIZES
from workshop.aide_splits import ClipRef, first_of

pytestmark = pytest.mark.torch


def person(content: Any, number: int) -> Any:
    return content["pose_list"][number]["result"][0]


def plant_problems(root: Path) -> dict[str, str]:
    """One fault in each of the first clips. Returns clip -> what has to be said of it."""
    folder = root / "AIDE_Dataset"
    (folder / "0001" / "frontframes" / "44.jpg").unlink()
    (folder / "0002" / "leftframes" / "5.jpg").write_bytes(b"\xff\xd8 no picture")
    edit_annotation(root, "0003", lambda c: c.update(driver_behavior_label="Juggling"))
    edit_annotation(root, "0004", lambda c: person(c, 3)["keypoints"].append(1.0))
    shutil.rmtree(folder / "0005" / "rightframes")
    (folder / "annotation" / "0006.json").write_text("{")
    edit_annotation(root, "0007", lambda c: c.pop("emotion_label"))
    for number in range(30, 45):
        (folder / "0008" / "incarframes" / f"{number}.jpg").unlink()
    return {
        "0001": "0001/frontframes/44.jpg is missing; expected a frame",
        "0002": "0002/leftframes/5.jpg cannot be decoded",
        "0003": "annotation/0003.json driver_behavior_label is 'Juggling'; expected Smoking",
        "0004": "annotation/0004.json keypoints of 3.jpg is 409 numbers; expected 408",
        "0005": "0005/rightframes is missing; expected a folder",
        "0006": "annotation/0006.json cannot be read",
        "0007": "annotation/0007.json emotion_label is missing",
        "0008": "0008/incarframes/32.jpg is missing",
    }


def plant_notes(root: Path) -> None:
    """What training copes with, in clip 0009."""

    def change(content: Any) -> None:
        content.update(emotion_label="ANGER", vehicle_based_context_label="Forward")
        person(content, 44)["face_bbox"] = None
        person(content, 41)["face_bbox"] = [500, 500, 20, 20]
        person(content, 38)["bbox"] = [-5, -5, 40, 40]
        person(content, 35)["keypoints"] = None
        content["pose_list"][32]["result"].append({})
        content["pose_list"][29]["result"] = []
        del content["pose_list"][26]
        content["pose_list"].reverse()

    edit_annotation(root, "0009", change)
    for view in VIEWS:
        (root / "AIDE_Dataset" / "0009" / f"{view}frames" / "1.jpg").unlink()


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = write_dataset(tmp_path_factory.mktemp("broken"), clips=12)
    expected = plant_problems(root)
    plant_notes(root)
    with (root / "validation.csv").open("a") as file:
        file.write("AIDE_Dataset/0010/,AIDE_Dataset/annotation/0010.json\n")  # of training.csv
        file.write("AIDE_Dataset/0099/,AIDE_Dataset/annotation/0099.json\n")
    return root, expected


@pytest.fixture(scope="module")
def report(faults: tuple[Path, dict[str, str]]) -> DataReport:
    return check_dataset(faults[0], CheckConfig(), lambda clips, total: clips)


def test_every_planted_problem_is_reported_and_nothing_else(
    report: DataReport, faults: tuple[Path, dict[str, str]]
) -> None:
    said = [str(problem) for some in report.problems.values() for problem in some]
    planted = [*faults[1].values(), "row 3: lists AIDE_Dataset/0010", "0099 does not exist", "so does validation.csv"]
    assert all(any(text in line for line in said) for text in planted)
    assert all(any(text in line for text in planted) or "0008/incarframes" in line for line in said)


def test_training_refuses_each_clip_with_the_same_message(faults: tuple[Path, dict[str, str]]) -> None:
    root, expected = faults
    for name, text in expected.items():
        ref = ClipRef(name, root / "AIDE_Dataset" / name, root / "AIDE_Dataset" / "annotation" / f"{name}.json")
        problems = inspect(ref, CheckConfig()).problems
        with pytest.raises(SourceError) as error:
            load_clip(ref, SIZES["tiny"], AIDE)
        assert text in str(problems[0])
        assert str(error.value) == first_of(problems)


def test_what_training_copes_with_is_counted_and_no_problem(report: DataReport) -> None:
    counts = {note.kind: note.count for note in report.notes if "0009" in str(note.file)}
    assert counts == {
        "fewer than 45 frames": 44,
        "frames without a driver, masked": 2,  # nobody found, and no entry
        "frames with several persons, the first is taken": 1,
        "poses of frames that are not there, unused": 1,
        "frames without a face box, masked": 1,
        "face boxes that cover less than 10x10 px of the frame, masked": 1,
        "body boxes that reach outside the frame, clamped": 1,
        "frames without keypoints, masked": 1,
    }


def test_a_sound_data_set_has_no_problem_and_its_classes_are_counted(dataset: Path, capsys: Any) -> None:
    assert main(["check", str(dataset), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == [] and found["clips"] == {"train": 4, "val": 1, "test": 1}
    assert found["class_counts"]["train"]["traffic_context"] == [2, 1, 1]
    assert found["frames_read"] == 6 * 4 * 16


def test_all_frames_are_read_when_asked_for(dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    (root / "AIDE_Dataset" / "0001" / "leftframes" / "43.jpg").write_bytes(b"")
    quiet = lambda clips, total: clips  # noqa: E731
    assert check_dataset(root, CheckConfig(), quiet).found == 0  # no slot needs frame 43
    report = check_dataset(root, CheckConfig(all_frames=True), quiet)
    assert report.found == 1 and report.frames == 6 * 4 * 45


def test_problems_are_printed_in_full_with_exit_code_1(faults: tuple[Path, dict[str, str]], capsys: Any) -> None:
    assert main(["check", str(faults[0])]) == 1
    text = capsys.readouterr().out
    assert all(line in text for line in faults[1].values())
    assert "testing.csv" not in text and "Smoking" in text


def test_a_folder_that_is_no_data_set_is_exit_code_2(tmp_path: Path, capsys: Any) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"training.data: {tmp_path} is no data set: ")


def test_a_missing_csv_does_not_stop_the_check(dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    (root / "testing.csv").unlink()
    report = check_dataset(root, CheckConfig(), lambda clips, total: clips)
    assert report.clips == {"train": 4, "val": 1, "test": 0}
    assert [str(p).split(";")[0] for p in report.problems["test"]] == [f"{root / 'testing.csv'} is missing"]


def test_a_copy_of_a_clip_under_another_number_is_noted(dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    shutil.copy(root / "AIDE_Dataset/annotation/0001.json", root / "AIDE_Dataset/annotation/0006.json")
    report = check_dataset(root, CheckConfig(), lambda clips, total: clips)
    assert [note.kind for note in report.notes] == ["annotations identical to 0001.json: a copied clip?"]


def test_keypoints_that_are_not_finite_are_counted_with_file_and_frame(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, clips=3)

    def change(content: Any) -> None:
        person(content, 7)["keypoints"] = [float("nan")] * 408
        person(content, 9)["keypoints"][3 * 5 + 1] = float("inf")  # y of the sixth point

    edit_annotation(root, "0002", change)
    report = check_dataset(root, CheckConfig(), lambda clips, total: clips)
    (note,) = [note for note in report.notes if "not finite" in note.kind]
    assert report.found == 0 and note.file.name == "0002.json"
    assert (note.count, sorted(note.frames)) == (2, ["7.jpg: 136", "9.jpg: 1"])
    assert "0002.json 7.jpg: 136" in to_text(report)
    assert to_dict(report)["notes"][0]["frames"]


def test_a_frame_that_was_cut_short_is_refused_in_the_readers_words(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, clips=3)
    frame = root / "AIDE_Dataset" / "0001" / "incarframes" / "44.jpg"
    frame.write_bytes(frame.read_bytes()[:-200])
    report = check_dataset(root, CheckConfig(), lambda clips, total: clips)
    (said,) = [str(problem) for some in report.problems.values() for problem in some]
    assert "44.jpg cannot be decoded as an image: its end is cut off; expected a JPEG or PNG, whole" in said
