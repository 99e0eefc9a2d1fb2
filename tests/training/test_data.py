"""AIDE's layout and its quirks: what is read, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import CodriverError, SourceError
from codriver.preprocess import resize
from codriver.sources.split import read_split
from codriver.tasks import AIDE, STREAMS, VIEWS
from training.data import load_clip, read_frame
from training.model import SIZES

pytestmark = pytest.mark.torch
CONFIG = SIZES["tiny"]
AIDES_FRAMES = [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 44]


@pytest.fixture
def broken(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the data set to break."""
    return Path(shutil.copytree(dataset, tmp_path / "data"))


def edit(root: Path, name: str, change: Any) -> None:
    path = root / "AIDE_Dataset" / "annotation" / f"{name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def first(root: Path) -> Any:
    return load_clip(read_split(root, "train")[0], CONFIG, AIDE)


def test_a_clip_of_45_frames_fills_its_slots_as_aide_samples_it(dataset: Path) -> None:
    clip = first(dataset)
    folder = dataset / "AIDE_Dataset" / "0001"
    for slot, number in enumerate(AIDES_FRAMES):
        expected = resize(read_frame(folder / "frontframes" / f"{number}.jpg"), CONFIG.view_px)
        np.testing.assert_array_equal(clip.frames["front"][slot], expected)
    assert clip.mask.all() and clip.mask.shape == (len(STREAMS), 16)


def test_a_short_clip_leaves_its_oldest_slots_absent(broken: Path) -> None:
    for view in VIEWS:
        for number in range(20, 45):
            (broken / "AIDE_Dataset" / "0001" / f"{view}frames" / f"{number}.jpg").unlink()
    mask = first(broken).mask
    assert mask[:, -7:].all() and not mask[:, :-7].any()


def test_emotions_are_read_in_lower_case_and_forward_means_forward_moving(broken: Path) -> None:
    edit(broken, "0001", lambda c: c.update(emotion_label="anger", vehicle_based_context_label="Forward"))
    labels = first(broken).labels
    assert [AIDE.tasks[k].labels[labels[k]] for k in (0, 3)] == ["Anger", "Forward Moving"]


def test_the_driver_is_matched_by_image_name_not_by_position(broken: Path) -> None:
    expected = first(broken).frames["posture"]
    edit(broken, "0001", lambda c: c["pose_list"].reverse())
    np.testing.assert_array_equal(first(broken).frames["posture"], expected)


def test_a_frame_without_a_pose_is_masked_not_guessed(broken: Path) -> None:
    def forget(content: Any) -> None:
        content["pose_list"] = [pose for pose in content["pose_list"] if pose["imgname"] != "44.jpg"]

    edit(broken, "0001", forget)
    clip = first(broken)
    driver = [STREAMS.index(s) for s in ("face", "body", "posture", "gesture")]
    assert not clip.mask[driver, -1].any() and clip.mask[driver, :-1].all()
    assert not clip.frames["face"][-1].any()


def test_a_face_box_outside_the_frame_is_absent(broken: Path) -> None:
    def move(content: Any) -> None:
        for pose in content["pose_list"]:
            pose["result"][0]["face_bbox"] = [500, 500, 20, 20]

    edit(broken, "0001", move)
    mask = first(broken).mask
    assert not mask[STREAMS.index("face")].any() and mask[STREAMS.index("body")].all()


def test_keypoints_become_shares_of_the_frame(dataset: Path) -> None:
    points = first(dataset).frames["posture"]
    assert points[..., :2].min() >= 0.0 and points[..., :2].max() <= 1.0 and points[..., 0].max() > 0.9


def test_a_label_that_is_no_class_names_the_file_and_the_classes(broken: Path) -> None:
    edit(broken, "0001", lambda c: c.update(driver_behavior_label="Juggling"))
    with pytest.raises(SourceError, match=r"0001\.json.*Juggling.*expected Smoking"):
        first(broken)


def test_a_missing_label_names_the_file(broken: Path) -> None:
    edit(broken, "0001", lambda c: c.pop("emotion_label"))
    with pytest.raises(SourceError, match=r"0001\.json.*emotion_label is missing"):
        first(broken)


def test_an_unreadable_jpeg_names_the_file(broken: Path) -> None:
    bad = broken / "AIDE_Dataset" / "0001" / "leftframes" / "44.jpg"
    bad.write_bytes(b"not a picture")
    with pytest.raises(SourceError, match=r"leftframes/44\.jpg cannot be decoded"):
        first(broken)


def test_a_missing_frame_of_one_view_names_the_file(broken: Path) -> None:
    (broken / "AIDE_Dataset" / "0001" / "rightframes" / "44.jpg").unlink()
    with pytest.raises(SourceError, match=r"rightframes/44\.jpg is missing"):
        first(broken)


def test_a_row_whose_clip_is_missing_names_the_row(broken: Path) -> None:
    shutil.rmtree(broken / "AIDE_Dataset" / "0002")
    with pytest.raises(SourceError, match=r"training\.csv, row 3.*0002"):
        read_split(broken, "train")


def test_training_refuses_bad_data_and_leaves_no_run(broken: Path, tmp_path: Path, capsys: Any) -> None:
    from training.train import main

    (broken / "AIDE_Dataset" / "0003" / "frontframes" / "44.jpg").write_bytes(b"")
    code = main(["--data", str(broken), "--out", str(tmp_path / "run"), "--size", "tiny", "--epochs", "1"])
    assert code == 2 and "0003/frontframes/44.jpg" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_every_error_about_data_is_a_codriver_error() -> None:
    assert issubclass(SourceError, CodriverError)
