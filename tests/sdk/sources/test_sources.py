"""Sources: clips, videos and cameras become the same frame sets."""

import json
import re
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from codriver.capture import reader
from codriver.capture.camera import Camera
from codriver.errors import CodriverError, ConfigError, SourceError
from codriver.sources import Cameras, ClipFolder, Videos, open_source
from codriver.sources.spelling import read_views, split_views
from tests.clips import TRUTH, FakeCamera, make_clip, make_video, pose, write_annotation


def grey(image):
    """The number that tests.clips.frame wrote into the picture."""
    return round((float(image[-10:].mean()) - 20) / 4)


def test_a_clip_gives_its_frames_in_the_order_of_their_numbers(tmp_path):
    with open_source(str(make_clip(tmp_path, frames=12))) as source:
        steps = list(source)
    assert [grey(step.images["front"]) for step in steps] == list(range(12))
    assert [step.t for step in steps] == [number / 15 for number in range(12)]
    assert source.length == 12 and source.rate_hz == 15


def test_a_driver_belongs_to_the_frame_that_the_annotation_names(tmp_path):
    clip = make_clip(tmp_path, frames=4)
    write_annotation(tmp_path, [pose(3), pose(1), pose(0)])
    drivers = [step.driver for step in ClipFolder(clip)]
    assert [None if driver is None else driver.face_px[0] for driver in drivers] == [0, 1, None, 3]
    assert drivers[3].keypoints.shape == (136, 3) and drivers[3].keypoints.dtype == np.float32


def test_a_clip_without_annotation_has_no_driver_and_no_truth(tmp_path):
    source = ClipFolder(make_clip(tmp_path, annotated=False))
    assert all(step.driver is None for step in source)
    assert source.truth == {} and source.problems == []


def test_labels_are_read_as_aide_writes_them(tmp_path):
    assert ClipFolder(make_clip(tmp_path)).truth == TRUTH


def test_a_label_that_is_no_class_is_a_problem_and_no_truth(tmp_path):
    clip = make_clip(tmp_path)
    write_annotation(tmp_path, [], emotion_label="bored")
    source = ClipFolder(clip)
    assert "driver_emotion" not in source.truth
    assert "emotion_label is 'bored'" in source.problems[0]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"imgname": "0.jpg", "result": []},
        {"imgname": "0.jpg"},
        7,
        {"imgname": "0.jpg", "result": [{"keypoints": [1, 2, 3]}]},
        {"imgname": "0.jpg", "result": [{"bbox": [1, 2, float("nan"), 4]}]},
    ],
)
def test_a_driver_that_cannot_be_read_is_a_problem_and_the_clip_goes_on(tmp_path, entry):
    clip = make_clip(tmp_path, frames=2)
    write_annotation(tmp_path, [entry, pose(1)])
    source = ClipFolder(clip)
    assert [step.driver is None for step in source] == [True, False]
    assert len(source.problems) == 1


def test_an_annotation_that_is_not_json_is_a_problem_unless_strict(tmp_path):
    clip = make_clip(tmp_path)
    (tmp_path / "annotation" / "0001.json").write_text("{")
    assert "0001.json" in ClipFolder(clip).problems[0]
    with pytest.raises(SourceError, match=r"0001\.json"):
        ClipFolder(clip, strict=True)


WHOLE = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (54, 96, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("content", [b"", b"not a JPEG", b"\xff\xd8\xff\xe0 cut off", WHOLE[: len(WHOLE) // 2]])
def test_an_unreadable_frame_is_left_out_and_named(tmp_path, content):
    clip = make_clip(tmp_path, frames=3)
    (clip / "leftframes" / "1.jpg").write_bytes(content)
    assert [list(step.unusable) for step in ClipFolder(clip)] == [[], ["left"], []]
    source = ClipFolder(clip)
    assert [set(step.frames) >= {"left"} for step in source] == [True, False, True]
    assert str(clip / "leftframes" / "1.jpg") in source.problems[0]


def test_an_unreadable_frame_ends_a_strict_clip(tmp_path):
    clip = make_clip(tmp_path, frames=3)
    (clip / "leftframes" / "1.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=r"leftframes.1\.jpg is not a readable image"):
        list(ClipFolder(clip, strict=True))


def test_a_missing_frame_leaves_its_view_absent_at_that_instant_only(tmp_path):
    clip = make_clip(tmp_path, frames=3)
    (clip / "incarframes" / "1.jpg").unlink()
    steps = list(ClipFolder(clip))
    assert [("incar" in step.frames, step.driver is not None) for step in steps] == [(1, 1), (0, 0), (1, 1)]
    assert steps[1].absent == {"incar": "frame 1 is missing"}


def test_a_clip_may_lack_views(tmp_path):
    source = ClipFolder(make_clip(tmp_path, views=("front", "left")))
    assert source.views == ("front", "left")
    assert all(set(step.frames) == {"front", "left"} and step.absent == {} for step in source)


def test_a_folder_of_clips_is_refused_with_one_of_them_as_example(tmp_path):
    clip = make_clip(tmp_path)
    with pytest.raises(SourceError, match=f"holds 1 clips.*{clip}"):
        open_source(str(tmp_path))


def test_videos_give_the_times_of_their_containers(tmp_path):
    paths = {view: make_video(tmp_path / f"{view}.mp4", 5, 10, view) for view in ("incar", "front")}
    with open_source(",".join(f"{view}={path}" for view, path in paths.items())) as source:
        steps = list(source)
    assert [step.t for step in steps] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=1e-3)
    assert all(f.t == step.t and f.clock == "container" for step in steps for f in step.frames.values())
    assert all(set(step.frames) == {"incar", "front"} for step in steps)
    assert source.length == 5 and source.problems == []


def test_a_video_that_ends_early_is_absent_from_then_on(tmp_path):
    paths = {"incar": make_video(tmp_path / "a.mp4", 12), "front": make_video(tmp_path / "b.mp4", 6)}
    with Videos(paths) as source:
        steps = list(source)
    assert [("front" in step.frames) for step in steps] == [True] * 6 + [False] * 6
    assert steps[-1].absent == {"front": "b.mp4 ended at 0.33 s"}
    assert source.problems == ["front: b.mp4 ended at 0.33 s"]


def test_a_slower_video_is_in_the_steps_of_its_own_times(tmp_path):
    paths = {"incar": make_video(tmp_path / "a.mp4", 12, 30), "front": make_video(tmp_path / "b.mp4", 6, 15)}
    with Videos(paths) as source:
        steps = list(source)
    assert [("front" in step.frames) for step in steps] == [True, False] * 6
    times = [step.t for step in steps]
    assert times == sorted(set(times)) and source.problems == []


def test_a_file_that_is_no_video_is_refused_by_name(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(SourceError, match=r"view 'incar'.*a\.mp4 is no video"):
        open_source(f"incar={tmp_path / 'a.mp4'}")
    with pytest.raises(SourceError, match=r"there is no file .*b\.mp4"):
        open_source(f"incar={tmp_path / 'b.mp4'}")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", ConfigError, "got nothing"),
        ("nowhere", SourceError, "there is nothing at nowhere"),
        ("cabin=0", ConfigError, "'cabin' is not a view"),
        ("incar=0,incar=1", ConfigError, "came twice"),
        ("incar=0,front=a.mp4", ConfigError, "mixes cameras and files"),
        ("incar=", ConfigError, "is not VIEW=WHERE"),
        ("incar=0,1", ConfigError, "'1' is not VIEW=WHERE"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(text, error, says):
    with pytest.raises(error, match=says):
        open_source(text)


def test_one_file_alone_is_asked_for_its_view(tmp_path):
    with pytest.raises(SourceError, match="say which view it is"):
        open_source(str(make_video(tmp_path / "a.mp4", 2)))


def test_views_are_split_with_spaces_forgiven():
    assert split_views("front = a.mp4, incar=rtsp://x") == {"front": "a.mp4", "incar": "rtsp://x"}


CSI = (
    "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM), width=1280, height=720 ! nvvidconv ! "
    "video/x-raw, format=BGRx ! videoconvert ! appsink drop=1"
)


def test_commas_part_views_only_where_another_views_name_follows():
    assert split_views(f"incar={CSI},front=0") == {"incar": CSI, "front": "0"}
    assert read_views("incar=gst:v4l2src ! appsink")["incar"] == Camera(where="v4l2src ! appsink", pipeline=True)
    assert split_views(r"front=a\,incar=b.mp4, incar=c.mp4") == {"front": "a,incar=b.mp4", "incar": "c.mp4"}
    with pytest.raises(ConfigError, match="'cabin' is not a view"):
        split_views("front=0,cabin=1")


def test_a_file_describes_cameras_without_anything_to_guess(tmp_path):
    asked = {"device": "/dev/video2", "size_px": [1280, 720], "rate_hz": 30, "format": "MJPG"}
    content = {
        "incar": {"pipeline": CSI},
        "front": asked,
        "left": {"address": "rtsp://host/a,b"},
        "right": {"device": 1},
    }
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    assert read_views(str(tmp_path / "cameras.json")) == {
        "incar": Camera(where=CSI, pipeline=True),
        "front": Camera(where="/dev/video2", size_px=(1280, 720), rate_hz=30, format="MJPG"),
        "left": Camera(where="rtsp://host/a,b"),
        "right": Camera(where=1),
    }
    make_video(tmp_path / "a,front=b.mp4", 3)
    (tmp_path / "files.json").write_text(json.dumps({"front": {"file": "a,front=b.mp4"}}))
    with open_source(str(tmp_path / "files.json")) as source:
        assert len(list(source)) == 3


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"device": 0, "address": "rtsp://x"}, "expected one of device, address, pipeline, file"),
        ({}, "expected one of"),
        (0, "expected one of"),
        ({"device": True}, "device is True"),
        ({"pipeline": 0}, "pipeline is 0"),
        ({"pipeline": "videotestsrc ! fakesink"}, "does not end in '! appsink'"),
        ({"device": 0, "size_px": "1280x720"}, "size_px is '1280x720'"),
        ({"device": 0, "size_px": [0, 720]}, "size_px is"),
        ({"device": 0, "rate_hz": -1}, "rate_hz is -1"),
        ({"device": 0, "format": "JPEG2000"}, "format is 'JPEG2000'"),
        ({"device": 0, "fps": 30}, "fps is 30"),
        ({"address": "rtsp://x", "rate_hz": 30}, "can be asked of a device alone"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(tmp_path, entry, says):
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"front": entry}))
    with pytest.raises(ConfigError, match=re.escape(says)):
        open_source(str(path))
    for text, why in (("{", "cannot be read"), ("[]", "no object"), ('{"roof": {"device": 0}}', "is not a view")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=why):
            open_source(str(path))


def test_a_pipeline_that_hands_out_nothing_is_refused():
    with pytest.raises(ConfigError, match="does not end in '! appsink'"):
        open_source("incar=v4l2src ! videoconvert")


class Driver(FakeCamera):
    """A device of one size, which takes other wishes without a word, as drivers do."""

    asked: list[tuple[int, float]]

    def __init__(self, *where):
        super().__init__()
        self.where, self.asked = where, []

    def set(self, number, value):
        self.asked.append((number, value))

    def get(self, number):
        fixed = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        return fixed.get(number, dict(self.asked)[number])


def test_a_camera_is_asked_for_size_rate_and_format_and_what_it_does_otherwise_is_told(monkeypatch):
    made = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *where: made.append(Driver(*where)) or made[-1])
    wish = Camera(where=0, size_px=(1280, 720), rate_hz=30, format="MJPG")
    with Cameras({"front": wish}, rate_hz=50) as source:
        steps_until(source, lambda step: "front" in step.frames)
    order = [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS]
    assert made[0].asked == list(zip(order, [cv2.VideoWriter_fourcc(*"MJPG"), 1280, 720, 30], strict=True))
    told = ["front: camera 0 has width 640, not 1280 as asked", "front: camera 0 has height 480, not 720 as asked"]
    assert source.problems == told


def live(by_index):
    views = dict(zip(("incar", "front"), by_index, strict=False))
    return Cameras(views, rate_hz=50, open_camera=by_index.__getitem__)


def steps_until(source, true, limit=200):
    """Steps of a live source until one of which `true` holds, that one last."""
    taken = []
    for step in islice(source, limit):
        taken.append(step)
        if true(step):
            return taken
    raise AssertionError(f"not within {limit} steps")


def test_cameras_give_each_frame_once_at_rising_times():
    with live({0: FakeCamera(), 1: FakeCamera()}) as source:
        steps = [step for _ in range(4) for step in steps_until(source, lambda step: len(step.frames) == 2)]
    assert all(a.t < b.t for a, b in pairwise(steps))
    for view in ("incar", "front"):
        frames = [step.images[view] for step in steps if view in step.frames]
        assert len(frames) >= 4 and len({id(frame) for frame in frames}) == len(frames)


def test_a_camera_that_cannot_be_opened_is_absent_with_the_reason():
    with live({0: FakeCamera(), 1: FakeCamera(opens=False)}) as source:
        step = next(iter(source))
    assert set(step.frames) == {"incar"}
    assert step.absent == {"front": "camera 1 cannot be opened"}
    assert source.problems == ["front: camera 1 cannot be opened"]


def test_a_stalled_camera_does_not_hold_up_the_others():
    stalled = FakeCamera()
    with live({0: FakeCamera(), 1: stalled}) as source:
        stalled.stuck.set()
        step = steps_until(source, lambda step: "front" in step.absent)[-1]
        stalled.stuck.clear()
    assert "incar" in step.frames
    assert step.absent["front"].startswith("camera 1 has sent nothing new for")


def test_a_camera_that_is_plugged_in_again_comes_back(monkeypatch):
    monkeypatch.setattr(reader, "RETRY_S", 0.02)
    unplugged = FakeCamera()
    with live({0: FakeCamera(), 1: unplugged}) as source:
        unplugged.plugged = False
        steps_until(source, lambda step: "cannot be opened" in step.absent.get("front", ""))
        unplugged.plugged = True
        steps_until(source, lambda step: "front" in step.frames)
    assert "front: camera 1 stopped sending" in source.problems


def test_a_camera_that_hands_out_an_empty_frame_loses_that_one_alone():
    gappy = FakeCamera()
    read = gappy.read
    gappy.read = lambda: (True, None) if gappy.count == 3 and read() else read()
    with live({0: FakeCamera(), 1: gappy}) as source:
        steps_until(source, lambda step: gappy.count > 6 and "front" in step.frames)
    assert source.problems == ["front: camera 1 handed out an empty frame"]


def test_no_camera_at_all_is_an_error_that_names_each():
    with pytest.raises(SourceError, match="incar: camera 0 cannot be opened; front: camera 1 cannot be"):
        live({0: FakeCamera(opens=False), 1: FakeCamera(opens=False)})


def test_a_camera_driver_that_raises_makes_its_view_absent():
    broken = FakeCamera()
    broken.read = lambda: (_ for _ in ()).throw(cv2.error("select() timeout"))
    with live({0: FakeCamera(), 1: broken}) as source:
        assert "select() timeout" in next(iter(source)).absent["front"]


def test_every_refusal_is_an_error_of_ours():
    with pytest.raises(CodriverError):
        ClipFolder(Path("nowhere"))
