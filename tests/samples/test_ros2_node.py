"""The node by rclpy, of which only what it does with messages is run here: ROS is played by rclpy_stand_in.py."""

from __future__ import annotations

import array
import importlib
import sys

import cv2
import pytest

from tests import ROOT
from tests.clips import frame
from tests.samples.rclpy_stand_in import stand_in

BEGIN_NS = 1_764_000_000_000_000_000  # ROS's time is the wall clock
TOPICS = {view: f"/{view}/image/compressed" for view in ("incar", "front", "left", "right")}


@pytest.fixture
def node(perceiver, monkeypatch):
    stand_in(monkeypatch)
    monkeypatch.delitem(sys.modules, "samples.ros2_node", raising=False)
    yield importlib.import_module("samples.ros2_node").Codriver(perceiver, TOPICS)
    sys.modules.pop("samples.ros2_node")


def drive(node, steps, pictures=True):
    """`steps` of the timer, each after a picture of every camera."""
    for number in range(steps):
        node.now_ns = max(node.now_ns, BEGIN_NS) + 10**9 // 15
        for view, topic in TOPICS.items() if pictures else ():
            kind, callback = node.taken[topic]
            message = kind(format="jpeg", data=array.array("B", cv2.imencode(".jpg", frame(number, view))[1].tobytes()))
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(node.now_ns - 10**7, 10**9)
            callback(message)
        (step,) = node.timers
        step()


def test_pictures_go_in_with_their_stamps_and_every_tasks_classes_come_out_likeliest_first(node):
    drive(node, 30)
    assert {*node.sent} == {f"/codriver/{task.name}/classes" for task in node.perceiver.manifest.tasks}
    for sent in node.sent.values():
        assert len(sent) == 30 and len(sent[0].results) == 0  # nothing is known at once
        scores = [result.score for result in sent[-1].results]
        assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
        stamp = sent[-1].header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == node.now_ns
    ages = [view.age_s for view in node.perceiver.step({}, t=node.now_ns / 1e9 + 0.01).views.values()]
    assert ages == pytest.approx([0.02] * 4, abs=1e-3)  # from the stamp, not from when it came


def test_cameras_that_are_silent_are_no_answer_and_what_is_no_picture_is_passed_over(node):
    drive(node, 30)
    kind, callback = node.taken[TOPICS["front"]]
    callback(kind(data=array.array("B", b"no picture")))
    drive(node, 60, pictures=False)
    assert all(len(sent[-1].results) == 0 for sent in node.sent.values())


def test_it_says_that_it_was_not_run_under_ros_and_keeps_within_sixty_lines():
    text = (ROOT / "samples" / "ros2_node.py").read_text()
    assert "NOT RUN under ROS" in text and len(text.splitlines()) <= 60
