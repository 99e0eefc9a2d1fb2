"""The live page's socket: who may watch, what it costs, and that a slow viewer holds up nobody."""

from __future__ import annotations

import http.client
import json
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from codriver.errors import ConfigError
from codriver.live.feed import Feed
from codriver.live.overlay import overlay
from codriver.live.server import MAX_VIEWERS, LivePage
from codriver.percept import DriverSight, Frame
from codriver.tasks import AIDE, VIEWS
from tests.clips import frame, percept
from tests.measure_slow_viewer import queued_bytes, silent_viewer

HELLO = {
    "bundle": "tiny-0123456789ab",
    "variant": "ort-x86",
    "engine": "onnxruntime",
    "source": "0001",
    "views": list(VIEWS),
    "tasks": [{"name": task.name, "title": task.title, "labels": list(task.labels)} for task in AIDE.tasks],
    "note": "",
}
FRAMES = {view: frame(3, view) for view in VIEWS}


@pytest.fixture
def page():
    with LivePage(Feed(HELLO)) as page:
        yield page


@contextmanager
def watching(page: LivePage, origin: str | None = None, query: str = "") -> Iterator[ClientConnection]:
    own = f"http://127.0.0.1:{page.port}"
    address = f"ws://127.0.0.1:{page.port}/socket{query}"
    with connect(address, origin=Origin(origin or own), compression=None) as viewer:
        assert json.loads(viewer.recv(timeout=5))["views"] == list(VIEWS)
        yield viewer


def step_of(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """As docs of Feed say: length, JSON, JPEGs."""
    length = int.from_bytes(message[:4], "big")
    content, rest, jpegs = json.loads(message[4 : 4 + length]), message[4 + length :], []
    for picture in content["pictures"]:
        jpegs.append(rest[: picture["bytes"]])
        rest = rest[picture["bytes"] :]
    assert rest == b""
    return content, jpegs


def counted(feed: Feed) -> list[Any]:
    """Grows by one with each message that is made."""
    made, really = [], feed._message
    feed._message = lambda step: made.append(step) or really(step)
    return made


def got(page: LivePage, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_viewer_gets_pictures_answers_and_the_state_of_each_step(page):
    with watching(page) as viewer:
        page.feed.publish(FRAMES, percept(7, lost=("left",), state="degraded"))
        content, jpegs = step_of(viewer.recv(timeout=5))
    assert content["state"] == "degraded" and content["reasons"] == ["left: no frame for 2.0 s"]
    assert content["views"]["left"]["status"] == "lost"
    assert [picture["view"] for picture in content["pictures"]] == list(VIEWS)
    assert content["pictures"][0]["size_px"] == [96, 54] and all(jpeg[:2] == b"\xff\xd8" for jpeg in jpegs)
    behavior = content["tasks"]["driver_behavior"]
    assert behavior["label"] == AIDE["driver_behavior"].labels[1] and behavior["probability"] == 0.7
    assert content["shares"]["driver_behavior"][1] == 0.7


def test_a_live_views_age_is_that_of_its_picture_now(page):
    with watching(page) as viewer:
        taken = {"front": Frame(FRAMES["front"], time.monotonic() - 0.25, "capture")}
        page.feed.publish(taken, percept(1), live=True)
        content, _ = step_of(viewer.recv(timeout=5))
    assert 0.25 <= content["views"]["front"]["age_s"] < 1.0


def test_wide_pictures_are_scaled_down_and_their_own_size_is_told(page):
    with watching(page) as viewer:
        page.feed.publish({"incar": np.zeros((720, 1280, 3), np.uint8)}, percept(1))
        content, jpegs = step_of(viewer.recv(timeout=5))
    assert content["pictures"] == [{"view": "incar", "bytes": len(jpegs[0]), "size_px": [1280, 720]}]
    assert len(jpegs[0]) < 20_000


def test_nobody_watches_and_nothing_is_encoded(page):
    made = counted(page.feed)
    for number in range(50):
        page.feed.publish(FRAMES, percept(number))
    assert made == []


def test_all_viewers_share_one_encoding_of_a_step(page):
    made = counted(page.feed)
    with ExitStack() as stack:
        viewers = [stack.enter_context(watching(page)) for _ in range(6)]
        for number in range(10):
            page.feed.publish(FRAMES, percept(number))
            messages = {viewer.recv(timeout=5) for viewer in viewers}
            assert len(messages) == 1
        assert len(made) == 10 and page.viewers == 6


def test_a_new_viewer_is_told_the_answers_of_the_last_seconds(page, monkeypatch):
    monkeypatch.setattr("codriver.live.feed.HISTORY_HZ", 1e6)
    page.feed.publish(FRAMES, percept(1, invalid=("driver_emotion",)))
    page.feed.publish(FRAMES, percept(2, winner=2))
    (_, first), (age_s, second) = json.loads(page.feed.greeting())["past"]
    assert first["driver_emotion"] is None and first["driver_behavior"][1] == 0.7
    assert second["driver_behavior"][2] == 0.7 and -5 < age_s <= 0


def test_a_viewer_that_reads_nothing_holds_up_nobody_and_next_gets_the_newest(page):
    noise = {view: np.random.default_rng(0).integers(0, 256, (270, 480, 3), np.uint8) for view in VIEWS}
    slow = silent_viewer(page.port)
    with watching(page) as quick:
        publishing_s = []
        for number in range(100):
            began_s = time.monotonic()
            page.feed.publish(noise, percept(number))
            publishing_s.append(time.monotonic() - began_s)
            content, _ = step_of(quick.recv(timeout=5))
            assert content["sequence"] == number
        assert sorted(publishing_s)[50] < 0.05
    assert page.viewers >= 1  # the slow one is there yet, with one message
    began_s = time.monotonic()
    page.close()
    assert time.monotonic() - began_s < 5.0
    slow.close()


def test_what_waits_for_a_viewer_that_reads_nothing_does_not_grow(page):
    """The long one, ten minutes: python -m tests.measure_slow_viewer."""
    noise = {view: np.random.default_rng(0).integers(0, 256, (270, 480, 3), np.uint8) for view in VIEWS}
    waiting, held = [], []
    with silent_viewer(page.port), watching(page) as quick:
        tracemalloc.start()
        for number in range(120):
            page.feed.publish(noise, percept(number))
            message_bytes = len(quick.recv(timeout=5))
            if number in (60, 119):
                waiting.append(queued_bytes(page))
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert 60 * message_bytes > 10 * waiting[0] > 0, "far more was shown than waits"
    assert waiting[1] <= waiting[0] + message_bytes and held[1] <= held[0] + 2 * message_bytes


def test_a_paused_viewer_is_sent_nothing_until_it_goes_on(page):
    with watching(page) as viewer:
        viewer.send("pause")
        time.sleep(0.7)
        page.feed.publish(FRAMES, percept(1))
        with pytest.raises(TimeoutError):
            viewer.recv(timeout=0.3)
        page.feed.publish(FRAMES, percept(2))
        viewer.send("go")
        assert step_of(viewer.recv(timeout=5))[0]["sequence"] == 2


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1", "http://127.0.0.1:1"]
)
def test_a_page_of_another_origin_may_not_watch(page, origin):
    with pytest.raises(InvalidStatus, match="403"), watching(page, origin=origin):
        pass


def test_a_name_that_somebody_made_to_lead_here_may_not_watch(page):
    status, text = got(page, "/socket", Host=f"evil.example:{page.port}", Origin=f"http://evil.example:{page.port}")
    assert (status, text) == (403, b"only the page itself may watch\n")


def test_without_an_origin_nobody_may_watch(page):
    assert got(page, "/socket")[0] == 403


def test_an_address_that_others_can_reach_needs_a_token():
    with pytest.raises(ConfigError, match="shows a person; give a token"):
        LivePage(Feed(HELLO), address="0.0.0.0")


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=secre", "?token=secret%00", "?other=secret"])
def test_a_wrong_token_may_not_watch(query):
    with (
        LivePage(Feed(HELLO), address="0.0.0.0", token="secret") as page,
        pytest.raises(InvalidStatus, match="403"),
        watching(page, query=query),
    ):
        pass


def test_the_right_token_may_watch_and_stands_where_no_server_is_told_it():
    with LivePage(Feed(HELLO), address="0.0.0.0", token="secret") as page:
        assert page.url == f"http://0.0.0.0:{page.port}/#secret"
        with watching(page, query="?token=secret"):
            pass


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/page.html", "/socket/", "/%2e%2e/", "/a" * 999],
)
def test_there_is_nothing_but_the_page_and_its_socket(page, path):
    status, text = got(page, path)
    assert status == 404 and text == b"there is nothing here\n"


def test_the_page_runs_nothing_from_elsewhere(page):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text, policy = answer.read().decode(), answer.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "connect-src 'self'" in policy
    assert answer.getheader("Cache-Control") == "no-store"
    assert "http://" not in text and "https://" not in text


def test_a_message_that_is_too_long_ends_its_viewer_alone(page):
    with watching(page) as rude, watching(page) as polite:
        rude.send("x" * 65)
        page.feed.publish(FRAMES, percept(1))
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(10):
                rude.recv(timeout=5)
        assert closed.value.rcvd.code == 1009
        assert step_of(polite.recv(timeout=5))[0]["sequence"] == 1


def test_messages_that_mean_nothing_do_nothing(page):
    with watching(page) as viewer:
        for message in ("", "stop", b"\x00\xff", '{"pause": 1}'):
            viewer.send(message)
        page.feed.publish(FRAMES, percept(1))
        assert step_of(viewer.recv(timeout=5))[0]["sequence"] == 1


def test_one_viewer_too_many_is_told_so(page, monkeypatch):
    monkeypatch.setattr("codriver.live.server.MAX_VIEWERS", 1)
    assert MAX_VIEWERS > 6
    with watching(page), pytest.raises(InvalidStatus, match="503"), watching(page):
        pass


def test_a_port_that_is_taken_is_a_wrong_setting(page):
    with pytest.raises(ConfigError, match=f"127.0.0.1:{page.port}.*another port"):
        LivePage(Feed(HELLO), port=page.port)


def test_after_it_is_closed_no_thread_of_its_is_left():
    before = threading.active_count()
    page = LivePage(Feed(HELLO))
    with watching(page) as viewer:
        page.close()
        with pytest.raises(ConnectionClosed):
            viewer.recv(timeout=5)
    end_s = time.monotonic() + 5
    while threading.active_count() > before:  # the client of this test ends by itself
        assert time.monotonic() < end_s, threading.enumerate()
        time.sleep(0.01)


def test_what_is_drawn_over_the_driver_is_finite_and_only_what_was_seen():
    points = np.zeros((136, 3), np.float32)
    points[[5, 7, 94]] = [[10, 10, 0.9], [20, 20, 0.9], [30, 31, 0.9]]
    points[[9, 18]] = [[np.nan, 1, 0.9], [40, 40, 0.01]]
    drawn = overlay(DriverSight(present=True, face_px=(1.4, 2, 3, 4), body_px=(0, 0, np.inf, 1), keypoints=points))
    assert drawn["face_px"] == [1, 2, 3, 4] and drawn["body_px"] is None
    assert drawn["bones"] == [[10, 10, 20, 20]] and drawn["hands"] == [[30, 31]]
    json.dumps(drawn, allow_nan=False)
