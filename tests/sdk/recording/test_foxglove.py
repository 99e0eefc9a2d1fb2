"""A recording as Foxglove reads it: by its own reader and schemas, at the right place, at the right time, whole."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from collections import defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import SummaryOffset
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from codriver.cli.main import main
from codriver.errors import SourceError
from codriver.perceiver import Perceiver
from codriver.percept import CAMERA, Frame
from codriver.recording.reader import Recording
from codriver.recording.writer import Recorder, RecorderConfig
from tests.others import judged
from tests.tiny import tiny_steps
from tests.tiny_road import EVERY_KIND, SPEC, answers_of, combined_manifest, make_tiny_road, road_manifest, scenery

INCAR, FRONT = "/codriver/over/incar", "/codriver/over/front"
PICTURES = {f"/codriver/input/{view}": "foxglove.CompressedImage" for view in ("incar", "front", "left", "right")}
OVER = dict.fromkeys((INCAR, FRONT), "foxglove.ImageAnnotations")
OURS = {
    "/codriver/percept": "codriver.Percept",
    "/codriver/health": "codriver.Health",
    "/codriver/log": "foxglove.Log",
}
WALL_NS = 1_764_000_000_123_456_789


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    """A bundle with the four answers, a finder, and the road. Read only."""
    return make_tiny_road(tmp_path_factory.mktemp("combined") / "combined.bundle", combined_manifest())


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    return make_tiny_road(tmp_path_factory.mktemp("road") / "road.bundle")


def steps_of(count=4, size=(90, 160)):
    """Pictures that nothing is the matter with, and no driver told: the finder looks."""
    for number in range(count):
        yield {view: scenery(10 * number + at, size) for at, view in enumerate(("incar", "front", "left", "right"))}


def drive(folder, bundle, sets=None, times=None, color="bgr", driver=None, **config):
    """Record a drive; its percepts as JSON has them."""
    percepts = []
    with (
        Perceiver.open(bundle, threads=1, color=color) as perceiver,
        Recorder(folder, perceiver, RecorderConfig(**config)) as recorder,
    ):
        views = perceiver.manifest.views
        for number, frames in enumerate(sets or steps_of()):
            given = {view: frame for view, frame in frames.items() if view in views}
            t = number / 5 if times is None else times[number]
            percepts.append(perceiver.step(given, t, driver))
            recorder.add(given, driver, percepts[-1])
    return [json.loads(json.dumps(percept.to_dict())) for percept in percepts]


def exported(folder, out, *more):
    assert main(["export", str(folder), "--to", "foxglove", "--out", str(out), *map(str, more)]) == 0
    return messages(out)


def messages(path):
    """Topic -> (nanoseconds, content) of each message."""
    found = defaultdict(list)
    with path.open("rb") as file:
        for _, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            found[channel.topic].append((message.log_time, json.loads(message.data)))
    return found


def reworked(folder, out, head=lambda about: about, change=lambda topic, content: content):
    """The only file of a recording, as a program of another mind or time writes it."""
    (old,) = folder.iterdir()
    with old.open("rb") as source, out.open("wb") as file:
        reader, writer, channels = make_reader(source), Writer(file, compression=CompressionType.NONE), {}
        writer.start()
        for record in reader.iter_metadata():
            writer.add_metadata(record.name, head(dict(record.metadata)))
        for schema, channel, message in reader.iter_messages(log_time_order=False):
            if channel.id not in channels:
                known = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, "json", known)
            data = json.dumps(change(channel.topic, json.loads(message.data))).encode()
            writer.add_message(channels[channel.id], message.log_time, data, message.publish_time)
        writer.finish()
    return out


def shapes(content):
    """The corners, left, top, right, bottom, of each box, and the text beside it."""
    boxes = [shape["points"] for shape in content["points"] if shape["type"] == 2]
    corners = [(box[0]["x"], box[0]["y"], box[2]["x"], box[2]["y"]) for box in boxes]
    return corners, [label["text"] for label in content["texts"]]


@pytest.mark.node
def test_every_message_is_what_foxglove_s_own_schema_of_its_name_wants_and_no_topic_is_left_out(combined, tmp_path):
    drive(tmp_path / "drive", combined)
    exported(tmp_path / "drive", tmp_path / "drive.mcap", "--bundle", combined)
    found = judged(tmp_path / "drive.mcap")
    maps = dict.fromkeys(("/codriver/map/drivable_area", "/codriver/map/lane_lines"), "foxglove.RawImage")
    expected = PICTURES | OVER | OURS | maps | {"/codriver/overlay/front": "foxglove.CompressedImage"}
    assert {topic: of["schema"] for topic, of in found.items()} == expected
    assert {topic: of["violations"] for topic, of in found.items() if of["violations"]} == {}
    assert {topic: of["messages"] for topic, of in found.items() if topic not in OURS} == dict.fromkeys(
        (*PICTURES, *OVER, *maps, "/codriver/overlay/front"), 4
    )
    assert found["/codriver/percept"]["messages"] == 4 and found["/codriver/log"]["messages"] > 0


@pytest.mark.node
def test_a_drive_with_a_driver_that_was_given_and_every_kind_of_map_are_too(bundle_path, tmp_path):
    frames, _, driver = tiny_steps(1)[0]
    drive(tmp_path / "drive", bundle_path, [frames, {}, frames], driver=driver)
    spec = make_tiny_road(tmp_path / "kinds.bundle", road_manifest(EVERY_KIND))
    drive(tmp_path / "kinds", spec)
    exported(tmp_path / "drive", tmp_path / "drive.mcap")
    exported(tmp_path / "kinds", tmp_path / "kinds.mcap", "--bundle", spec)
    for path in (tmp_path / "drive.mcap", tmp_path / "kinds.mcap", *(tmp_path / "drive").iterdir()):
        found = judged(path)
        assert found and all(of["messages"] > 0 and of["violations"] == [] for of in found.values()), found
    assert {f"/codriver/map/{name}" for name in EVERY_KIND.tasks} <= set(judged(tmp_path / "kinds.mcap"))


@pytest.mark.node
def test_the_judge_sees_a_wrong_name_a_wrong_type_and_a_schema_that_the_viewer_cannot_read(combined, tmp_path):
    drive(tmp_path / "drive", combined)
    path = reworked(
        tmp_path / "drive",
        tmp_path / "a.mcap",
        change=lambda topic, content: (
            content | {"format": 1, "fromat": "png"} if topic.startswith("/codriver/in") else content
        ),
    )
    wrong = judged(path)["/codriver/input/left"]["violations"]
    assert any("additional" in one for one in wrong) and any("format must be string" in one for one in wrong)
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        nullable = {"type": "object", "properties": {"a": {"type": ["number", "null"]}, "b": {"type": "array"}}}
        known = writer.register_schema("codriver.Step", "jsonschema", json.dumps(nullable).encode())
        writer.add_message(writer.register_channel("/a", "json", known), 0, b"{}", 0)
        writer.finish()
    assert len(judged(path)["/a"]["violations"]) == 2


@pytest.mark.parametrize("config", [{}, {"width_px": 64}, {"width_px": 100, "images": "jpeg"}])
def test_the_driver_is_drawn_in_pixels_of_the_recorded_picture_with_how_sure_that_is(combined, tmp_path, config):
    """The tiny finder sees every face between 0.3 and 0.7 of the picture, and the body between 0.1 and 0.9."""
    drive(tmp_path / "drive", combined, **config)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")
    for (_, picture), (_, over) in zip(found["/codriver/input/incar"], found[INCAR], strict=True):
        assert over["timestamp"] == picture["timestamp"]
        height, width = cv2.imdecode(np.frombuffer(b64decode(picture["data"]), np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert width == config.get("width_px", 160)
        (body, face), labels = shapes(over)
        size = np.array([width, height] * 2)
        assert face == pytest.approx(size * [0.3, 0.3, 0.7, 0.7], abs=0.02 * width)
        assert body == pytest.approx(size * [0.1, 0.1, 0.9, 0.9], abs=0.02 * width)
        assert [label.split()[0] for label in labels] == ["body", "face", "posture"]
        assert all(90 < int(label.split()[1]) <= 100 for label in labels)
        limbs, points = (shape for shape in over["points"] if shape["type"] in (4, 1))
        assert len(limbs["points"]) == 2 * len(limbs["outline_colors"]) == 20
        assert len(points["points"]) == len(points["outline_colors"]) == 68
        assert points["points"][0]["x"] == pytest.approx(0.3 * width, abs=0.02 * width)
        assert all(0.9 < colour["a"] <= 1 for colour in points["outline_colors"])


def test_a_driver_that_was_given_is_drawn_where_it_was_given_and_a_point_that_nobody_knows_is_not(
    bundle_path, tmp_path
):
    frames, _, driver = tiny_steps(1)[0]
    driver.keypoints[:, 2], driver.keypoints[18:] = 1.0, np.nan
    driver.keypoints[5, 2] = 0.1
    drive(tmp_path / "drive", bundle_path, [frames], driver=driver, width_px=30)
    ((_, over),) = exported(tmp_path / "drive", tmp_path / "drive.mcap")[INCAR]
    boxes, labels = shapes(over)
    assert boxes == [(2.5, 1, 22.5, 19), (5, 2.5, 15, 12.5)] and labels == ["body given", "face given", "posture given"]
    limbs, points = (shape for shape in over["points"] if shape["type"] in (4, 1))
    expected = driver.keypoints[:18, :2] / 2
    assert [[p["x"], p["y"]] for p in points["points"]] == pytest.approx(expected, abs=1e-4)
    assert limbs["outline_colors"][0]["a"] == 0.25 and limbs["outline_colors"][2]["a"] == 1  # of 5, and of 6
    assert points["outline_colors"][5]["a"] == 0.25 and points["outline_colors"][6]["a"] == 1
    assert [[p["x"], p["y"]] for p in limbs["points"][:2]] == pytest.approx(expected[[5, 7]], abs=1e-4)


def test_no_driver_is_said_in_words_and_takes_the_boxes_before_away(bundle_path, tmp_path):
    drive(tmp_path / "drive", bundle_path)

    def empty(topic, content):
        if topic == "/codriver/percept" and content["sequence"] == 1:
            content["driver"] |= {"present": False, "reason": "nobody is there", "face_px": None, "body_px": None}
            content["driver"] |= {"keypoints": None, "certainty": {}}
        return content

    path = reworked(tmp_path / "drive", tmp_path / "a.mcap", change=empty)
    over = [content for _, content in exported(path, tmp_path / "out.mcap")[INCAR]]
    assert [len(one["points"]) for one in over] == [4, 0, 4, 4]
    assert shapes(over[1]) == ([], ["nobody is there"])


@pytest.mark.parametrize("config", [{}, {"width_px": 80}])
def test_vehicles_are_drawn_in_pixels_of_the_recorded_picture_with_class_and_score(road, tmp_path, config):
    percepts = drive(tmp_path / "drive", road, **config)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")[FRONT]
    scale = config.get("width_px", 160) / 160
    assert len(found) == len(percepts) == 4
    for percept, (_, over) in zip(percepts, found, strict=True):
        likely = [box for box in percept["dense"]["vehicles"]["boxes"] if box["score"] >= 0.3]
        boxes, labels = shapes(over)
        assert len(boxes) > 3
        assert boxes == [pytest.approx(np.array(box["box_px"]) * scale, abs=1e-4) for box in likely]
        assert labels == [f"{box['label']} {box['score']:.2f}" for box in likely]


def test_maps_are_values_as_the_bundle_answers_them_and_lie_over_the_picture(road, tmp_path):
    sets = list(steps_of())
    drive(tmp_path / "drive", road, sets)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap", "--bundle", road)
    for number, frames in enumerate(sets):
        lanes = answers_of(SPEC, frames["front"])["lane_lines"]
        at_ns, content = found["/codriver/map/lane_lines"][number]
        values = np.frombuffer(b64decode(content["data"]), np.uint8).reshape(content["height"], content["step"])
        assert (content["encoding"], content["width"], at_ns) == ("mono8", 24, number * 200_000_000)
        assert values.shape == (13, 24)  # 54 of 64 rows hold the picture: 13 whole cells, the rest are bars
        assert set(np.unique(values)) == {0, 1} and np.mean(values == lanes.on(13, 24)) == 1
        over = cv2.imdecode(np.frombuffer(b64decode(found["/codriver/overlay/front"][number][1]["data"]), np.uint8), 1)
        change = np.abs(over.astype(int) - frames["front"]).mean(axis=2)
        assert over.shape == frames["front"].shape
        assert change[lanes.on(90, 160) == 1].mean() > change[lanes.on(90, 160) == 0].mean() + 10


def test_distances_and_normals_are_floats_and_colours(tmp_path):
    bundle = make_tiny_road(tmp_path / "kinds.bundle", road_manifest(EVERY_KIND))
    sets = list(steps_of(1))
    drive(tmp_path / "drive", bundle, sets)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap", "--bundle", bundle)
    answers = answers_of(EVERY_KIND, sets[0]["front"])
    ((_, depth),) = found["/codriver/map/depth"]
    values = np.frombuffer(b64decode(depth["data"]), "<f4").reshape(depth["height"], depth["width"])
    assert depth["encoding"] == "32FC1" and np.array_equal(values, answers["depth"].on(*values.shape))
    ((_, normals),) = found["/codriver/map/normals"]
    colours = np.frombuffer(b64decode(normals["data"]), np.uint8).reshape(normals["height"], normals["width"], 3)
    expected = answers["normals"].on(*colours.shape[:2])[..., ::-1]
    assert normals["encoding"] == "bgr8" and colours / 127.5 - 1 == pytest.approx(expected, abs=0.01)


def test_pictures_are_the_recorded_bytes_and_red_is_red_where_they_were_recorded_in_rgb(bundle_path, tmp_path):
    sets = list(steps_of(2))
    for color, order in (("bgr", 1), ("rgb", -1)):
        drive(tmp_path / color, bundle_path, sets, color=color)
        found = exported(tmp_path / color, tmp_path / f"{color}.mcap")["/codriver/input/left"]
        recorded = [step.pictures["left"] for step in Recording(tmp_path / color).steps()]
        for (_, content), data, frames in zip(found, recorded, sets, strict=True):
            picture = b64decode(content["data"])
            assert (picture == data) == (color == "bgr") and content["frame_id"] == "left"
            shown = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(shown, frames["left"][..., ::order])


def test_events_and_changes_of_the_state_are_a_log(bundle_path, tmp_path):
    with Perceiver.open(bundle_path, threads=1) as perceiver, Recorder(tmp_path / "drive", perceiver) as recorder:
        for number, (frames, t, driver) in enumerate(tiny_steps(12)):
            if number == 2:
                perceiver._tell(CAMERA, "left: camera 2 is back")
                perceiver._tell("failed", "the engine failed")
            recorder.add(frames, driver, perceiver.step(frames, t, driver))
    log = exported(tmp_path / "drive", tmp_path / "drive.mcap")["/codriver/log"]
    told = [(at_ns / 1e9, one["level"], one["name"], one["message"]) for at_ns, one in log]
    assert (0.4, 3, "codriver.camera", "left: camera 2 is back") in told
    assert (0.4, 4, "codriver.failed", "the engine failed") in told
    states = [(t, level, text.split(";")[0]) for t, level, name, text in told if name == "codriver.state"]
    assert states[0] == (0.0, 2, "init") and len(states) == 2 and states[1][1:] == (2, "ok")


def test_health_is_as_it_was_recorded_the_last_one_too(bundle_path, tmp_path):
    drive(tmp_path / "drive", bundle_path, list(steps_of(6)))  # health is told at the first step, and after a second
    (path,) = (tmp_path / "drive").iterdir()
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")
    assert len(found["/codriver/health"]) > 1
    for topic in ("/codriver/health", "/codriver/percept"):
        assert [of for _, of in found[topic]] == [of for _, of in messages(path)[topic]]


def test_a_live_recording_is_exported_by_the_wall_clock_to_foxglove_rosbag2_and_candump(bundle_path, tmp_path, capsys):
    before_ns, t = time.time_ns(), time.monotonic()
    drive(tmp_path / "drive", bundle_path, list(steps_of(2)), times=[t, t + 0.1], live=True)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")
    assert "of the wall clock" in capsys.readouterr().out
    (first_ns, picture), (second_ns, _) = found["/codriver/input/incar"]
    assert before_ns - 2_000_000 < first_ns < before_ns + 50_000_000 and second_ns - first_ns == pytest.approx(
        1e8, abs=1e3
    )
    assert picture["timestamp"] == {"sec": first_ns // 10**9, "nsec": first_ns % 10**9}
    assert main(["map", "can", "--drive", str(tmp_path / "drive")]) == 0
    assert float(capsys.readouterr().out.split()[0].strip("()")) == pytest.approx(first_ns / 1e9, abs=2e-6)
    rosbags = pytest.importorskip("rosbags.highlevel")
    assert main(["export", str(tmp_path / "drive"), "--to", "rosbag2", "--out", str(tmp_path / "bag")]) == 0
    with rosbags.AnyReader([tmp_path / "bag"]) as bag:
        assert {at_ns for _, at_ns, _ in bag.messages()} == {first_ns, second_ns}
        connection, _, data = next(bag.messages(c for c in bag.connections if c.topic.startswith("/codriver/incar")))
        stamp = bag.deserialize(data, connection.msgtype).header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == first_ns


def test_each_file_has_the_offset_of_its_own_time_and_a_camera_s_own_time_is_the_wall_clock_s_too(
    bundle_path, tmp_path, monkeypatch
):
    """The wall clock is set while a drive is recorded, as on a device without a clock of its own."""
    offsets = iter([5_000_000_000, WALL_NS])
    monkeypatch.setattr("codriver.recording.writer.wall_offset_ns", lambda: next(offsets))
    sets = [{"incar": Frame(frames["incar"], number - 0.01, "capture")} for number, frames in enumerate(steps_of(2))]
    drive(tmp_path / "drive", bundle_path, sets, times=[0.0, 1.0], live=True, file_s=0.5)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")["/codriver/input/incar"]
    assert [at_ns for at_ns, _ in found] == [5_000_000_000, WALL_NS + 1_000_000_000]
    stamps = [content["timestamp"]["sec"] * 10**9 + content["timestamp"]["nsec"] for _, content in found]
    assert stamps == [4_990_000_000, WALL_NS + 990_000_000]


def test_a_picture_that_was_made_narrower_and_not_lower_has_a_scale_for_each_direction(bundle_path, tmp_path):
    drive(tmp_path / "drive", bundle_path)
    wide = {"sizes_px": {"incar": [320, 90]}}
    path = reworked(
        tmp_path / "drive", tmp_path / "a.mcap", change=lambda topic, of: of | (wide if "step" in topic else {})
    )
    face = shapes(exported(path, tmp_path / "out.mcap")[INCAR][0][1])[0][1]
    assert face == pytest.approx((24, 27, 56, 63), abs=2)


def test_a_file_without_a_head_is_refused_whatever_the_one_before_it_says(bundle_path, tmp_path):
    drive(tmp_path / "drive", bundle_path)
    reworked(tmp_path / "drive", tmp_path / "drive" / "codriver-000001.mcap", lambda about: about)
    assert len(list(Recording(tmp_path / "drive").steps())) == 8
    data = (tmp_path / "drive" / "codriver-000001.mcap").read_bytes()
    (tmp_path / "drive" / "codriver-000001.mcap").write_bytes(
        data.replace(b"\x08\0\0\0codriver", b"\x08\0\0\0somebody", 1)
    )
    with pytest.raises(SourceError, match=r"000001.mcap: .*its file has no head"):
        list(Recording(tmp_path / "drive").steps())


def test_boxes_and_maps_go_with_the_camera_that_they_are_of_and_maps_with_the_pictures_that_were_looked_at(tmp_path):
    """An answer is held over the pictures between: its boxes are the step's answer, its map is of another picture."""
    spec = replace(SPEC, view="left", every_s=0.3)
    bundle = make_tiny_road(tmp_path / "left.bundle", road_manifest(spec))
    drive(tmp_path / "drive", bundle)
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap", "--bundle", bundle)
    assert [at_ns for at_ns, _ in found["/codriver/map/lane_lines"]] == [0, 400_000_000]
    assert len(found["/codriver/overlay/left"]) == 2 and FRONT not in found
    assert [len(of["points"]) > 0 for _, of in found["/codriver/over/left"]] == [True] * 4


def test_footage_has_times_of_its_own(bundle_path, tmp_path, capsys):
    drive(tmp_path / "drive", bundle_path)
    assert Recording(tmp_path / "drive").color == "bgr"
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")
    assert "times are its own: no live recording" in capsys.readouterr().out
    assert [at_ns for at_ns, _ in found["/codriver/percept"]] == [0, 200_000_000, 400_000_000, 600_000_000]
    (step, *_) = Recording(tmp_path / "drive").steps()
    assert step.about.wall_offset_ns is None


def old(about):
    return {key: value for key, value in about.items() if key not in ("wall_offset_ns", "dense_view")}


def without_sizes(topic, content):
    return {key: value for key, value in content.items() if key != "sizes_px"}


def test_a_recording_of_before_goes_on_opening_and_replays_and_what_cannot_be_placed_is_not_drawn(
    bundle_path, tmp_path, capsys
):
    drive(tmp_path / "png", bundle_path, live=True)
    path = reworked(tmp_path / "png", tmp_path / "old.mcap", old, without_sizes)
    assert main(["replay", str(path), "--bundle", str(bundle_path), "--threads", "1"]) == 0
    assert len(shapes(exported(path, tmp_path / "png.mcap")[INCAR][0][1])[0]) == 2
    assert capsys.readouterr().err == ""
    drive(tmp_path / "jpeg", bundle_path, images="jpeg", width_px=80)
    path = reworked(tmp_path / "jpeg", tmp_path / "old2.mcap", old, without_sizes)
    found = exported(path, tmp_path / "jpeg.mcap")
    assert [of["points"] for _, of in found[INCAR]] == [[]] * 4 and len(found["/codriver/input/incar"]) == 4
    assert "before codriver told how large its pictures were" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "now", "1.5", "12345678901234567890", "0x10", "-"])
def test_an_offset_that_is_no_number_of_nanoseconds_is_refused(bundle_path, tmp_path, value):
    drive(tmp_path / "drive", bundle_path, live=True)
    path = reworked(tmp_path / "drive", tmp_path / "a.mcap", lambda about: about | {"wall_offset_ns": value})
    with pytest.raises(SourceError, match=r"its head wall_offset_ns is .* expected nanoseconds, a whole number"):
        list(Recording(path).steps())


@pytest.mark.parametrize(
    ("topic", "change", "message"),
    [
        ("/codriver/percept", {"driver": {}}, "a percept is not what codriver records"),
        ("/codriver/percept", {"state": "fine"}, "a percept is not what codriver records"),
        ("/codriver/percept", {"events": [{}]}, "a percept is not what codriver records"),
        ("/codriver/percept", {"context": float("nan")}, "a percept is not what codriver records"),
        ("/codriver/health", {"t": None}, "a percept is not what codriver records"),
        ("/codriver/step", {"t": 3e9}, "is after 2038"),
        ("/codriver/step", {"sizes_px": {"incar": [160]}}, "not what codriver records"),
        ("/codriver/step", {"sizes_px": {"incar": [0, 90]}}, "sizes_px.incar.0. is 0, expected"),
    ],
)
def test_a_foreign_value_is_one_line_and_leaves_no_file(bundle_path, tmp_path, capsys, topic, change, message):
    drive(tmp_path / "drive", bundle_path)
    path = reworked(
        tmp_path / "drive", tmp_path / "a.mcap", change=lambda of, content: content | (change if of == topic else {})
    )
    there = sorted(tmp_path.iterdir())
    assert main(["export", str(path), "--to", "foxglove", "--out", str(tmp_path / "out.mcap")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and re.search(message, said), said
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize("to", ["foxglove", "rosbag2"])
def test_an_export_that_breaks_off_leaves_nothing_and_what_is_there_is_never_written_over(
    bundle_path, tmp_path, capsys, monkeypatch, to
):
    drive(tmp_path / "drive", bundle_path)
    out = tmp_path / ("out.mcap" if to == "foxglove" else "bag")
    command = ["export", str(tmp_path / "drive"), "--to", to, "--out", str(out)]
    steps = Recording.steps

    def interrupted(self):
        for number, step in enumerate(steps(self)):
            if number == 2:
                raise KeyboardInterrupt
            yield step

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "steps", interrupted)
        assert main(command) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]
    assert main(command) == 0 and out.exists()
    capsys.readouterr()
    assert main(command) == 2
    assert "is there already; give a name that is not" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "nowhere" / out.name)]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["drive", out.name])


def test_a_full_disk_is_one_line(bundle_path, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    drive(tmp_path / "drive", bundle_path)
    monkeypatch.setattr("codriver.recording.mcap_file.McapFile.write", full)
    assert main(["export", str(tmp_path / "drive"), "--to", "foxglove", "--out", str(tmp_path / "out.mcap")]) == 2
    assert "out.mcap: no room to write it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


def test_a_recording_that_was_cut_is_exported_up_to_the_cut_and_one_without_a_step_is_refused(
    bundle_path, tmp_path, capsys
):
    drive(tmp_path / "drive", bundle_path)
    (path,) = (tmp_path / "drive").iterdir()
    data = path.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) * 5 // 8])
    found = exported(tmp_path / "cut.mcap", tmp_path / "out.mcap")
    assert 0 < len(found["/codriver/percept"]) < 4
    assert "cut.mcap is cut short" in (said := capsys.readouterr().err) and "exported up to there" in said
    (tmp_path / "cut.mcap").write_bytes(data[:1500])
    for to in ("foxglove", "rosbag2"):
        assert main(["export", str(tmp_path / "cut.mcap"), "--to", to, "--out", str(tmp_path / "b.mcap")]) == 2
        assert "no whole step is in it; cut.mcap is cut short" in capsys.readouterr().err
    assert not (tmp_path / "b.mcap").exists()


def test_without_pictures_answers_are_exported_and_maps_are_refused(combined, tmp_path, capsys):
    drive(tmp_path / "drive", combined, images="none")
    found = exported(tmp_path / "drive", tmp_path / "drive.mcap")
    assert set(found) == set(OURS) and "without pictures: answers and events alone" in capsys.readouterr().err
    command = ["export", str(tmp_path / "drive"), "--to", "foxglove", "--out", str(tmp_path / "b.mcap")]
    assert main([*command, "--bundle", str(combined)]) == 2
    assert "recorded without pictures, so there are no maps of them" in capsys.readouterr().err


def test_a_bundle_without_maps_and_a_bundle_for_rosbag2_are_refused(bundle_path, tmp_path, capsys):
    drive(tmp_path / "drive", bundle_path)
    for to, message in (("foxglove", "has no maps; leave --bundle out"), ("rosbag2", "--bundle is for --to foxglove")):
        command = ["export", str(tmp_path / "drive"), "--to", to, "--out", str(tmp_path / "b.mcap")]
        assert main([*command, "--bundle", str(bundle_path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["export", str(tmp_path / "drive"), "--to", "foxglove", "--out", str(tmp_path / "b.bag")]) == 2
    assert "expected .mcap" in capsys.readouterr().err


def test_an_export_is_no_recording_and_no_index_of_it_points_at_a_group_that_is_not_there(bundle_path, tmp_path):
    """The latter is what `pymcap-cli doctor` ends with 1 for."""
    drive(tmp_path / "drive", bundle_path)
    exported(tmp_path / "drive", tmp_path / "drive.mcap")
    with pytest.raises(SourceError, match="no recording of codriver's"):
        list(Recording(tmp_path / "drive.mcap").steps())
    with (tmp_path / "drive.mcap").open("rb") as file:
        records = list(StreamReader(file).records)
    groups = {record.group_opcode for record in records if isinstance(record, SummaryOffset)}
    there = {Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS, Opcode.CHUNK_INDEX, Opcode.METADATA_INDEX}
    assert groups == {int(code) for code in there}
