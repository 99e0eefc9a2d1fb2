"""AIDE's layout and its quirks: what is read, what is refused.

"Quirk n" is number n of reference/model.md 2.7, "defect n" of reference/model.md 4.6, which lists
what public loaders do wrong.
"""

from __future__ import annotations

import pickle  # noqa: TID251, what a DataLoader does to a data set
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import CodriverError, ConfigError, SourceError
from codriver.frames.preprocess import MIN_BODY_PX, MIN_FACE_PX, crop
from codriver.resize import resize
from codriver.tasks import AIDE, STREAMS, VIEWS
from tests.aide import HEIGHT, WIDTH, edit_annotation
from training.data.clips import class_counts, load_clip, load_clips, open_clips, read_frame
from training.data.sampling import UNIFORM, Sampling
from training.model.uvm3tl import SIZES
from workshop.aide_splits import read_split

AIDE16 = Sampling("aide16")

pytestmark = pytest.mark.torch
CONFIG = SIZES["tiny"]
AIDES_FRAMES = [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 44]


@pytest.fixture
def broken(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the data set to break."""
    return Path(shutil.copytree(dataset, tmp_path / "data"))


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
    """Quirk 12."""
    for view in VIEWS:
        for number in range(20, 45):
            (broken / "AIDE_Dataset" / "0001" / f"{view}frames" / f"{number}.jpg").unlink()
    mask = first(broken).mask
    assert mask[:, -7:].all() and not mask[:, :-7].any()


def test_emotions_are_read_in_lower_case_and_forward_means_forward_moving(broken: Path) -> None:
    """Quirks 1 and 2."""
    edit_annotation(broken, "0001", lambda c: c.update(emotion_label="anger", vehicle_based_context_label="Forward"))
    labels = first(broken).labels
    assert [AIDE.tasks[k].labels[labels[k]] for k in (0, 3)] == ["Anger", "Forward Moving"]


def test_the_driver_is_matched_by_image_name_not_by_position(broken: Path) -> None:
    """Quirks 4 and 9."""
    expected = first(broken).frames["posture"]
    edit_annotation(broken, "0001", lambda c: c["pose_list"].reverse())
    np.testing.assert_array_equal(first(broken).frames["posture"], expected)


def test_a_frame_without_a_pose_is_masked_not_guessed(broken: Path) -> None:
    def forget(content: Any) -> None:
        content["pose_list"] = [pose for pose in content["pose_list"] if pose["imgname"] != "44.jpg"]

    edit_annotation(broken, "0001", forget)
    clip = first(broken)
    driver = [STREAMS.index(s) for s in ("face", "body", "posture", "gesture")]
    assert not clip.mask[driver, -1].any() and clip.mask[driver, :-1].all()
    assert not clip.frames["face"][-1].any()


def test_a_face_box_outside_the_frame_is_absent(broken: Path) -> None:
    """Quirks 3 and 5: nothing stands in for the face, no body crop and no other frame's face."""

    def move(content: Any) -> None:
        for pose in content["pose_list"]:
            pose["result"][0]["face_bbox"] = [500, 500, 20, 20]

    edit_annotation(broken, "0001", move)
    mask = first(broken).mask
    assert not mask[STREAMS.index("face")].any() and mask[STREAMS.index("body")].all()


def test_keypoints_become_shares_of_the_frame(dataset: Path) -> None:
    """Defect 5."""
    points = first(dataset).frames["posture"]
    assert points[..., :2].min() >= 0.0 and points[..., :2].max() <= 1.0 and points[..., 0].max() > 0.9


def test_a_label_that_is_no_class_names_the_file_and_the_classes(broken: Path) -> None:
    edit_annotation(broken, "0001", lambda c: c.update(driver_behavior_label="Juggling"))
    with pytest.raises(SourceError, match=r"0001\.json.*Juggling.*expected Smoking"):
        first(broken)


def test_a_missing_label_names_the_file(broken: Path) -> None:
    edit_annotation(broken, "0001", lambda c: c.pop("emotion_label"))
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


@pytest.mark.parametrize("sampling", [UNIFORM, AIDE16])
def test_both_samplings_pick_aides_frames_of_a_whole_clip(sampling: Sampling) -> None:
    assert sampling.pick(range(45)).tolist() == AIDES_FRAMES


def test_uniform_takes_the_nearest_instant_where_aides_rule_leaves_the_slot_absent() -> None:
    numbers = [number for number in range(45) if number != 20]
    assert UNIFORM.pick(numbers).min() >= 0
    assert [slot for slot, index in enumerate(AIDE16.pick(numbers)) if index < 0] == [AIDES_FRAMES.index(20)]


def test_a_short_clip_sampled_by_aides_rule_fills_the_newest_slots() -> None:
    """Quirk 12."""
    assert AIDE16.pick(range(7)).tolist() == [-1] * 13 + [0, 2, 5]


def test_an_unknown_sampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'random', expected uniform or aide16"):
        Sampling("random")


def test_frames_are_sorted_as_numbers_and_picked_by_number_in_every_view(broken: Path) -> None:
    """Quirk 4: a listing in another order, or a picture too many in one view, shifts nothing."""
    expected = first(broken).frames["left"]
    folder = broken / "AIDE_Dataset" / "0001" / "leftframes"
    for number in (9, 10, 0):
        content = (folder / f"{number}.jpg").read_bytes()
        (folder / f"{number}.jpg").unlink()
        (folder / f"{number}.jpg").write_bytes(content)
    shutil.copy(folder / "1.jpg", folder / "copy_of_1.jpg")
    np.testing.assert_array_equal(first(broken).frames["left"], expected)


def test_boxes_are_clamped_on_the_right_axes(broken: Path) -> None:
    """Quirks 6 and 7: x to the width, y to the height; a negative edge does not slice from the far side."""
    boxes = {"bbox": [-6, -4, 66, 100], "face_bbox": [WIDTH - 12, 4, 40, 14]}
    edit_annotation(broken, "0001", lambda c: [pose["result"][0].update(boxes) for pose in c["pose_list"]])
    clip = first(broken)
    incar = read_frame(broken / "AIDE_Dataset" / "0001" / "incarframes" / "44.jpg")
    assert clip.mask.all()
    np.testing.assert_array_equal(clip.frames["body"][-1], resize(incar[:, :60], CONFIG.crop_px))
    np.testing.assert_array_equal(clip.frames["face"][-1], resize(incar[4:18, WIDTH - 12 :], CONFIG.crop_px))


def test_a_box_below_the_frame_is_absent_though_the_frame_is_wider_than_high(broken: Path) -> None:
    """Quirk 6: y beyond the height but not beyond the width."""
    box = [4, HEIGHT + 2, 30, 20]
    edit_annotation(broken, "0001", lambda c: [pose["result"][0].update(bbox=box) for pose in c["pose_list"]])
    assert not first(broken).mask[STREAMS.index("body")].any()


@pytest.mark.parametrize(("least", "small"), [(MIN_BODY_PX, (9, 20)), (MIN_BODY_PX, (10, 19)), (MIN_FACE_PX, (10, 9))])
def test_a_crop_below_aides_least_size_is_absent(least: tuple[int, int], small: tuple[int, int]) -> None:
    """Quirk 7: body at least 10 wide and 20 high, face 10 and 10."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert crop(image, (2, 2, *small), least) is None and crop(image, (2, 2, *least), least) is not None


def test_every_clip_that_the_csv_lists_is_loaded(dataset: Path) -> None:
    """Quirk 8: a public script starts at clip 2441."""
    assert [clip.id for clip in load_clips(read_split(dataset, "train"), CONFIG, AIDE)] == [
        "0001",
        "0002",
        "0003",
        "0004",
    ]


def test_the_first_of_several_persons_is_the_driver(broken: Path) -> None:
    """Quirk 10."""
    expected = first(broken).frames["posture"]

    def crowd(content: Any) -> None:
        for pose in content["pose_list"]:
            pose["result"].append({"keypoints": [7.0] * 408, "bbox": [0, 0, 30, 30], "face_bbox": [0, 0, 12, 12]})

    edit_annotation(broken, "0001", crowd)
    np.testing.assert_array_equal(first(broken).frames["posture"], expected)


def test_a_frame_in_which_nobody_was_found_is_masked(broken: Path) -> None:
    """Quirk 10."""
    edit_annotation(broken, "0001", lambda c: c["pose_list"][44].update(result=[]))
    mask = first(broken).mask
    assert not mask[STREAMS.index("posture"), -1] and mask[STREAMS.index("incar"), -1]


def test_pixels_stay_blue_green_red_as_the_runtime_gives_them(broken: Path) -> None:
    """Quirk 11, and defect 5: bytes, which the graph itself scales."""
    blue = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    blue[..., 0] = 255
    path = broken / "AIDE_Dataset" / "0001" / "frontframes" / "44.jpg"
    path.write_bytes(cv2.imencode(".jpg", blue)[1].tobytes())
    pixels = first(broken).frames["front"][-1]
    assert pixels.dtype == np.uint8 and (pixels.mean(axis=(0, 1)) > [250, -1, -1]).all()
    assert pixels[..., 1:].max() < 5


def test_posture_is_the_body_and_gesture_the_hands_point_by_point(broken: Path) -> None:
    """Defects 1 and 2: names are not swapped, and axes are kept as (slot, point, x y score)."""

    def number(content: Any) -> None:
        for pose in content["pose_list"]:
            slot = int(pose["imgname"][:-4])
            points = [[point / 4, slot / 2, 0.5] for point in range(136)]
            pose["result"][0]["keypoints"] = [value for point in points for value in point]

    edit_annotation(broken, "0001", number)
    clip = first(broken)
    for stream, points in (("posture", range(26)), ("gesture", range(94, 136))):
        joints = clip.frames[stream]
        assert joints.shape == (16, len(points), 3)
        np.testing.assert_allclose(joints[..., 0], np.tile([p / 4 / WIDTH for p in points], (16, 1)), atol=1e-6)
        expected = np.repeat(np.array(AIDES_FRAMES)[:, None] / 2 / HEIGHT, len(points), axis=1)
        np.testing.assert_allclose(joints[..., 1], expected, atol=1e-6)
        assert (joints[..., 2] == 0.5).all()


def test_a_body_crop_is_one_picture_for_each_slot(dataset: Path) -> None:
    """Defect 3: not 192 channels of scrambled rows."""
    clip = first(dataset)
    for slot, number in enumerate(AIDES_FRAMES):
        incar = read_frame(dataset / "AIDE_Dataset" / "0001" / "incarframes" / f"{number}.jpg")
        np.testing.assert_array_equal(clip.frames["body"][slot], resize(incar[2:34, 8:48], CONFIG.crop_px))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_loading_never_flips_and_never_varies(dataset: Path, split: str) -> None:
    """Defect 4: what a split holds is what lies on the disk, each time; only augment.py varies, only in training."""
    clips = open_clips(read_split(dataset, split), CONFIG, AIDE)
    for view in VIEWS:
        path = clips.refs[0].folder / f"{view}frames" / "44.jpg"
        expected = resize(read_frame(path), CONFIG.view_px)
        for _ in range(3):
            np.testing.assert_array_equal(clips[0].frames[view][-1], expected)


def test_a_jpeg_whose_end_is_cut_off_is_refused(broken: Path) -> None:
    bad = broken / "AIDE_Dataset" / "0001" / "leftframes" / "44.jpg"
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"leftframes/44\.jpg cannot be decoded as an image: its end is cut off"):
        first(broken)


def test_a_missing_view_is_refused(broken: Path) -> None:
    shutil.rmtree(broken / "AIDE_Dataset" / "0001" / "frontframes")
    with pytest.raises(SourceError, match=r"frontframes is missing; expected a folder with 0\.jpg"):
        first(broken)


def test_a_frame_that_no_slot_needs_may_be_missing_in_one_view(broken: Path) -> None:
    (broken / "AIDE_Dataset" / "0001" / "rightframes" / "43.jpg").unlink()
    assert first(broken).mask.all()


def test_keypoints_of_another_count_are_refused(broken: Path) -> None:
    edit_annotation(broken, "0001", lambda c: c["pose_list"][7]["result"][0]["keypoints"].pop())
    with pytest.raises(SourceError, match=r"0001\.json keypoints of 7\.jpg is 407 numbers; expected 408 numbers"):
        first(broken)


def test_poses_that_name_no_frame_are_refused_not_masked_in_silence(broken: Path) -> None:
    edit_annotation(broken, "0001", lambda c: [pose.update(imgname="x" + pose["imgname"]) for pose in c["pose_list"]])
    with pytest.raises(SourceError, match=r"pose_list names x0\.jpg and 44 more, none of them a frame"):
        first(broken)


def test_lazy_clips_are_the_loaded_ones_and_survive_a_worker(dataset: Path) -> None:
    refs = read_split(dataset, "train")
    lazy = pickle.loads(pickle.dumps(open_clips(refs, CONFIG, AIDE)))
    assert len(lazy) == 4 and [clip.id for clip in lazy[1:3]] == ["0002", "0003"]
    for clip, expected in zip(lazy, load_clips(refs, CONFIG, AIDE), strict=True):
        assert all(np.array_equal(clip.frames[s], expected.frames[s]) for s in STREAMS)
        assert np.array_equal(clip.mask, expected.mask) and np.array_equal(clip.labels, expected.labels)


def test_classes_are_counted_alike_on_lazy_and_loaded_clips(dataset: Path) -> None:
    refs = read_split(dataset, "train")
    counts = class_counts(open_clips(refs, CONFIG, AIDE), AIDE)
    assert counts == class_counts(load_clips(refs, CONFIG, AIDE), AIDE)
    assert counts["traffic_context"] == [2, 1, 1]


def test_a_lazy_set_refuses_a_bad_annotation_before_anything_is_learned(broken: Path) -> None:
    edit_annotation(broken, "0004", lambda c: c.pop("emotion_label"))
    with pytest.raises(SourceError, match=r"0004\.json emotion_label is missing"):
        open_clips(read_split(broken, "train"), CONFIG, AIDE)
