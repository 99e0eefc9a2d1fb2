"""ROS 2 live: what zenoh-ros2-sdk, which knows nothing of ours, hears, lists and decodes."""

from __future__ import annotations

import socket
import time
from itertools import count

import cv2
import pytest
from zenoh_ros2_sdk.attachment import Attachment
from zenoh_ros2_sdk.qos import QosProfile, QosReliability

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, Ros2Config
from codriver.config import HealthConfig
from codriver.errors import ConfigError
from codriver.tasks import AIDE
from tests.clips import frame, percept
from tests.ros2_peer import Ros2Peer, session
from tests.sdk.buses.test_publisher import until
from tests.tiny import tiny_steps

STRING, DIAGNOSTICS = "std_msgs/msg/String", "diagnostic_msgs/msg/DiagnosticArray"
IMAGE, CLASSES = "sensor_msgs/msg/CompressedImage", "vision_msgs/msg/Classification"
BEHAVIOUR = "/codriver/driver_behavior/label"
LABELS = next(task.labels for task in AIDE.tasks if task.name == "driver_behavior")


@pytest.fixture
def peer():
    peer = Ros2Peer()
    yield peer
    peer.close()


def publishing(peer, told, **more):
    more = {"stale_s": 30.0} | more
    return Buses(BusesConfig(ros2=Ros2Config(router=peer.address, **more)), tell=told.append)


def drive(buses, heard, steps=20, frames=None):
    """Steps of alternating answers, each after the last one was heard."""
    until(lambda: buses.add(percept(0, winner=2), frames=frames) and heard)  # subscribing takes a while
    for number in range(1, steps + 1):
        buses.add(percept(number, winner=number % 2), frames=frames)
        until(lambda number=number: heard[-1].data == LABELS[number % 2])


def levels(message):
    return {status.name.removeprefix("codriver: "): status.level for status in message.status}


def test_every_step_is_heard_as_texts_numbers_and_classes(peer):
    told = []
    texts = peer.heard(BEHAVIOUR, STRING)
    shares = peer.heard("/codriver/driver_behavior/probability", "std_msgs/msg/Float32")
    classes = peer.heard("/codriver/driver_behavior/classes", CLASSES)
    with publishing(peer, told) as buses:
        drive(buses, texts)
        until(lambda: len(shares) >= 20 and len(classes) >= 20)
        buses.add(percept(21, invalid=("driver_behavior",)))
        until(lambda: texts[-1].data == "" and classes[-1].results == [])  # no answer is told, not left out
    result = classes[-2].results
    assert told == [] and shares[-1].data == pytest.approx(0.7)
    assert result[0].class_id == LABELS[0]
    assert len(result) == 7 and sum(one.score for one in result) == pytest.approx(1.0)
    assert abs(classes[-1].header.stamp.sec - time.time_ns() / 1e9) < 60


def test_topics_are_listed_with_their_types_and_their_quality_of_service(peer):
    with publishing(peer, [], images=True, node="dms") as buses:
        until(lambda: buses.add(percept(), frames={"front": frame(0)}) and len(peer.listed()) == 18)
        until(lambda: not [name for name in peer.listed() if peer.info(name).publishers[0].node_name != "dms"])
        listed, state, image = peer.listed(), *map(peer.info, ("/codriver/state", "/codriver/front/image/compressed"))
    assert listed["/diagnostics"] == [DIAGNOSTICS] and listed["/codriver/distraction"] == ["std_msgs/msg/Float32"]
    assert QosProfile.decode(state.publishers[0].qos) == QosProfile(history_depth=10)
    shown = QosProfile.decode(image.publishers[0].qos)
    assert (shown.reliability, shown.history_depth) == (QosReliability.BEST_EFFORT, 1)


def test_diagnostics_come_once_a_second_and_at_once_when_a_level_changes(peer):
    heard, number = peer.heard("/diagnostics", DIAGNOSTICS), 0
    with publishing(peer, []) as buses:
        while not heard:
            buses.add(percept(number := number + 15))
            time.sleep(0.05)
        time.sleep(1.0)  # all of before has come
        before = len(heard)
        for later in range(1, 16):
            buses.add(percept(number + later))
            time.sleep(0.01)
        until(lambda: len(heard) > before)
        assert len(heard) == before + 1 and set(levels(heard[-1]).values()) == {0}
        buses.add(percept(number + 16, lost=("left",), state="degraded"))
        until(lambda: len(heard) == before + 2)
    told = levels(heard[-1])
    assert (told["camera left"], told["camera front"], told["answers"]) == (3, 0, 1)
    assert any("no frame for 2.0 s" in status.message for status in heard[-1].status)


def test_a_camera_that_is_gone_is_stale_at_the_step_in_which_its_threshold_passes(peer, perceiver):
    heard, told, warmed = peer.heard("/diagnostics", DIAGNOSTICS), [], count(100, 15)
    with publishing(peer, []) as buses:
        until(lambda: buses.add(percept(next(warmed))) and heard)
        for number, (frames, t, driver) in enumerate(tiny_steps(20, rate_hz=5.0)):
            seen = {view: image for view, image in frames.items() if view != "left" or number < 10}
            answer = perceiver.step(seen, t, driver)
            left = answer.views["left"]
            told.append(({"ok": 0, "late": 1, "lost": 3}[left.status], left.age_s))
            buses.add(answer)
            until(lambda: levels(heard[-1])["camera left"] == told[-1][0])
    assert [level for level, _ in told] == [0] * 10 + [1] * 4 + [3] * 6
    limit_s = HealthConfig().lost_s
    assert limit_s - 1e-6 <= next(age_s for level, age_s in told if level == 3) <= limit_s + 1 / 5


def test_once_steps_stop_everything_is_stale(peer):
    heard, texts, steps = peer.heard("/diagnostics", DIAGNOSTICS), peer.heard(BEHAVIOUR, STRING), count(0, 15)
    with publishing(peer, [], stale_s=0.5) as buses:
        until(lambda: buses.add(percept(next(steps))) and heard and texts)
        until(lambda: set(levels(heard[-1]).values()) == {3} and texts[-1].data == "")
        assert heard[-1].status[0].message == "no step for 0.5 s" and len(heard[-1].status) == 5
        until(lambda: buses.add(percept(next(steps))) and set(levels(heard[-1]).values()) == {0})


def test_pictures_are_compressed_for_those_who_subscribe_and_only_if_that_is_allowed(peer, monkeypatch):
    made, write = [], cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *given: made.append(given[1]) or write(*given))
    front, left = frame(7, "front"), frame(9, "left")
    texts = peer.heard(BEHAVIOUR, STRING)
    pictures = peer.heard("/codriver/front/image/compressed", IMAGE)
    with publishing(peer, []) as buses:
        drive(buses, texts, 3, {"front": front})
    assert made == [] and pictures == []
    with publishing(peer, [], images=True) as buses:
        until(lambda: buses.add(percept(), frames={"front": front, "left": left}) and pictures)
    assert made and all(image is front for image in made)  # nobody asked for left
    shown = cv2.imdecode(pictures[0].data, cv2.IMREAD_COLOR)
    assert abs(shown.astype(int) - front).mean() < 2 and pictures[0].format == "jpeg"
    assert pictures[0].header.frame_id == "front"


def test_messages_are_numbered_and_say_who_sent_them(peer):
    got, reader = [], session("client", **{"connect/endpoints": [peer.address]})
    subscriber = reader.declare_subscriber(
        "7/codriver/state/std_msgs::msg::dds_::String_/TypeHashNotSupported",  # Humble's types have no hash
        lambda sample: got.append((Attachment.from_bytes(sample.attachment.to_bytes()), sample.payload.to_bytes())),
    )
    with publishing(peer, [], domain=7, distro="humble") as buses:
        until(lambda: buses.add(percept()) and len(got) > 3)
    subscriber.undeclare()
    reader.close()
    assert [at.sequence_id for at, _ in got] == list(range(1, len(got) + 1))
    assert {len(at.gid) for at, _ in got} == {16} and len({at.gid for at, _ in got}) == 1
    assert abs(got[0][0].timestamp_ns - time.time_ns()) < 60e9
    assert got[0][1] == b"\0\1\0\0\3\0\0\0ok\0"  # little-endian CDR, by hand


def test_a_router_that_goes_is_told_once_and_its_return_too(peer):
    told, heard = [], peer.heard(BEHAVIOUR, STRING)
    with publishing(peer, told) as buses:
        drive(buses, heard, 2)
        peer.router.close()
        until(lambda: buses.add(percept(3)) and told)
        peer.start()
        until(lambda: buses.add(percept(4)) and len(told) == 2)
        before = len(heard)
        until(lambda: buses.add(percept(5)) and len(heard) > before)
    assert told[0].startswith(f"ros2 {peer.address} is lost (nobody is at the other end") and "is back" in told[1]


def test_a_router_that_never_answers_holds_up_nobody():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = Ros2Config(router=f"tcp/127.0.0.1:{silent.getsockname()[1]}", images=True)
        picture = frame(0, "front")
        with Buses(BusesConfig(ros2=config), tell=print) as buses:
            for number in range(500):  # would wait here if a step waited for the router
                buses.add(percept(number), frames={"front": picture})


def test_settings_of_zenoh_itself_may_be_given_as_a_file(peer, tmp_path):
    (tmp_path / "zenoh.json5").write_text(
        f'{{mode: "client", connect: {{endpoints: ["{peer.address}"]}}, scouting: {{multicast: {{enabled: false}}}}}}'
    )
    heard, told = peer.heard(BEHAVIOUR, STRING), []
    config = BusesConfig(ros2=Ros2Config(router="tcp/127.0.0.1:1", zenoh="zenoh.json5", stale_s=30.0))
    with Buses(config, near=tmp_path, tell=told.append) as buses:
        drive(buses, heard, 2)
    assert told == []


def test_a_map_with_a_name_that_is_no_topic_is_refused_at_once(tmp_path):
    (tmp_path / "wrong.toml").write_text('bus = "ros2"\n[signals."codriver/*"]\nfrom = "state"\ntype = "string"\n')
    with pytest.raises(ConfigError, match=r"signals\.codriver/\* is no topic, expected such as /codriver/state"):
        Buses(BusesConfig(ros2=Ros2Config(map="wrong.toml")), near=tmp_path)
