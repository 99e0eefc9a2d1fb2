"""A recording as rosbag2, read by rosbags: pictures, answers, diagnostics that follow a lost camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from codriver.buses.rosbag2 import Rosbag2
from codriver.cli.main import main
from codriver.errors import ConfigError
from codriver.mapping.alerts import Alert, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import read_map
from codriver.recording.writer import Recorder
from tests.clips import percept
from tests.tiny import tiny_steps


def messages(folder):
    """(topic, seconds, message) of a bag."""
    with AnyReader([folder]) as reader:
        return [(c.topic, t / 1e9, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages()]


def test_a_recorded_drive_is_exported_with_its_pictures_and_answers(perceiver, tmp_path, capsys):
    steps, percepts = tiny_steps(12), []
    with Recorder(tmp_path / "drive", perceiver) as recorder:
        for frames, t, driver in steps:
            percepts.append(perceiver.step(frames, t, driver))
            recorder.add(frames, driver, percepts[-1])
    assert main(["export", str(tmp_path / "drive"), "--to", "rosbag2", "--out", str(tmp_path / "bag")]) == 0
    assert "12 steps" in capsys.readouterr().out
    read = messages(tmp_path / "bag")
    pictures = [(t, m) for topic, t, m in read if topic == "/codriver/front/image/compressed"]
    assert [t for t, _ in pictures] == pytest.approx([t for _, t, _ in steps])
    for (_, picture), (frames, t, _) in zip(pictures, steps, strict=True):
        assert np.array_equal(cv2.imdecode(picture.data, cv2.IMREAD_COLOR), frames["front"])
        assert picture.header.frame_id == "front" and picture.header.stamp.sec == int(t + 1e-9)
    labels = [m.data for topic, _, m in read if topic == "/codriver/driver_behavior/label"]
    assert labels == [at.driver_behavior.label or "" for at in percepts]
    shares = [m.data for topic, _, m in read if topic == "/codriver/driver_behavior/probability"]
    assert shares == pytest.approx([at.driver_behavior.probability for at in percepts if at.driver_behavior.valid])


def test_diagnostics_come_once_a_second_and_at_once_when_a_camera_is_lost(tmp_path):
    with Rosbag2(tmp_path / "bag", read_map("ros2", read_alerts())) as bag:
        for number in range(45):
            lost = ("left",) if number >= 20 else ()
            at = percept(number, lost=lost, state="degraded" if lost else "ok")
            bag.add(Moment(at, Alert(available=True)), {}, round(at.t * 1e9))
    told = [(t, m.status) for topic, t, m in messages(tmp_path / "bag") if topic == "/diagnostics"]
    assert [t for t, _ in told] == pytest.approx([0.0, 1.0, 20 / 15, 35 / 15])
    levels = [{status.name: status.level for status in statuses} for _, statuses in told]
    assert set(levels[1].values()) == {0} and len(levels[1]) == 5
    assert (levels[2]["codriver: camera left"], levels[2]["codriver: answers"]) == (3, 1)
    assert any("no frame for 2.0 s" in status.message for status in told[2][1])


def test_a_folder_that_is_there_is_not_written_to_and_a_map_of_another_bus_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="is there already"):
        Rosbag2(tmp_path, read_map("ros2", read_alerts()))
    out = ["--to", "rosbag2", "--out", str(tmp_path / "bag"), "--map", "can"]
    assert main(["export", str(tmp_path), *out]) == 2
    assert "bus is can, expected ros2" in capsys.readouterr().err
