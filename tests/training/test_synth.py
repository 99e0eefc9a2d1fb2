"""The generated data set is AIDE's layout to the letter, repeatable, and labelled as promised."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import cv2
import numpy as np
import pytest

from codriver.tasks import AIDE, KEYPOINTS, VIEWS
from tests import ROOT
from training.footage.clip import RenderedClip
from training.footage.labels import SHARES, annotated, plan, quota
from training.footage.layout import written_label
from training.footage.motion import FRAMES, rng_for
from training.footage.outside.ego import LANE_M, ego_path
from training.footage.outside.traffic import FLOWS, draw_traffic
from training.footage.outside.world import draw_street
from training.footage.spec import ClipSpec
from training.synth import main

pytestmark = pytest.mark.torch  # tqdm comes with the train extra

SIZE = ["--width", "128", "--height", "72"]
CALM = {
    "driver_emotion": "Peace",
    "driver_behavior": "Normal Driving",
    "traffic_context": "Smooth Traffic",
    "vehicle_behavior": "Forward Moving",
}

# Only what `make data` has: the rest of the workshop is still being installed while it draws.
BASE_ALONE = """
import sys
there = {"numpy", "cv2", "tqdm", "codriver", "workshop", "training", *sys.stdlib_module_names}

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in there:
            raise ModuleNotFoundError(f"no module named {name}: make data has what a device installs, and tqdm")

sys.meta_path.insert(0, NothingElse())
import training.synth
"""


def generate(out: Path, *options: str, seed: int = 3) -> Path:
    assert main([str(out), "--clips", "3", "--seed", str(seed), *SIZE, *options]) == 0
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("synth") / "one", "--workers", "1")


def annotations(data: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((data / "AIDE_Dataset/annotation").iterdir())]


def test_footage_is_drawn_by_what_a_device_installs() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BASE_ALONE], cwd=ROOT, env={"PYTHONPATH": "sdk:."}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_same_seed_gives_same_bytes_whatever_the_number_of_workers(data: Path, tmp_path: Path) -> None:
    assert contents(generate(tmp_path / "two", "--workers", "2")) == contents(data)


def test_another_seed_gives_other_frames(data: Path, tmp_path: Path) -> None:
    other = generate(tmp_path / "other", "--workers", "1", "--videos", "none", seed=4)
    for view in VIEWS:
        frame = f"AIDE_Dataset/0001/{view}frames/0.jpg"
        assert (data / frame).read_bytes() != (other / frame).read_bytes()


def test_files_and_folders_are_named_as_in_aide(data: Path) -> None:
    frames = [f"{view}frames/{k}.jpg" for view in VIEWS for k in range(45)]
    clip = [*frames, *(f"{view}.mp4" for view in VIEWS)]
    expected = {f"AIDE_Dataset/{k:04d}/{name}" for k in (1, 2, 3) for name in clip}
    expected |= {f"AIDE_Dataset/annotation/{k:04d}.json" for k in (1, 2, 3)}
    assert set(contents(data)) == expected | {"training.csv", "validation.csv", "testing.csv", "dataset.json"}


def test_lists_have_aides_header_and_name_every_clip_once(data: Path) -> None:
    lists = [(data / f"{split}.csv").read_text().splitlines() for split in ("training", "validation", "testing")]
    assert [rows[0] for rows in lists] == ["0,1"] * 3
    expected = [f"AIDE_Dataset/{k:04d}/,AIDE_Dataset/annotation/{k:04d}.json" for k in (1, 2, 3)]
    assert sorted(row for rows in lists for row in rows[1:]) == expected


def test_an_annotation_has_45_poses_with_136_points_and_two_boxes(data: Path) -> None:
    for annotation in annotations(data):
        poses = annotation["pose_list"]
        assert [pose["imgname"] for pose in poses] == [f"{k}.jpg" for k in range(45)]
        for pose in poses:
            person = pose["result"][0]
            assert len(person["keypoints"]) == 3 * KEYPOINTS
            assert len(person["bbox"]) == len(person["face_bbox"]) == 4


def test_labels_are_written_in_aides_spelling(data: Path) -> None:
    for annotation in annotations(data):
        assert annotation["emotion_label"] == annotation["emotion_label"].lower()
        for task in AIDE.tasks[1:]:
            assert annotation[task.annotation_key] in (*task.labels, "Forward")
    assert written_label("vehicle_behavior", "Forward Moving", 10) == "Forward"
    assert written_label("vehicle_behavior", "Forward Moving", 11) == "Forward Moving"


def test_a_video_holds_the_45_frames_at_their_size_and_rate(data: Path) -> None:
    for view in VIEWS:
        video = cv2.VideoCapture(str(data / f"AIDE_Dataset/0001/{view}.mp4"))
        assert video.get(cv2.CAP_PROP_FPS) == 15
        frames = [frame for done, frame in iter(video.read, (False, None)) if done]
        assert [frame.shape for frame in frames] == [(72, 128, 3)] * 45


def test_only_test_clips_get_videos_when_asked(tmp_path: Path) -> None:
    out = generate(tmp_path / "few", "--workers", "1", "--videos", "test")
    listed = (out / "testing.csv").read_text().splitlines()[1:]
    assert {path.parent.name for path in out.rglob("*.mp4")} == {row.split("/")[1] for row in listed}


def test_dataset_json_counts_the_classes_and_names_no_folder(data: Path) -> None:
    text = (data / "dataset.json").read_text()
    summary = json.loads(text)
    assert (summary["schema"], summary["seed"], summary["arguments"]["clips"]) == (1, 3, 3)
    assert sum(summary["classes"]["training"]["driver_emotion"].values()) == summary["splits"]["training"] == 1
    assert str(data) not in text


def test_a_folder_with_something_in_it_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main([str(tmp_path), "--clips", "1", "--seed", "0"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--clips", "0"],
        ["--width", "321"],
        ["--jpeg-quality", "101"],
        ["--seed", "-1"],
        ["--label-noise", "1"],
        ["--coupling", "-1"],
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: list[str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "out"), "--clips", "1", "--seed", "0", *wrong]) == 2
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_whole_clips_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "training.synth", str(out), "--clips", "400", "--seed", "1", *SIZE]
    root = ROOT
    process = subprocess.Popen(command, cwd=root, env={"PYTHONPATH": "sdk:."}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300  # a busy machine takes long to start three interpreters
    while not list(out.glob("AIDE_Dataset/0*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert sorted(path.name for path in out.iterdir()) == ["AIDE_Dataset"]
    for clip in out.glob("AIDE_Dataset/0*"):
        assert [len(list((clip / f"{view}frames").iterdir())) for view in VIEWS] == [45] * 4


def test_every_split_holds_the_class_shares_exactly() -> None:
    clips = plan(200, seed=5)
    for split, size in {"training": 130, "validation": 30, "testing": 40}.items():
        for task in AIDE.tasks:
            counts = Counter(labels[task.name] for s, labels in clips if s == split)
            assert [counts[label] for label in task.labels] == quota(SHARES[task.name], size)


def test_noise_is_in_the_annotation_alone_and_never_in_a_test_clip(data: Path, tmp_path: Path) -> None:
    noisy = generate(tmp_path / "noisy", "--workers", "1", "--label-noise", "0.9")
    pixels, others = contents(data), contents(noisy)
    changed = {name for name in pixels if pixels[name] != others[name]}
    (tested,) = [row.split(",")[1] for row in (data / "testing.csv").read_text().splitlines()[1:]]
    annotations = {f"AIDE_Dataset/annotation/{k:04d}.json" for k in (1, 2, 3)} - {tested}
    assert changed == annotations | {"dataset.json"}
    assert json.loads(others["dataset.json"])["arguments"]["label_noise"] == 0.9
    assert "label_noise" not in json.loads(pixels["dataset.json"])["arguments"]


def test_noise_is_the_share_that_was_asked_for_and_spreads_evenly() -> None:
    clips = plan(6000, seed=5)
    said = annotated(clips, 5, 0.2)
    learned = [(labels, row) for (split, labels), row in zip(clips, said, strict=True) if split != "testing"]
    assert all(row == labels for (split, labels), row in zip(clips, said, strict=True) if split == "testing")
    for task in AIDE.tasks:
        wrong = [(task.index(row[task.name]) - task.index(labels[task.name])) % task.classes for labels, row in learned]
        counts = np.bincount(wrong, minlength=task.classes) / len(wrong)
        assert counts[0] == pytest.approx(0.8, abs=0.02)
        assert counts[1:] == pytest.approx([0.2 / (task.classes - 1)] * (task.classes - 1), abs=0.015)


def test_coupling_turns_up_how_labels_go_together_where_it_is_learned_from() -> None:
    def together(coupling: float, tested: bool) -> float:
        """How much more often than by chance anger and a jam meet."""
        rows = [labels for split, labels in plan(2000, 5, coupling) if (split == "testing") == tested]
        angry = np.array([row["driver_emotion"] == "Anger" for row in rows])
        jam = np.array([row["traffic_context"] == "Traffic Jam" for row in rows])
        return float((angry & jam).mean() / angry.mean() / jam.mean())

    assert together(0.0, False) == pytest.approx(1.0, abs=0.2)
    assert together(0.0, False) < together(1.0, False) < together(3.0, False)
    assert together(3.0, True) == pytest.approx(together(1.0, True), abs=0.8)
    assert plan(60, 5, 1.0) == plan(60, 5)


def test_emotion_shares_are_aides() -> None:
    assert quota(SHARES["driver_emotion"], 1884) == pytest.approx([259, 1123, 208, 155, 139], abs=1)


def test_every_pair_of_classes_of_two_tasks_occurs() -> None:
    clips = [labels for _, labels in plan(2500, seed=5)]
    for first, second in combinations(AIDE.tasks, 2):
        seen = {(labels[first.name], labels[second.name]) for labels in clips}
        assert seen == set(product(first.labels, second.labels))


def test_the_face_box_holds_the_face_and_lies_in_the_frame() -> None:
    for number, behavior in enumerate(AIDE["driver_behavior"].labels):
        cabin = RenderedClip(ClipSpec(1, number, {**CALM, "driver_behavior": behavior}, 128, 72)).cabin
        face, low = cabin.keypoints[:, 26:94, :2], cabin.face_box[:, None, :2]
        high = low + cabin.face_box[:, None, 2:]
        assert np.all((face >= low) & (face <= high))
        assert np.all((low >= 0) & (high <= [128, 72]))


def test_confidence_scores_are_as_low_as_aides() -> None:
    scores = RenderedClip(ClipSpec(1, 1, CALM, 128, 72)).cabin.keypoints[..., 2]
    assert 0.15 < scores.mean() < 0.35
    assert scores.min() > 0 and scores.max() < 1 and scores.std() > 0.1


@pytest.mark.parametrize("view", VIEWS)
def test_full_hd_shows_the_same_scene(view: str) -> None:
    small = next(iter(RenderedClip(ClipSpec(2, 7, CALM, 320, 180)).frames(view, [20])))
    large = next(iter(RenderedClip(ClipSpec(2, 7, CALM, 1920, 1080)).frames(view, [20])))
    assert large.shape == (1080, 1920, 3)
    shrunk = cv2.resize(large, (320, 180), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(float) - small).mean() < 8


def test_each_vehicle_behaviour_moves_the_car_as_its_name_says() -> None:
    for number in range(40):
        path = {label: ego_path(label, rng_for(8, number)) for label in AIDE["vehicle_behavior"].labels}
        net = {
            label: (p.x[-1] - p.x[0], p.y[-1] - p.y[0], np.degrees(p.yaw[-1] - p.yaw[0])) for label, p in path.items()
        }
        assert abs(net["Turning"][2]) > 25
        assert net["Backward Moving"][0] < -2.5 and abs(net["Backward Moving"][2]) < 10
        assert abs(net["Changing Lane"][1]) > 0.8 * LANE_M and abs(net["Changing Lane"][2]) < 7
        assert net["Forward Moving"][0] > 4 and abs(net["Forward Moving"][2]) < 5
        assert np.ptp(path["Parking"].x[-8:]) < 0.05


@pytest.mark.parametrize("context", FLOWS)
def test_no_vehicle_drives_into_the_car(context: str) -> None:
    for number, behavior in enumerate(AIDE["vehicle_behavior"].labels * 4):
        rng = rng_for(6, number)
        ego = ego_path(behavior, rng)
        for vehicle in draw_traffic(context, draw_street(rng), ego, rng):
            assert np.hypot(vehicle.x - ego.x, vehicle.y - ego.y).min() > 1.6


def test_a_clip_has_as_many_frames_as_it_says() -> None:
    clip = RenderedClip(ClipSpec(1, 1, CALM, 128, 72))
    assert len(list(clip.frames("front"))) == len(clip.poses()) == FRAMES
