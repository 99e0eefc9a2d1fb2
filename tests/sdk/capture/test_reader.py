"""One camera that fails, hangs, comes back and loses frames; and several whose frames belong together."""

import re
import time
from dataclasses import replace
from itertools import islice, pairwise

import pytest

from codriver.capture import reader
from codriver.capture.camera import Camera
from codriver.capture.news import CameraCounts, News
from codriver.capture.reader import Reader
from codriver.cli.steps import steps
from codriver.percept import Frame
from codriver.sources import Cameras
from tests.clips import FakeCamera
from tests.spies import spied
from tests.tiny import tiny_manifest


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(reader, "SILENCE_S", 0.1)
    monkeypatch.setattr(reader, "RETRY_S", 0.02)


def tended(camera, until, limit_s=5.0):
    end_s = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end_s
        camera.tend(time.monotonic())
        time.sleep(0.005)


def test_a_frame_has_the_time_that_its_driver_tells_and_says_so():
    late = FakeCamera(driver_s=lambda: time.monotonic() - 0.07)
    with Cameras({"incar": 0}, rate_hz=50, open_camera=lambda where: late) as source:
        at = next(iter(source))
        assert at.frames["incar"].clock == "capture" and at.t == at.frames["incar"].t
        assert 0.07 <= time.monotonic() - at.t < 0.5
        assert source.counts()["incar"].clock == "capture"


def test_what_stands_in_for_opencv_need_not_name_a_driver_and_has_times_of_arrival():
    class Plain:  # a wrapper of somebody's own, with the three calls that a loop over frames needs
        isOpened, read, release = lambda self: True, FakeCamera().read, lambda self: None

    with Cameras({"incar": 0}, rate_hz=50, open_camera=lambda where: Plain()) as source:
        assert next(iter(source)).frames["incar"].clock == "arrival"


def test_a_camera_that_is_silent_is_told_and_opened_anew_while_the_old_attempt_hangs(quick):
    hangs, works = FakeCamera(), FakeCamera()
    cameras = iter([hangs, works])
    camera = Reader("incar", Camera(where=0), lambda where: next(cameras))
    tended(camera, lambda: camera.counts.frames > 2)
    hangs.stuck.set()
    tended(camera, lambda: "silent" in camera.failure)
    before = camera.counts.frames
    tended(camera, lambda: camera.counts.frames > before + 2)
    hangs.stuck.clear()
    assert camera.failure == "" and camera.counts.opened == 2
    camera.stop()


def test_no_more_than_two_attempts_hang_at_once(quick):
    opened = []

    def hanging(where):
        opened.append(FakeCamera())
        return opened[-1]

    camera = Reader("incar", Camera(where=0), hanging)
    for number in range(2):
        tended(camera, lambda at=number: len(opened) > at and opened[at].count > 1)
        opened[number].stuck.set()
    for _ in range(60):
        camera.tend(time.monotonic())
        time.sleep(0.01)
    assert len(opened) == 2
    for one in opened:
        one.stuck.clear()
    camera.stop()


def test_attempts_come_at_growing_distances_and_begin_anew_once_it_delivered():
    camera, tries = Reader("incar", Camera(where=0), lambda where: tries.append(now_s) or FakeCamera(opens=False)), []
    now_s = 0.0
    while now_s < 40:
        camera.tend(now_s)
        while camera._attempt and camera._attempt.thread.is_alive():
            time.sleep(0.001)
        now_s += 0.25
    gaps = [round(b - a, 2) for a, b in pairwise(tries)]
    assert gaps == sorted(gaps) and gaps[0] < 2 and 7 < max(gaps) <= reader.RETRY_MOST_S + 0.5


def test_frames_that_a_driver_dropped_are_counted():
    started = time.monotonic()
    gappy = FakeCamera(driver_s=lambda: started - 1.0 + gappy.count * 0.01 + 0.05 * (gappy.count > 30))
    camera = Reader("incar", Camera(where=0), lambda where: gappy)
    tended(camera, lambda: camera.counts.frames > 40)
    assert camera.counts.lost == 5
    camera.stop()


def test_what_happens_to_a_camera_is_told_once_in_the_next_set(quick):
    current = []
    cameras = iter([FakeCamera(driver_s=lambda: time.monotonic() - 0.01), FakeCamera(driver_s=lambda: 9e9)])
    source = Cameras({"left": 2}, rate_hz=50, open_camera=lambda where: current.append(next(cameras)) or current[-1])
    with source:
        told = []
        for number, at in enumerate(source):
            told += at.news
            if number == 5:
                current[0].plugged = False
            if number > 5 and any("is back" in what for what in told):
                break
            assert number < 300, told
        rest = [what for at in islice(source, 10) for what in at.news]
    assert told[0] == "left: camera 2 stopped sending" and told[1] == "left: camera 2 is back"
    assert re.fullmatch("left: camera 2 has times of arrival: its times are [0-9.]+ s ahead of the.*", told[2])
    assert rest == [] and len(told) == 3


def test_what_happens_to_a_camera_is_among_the_next_percepts_events_and_reasons(quick):
    camera = FakeCamera(driver_s=lambda: time.monotonic() + 0.18)
    perceiver, _, _ = spied(tiny_manifest(("incar",)))
    with perceiver, Cameras({"incar": 0}, rate_hz=50, open_camera=lambda where: camera) as source:
        first, second = [percept for _, percept in islice(steps(source, perceiver), 2)]
    assert [event.kind for event in first.events] == ["camera"] and first.reasons[0] == first.events[0].text
    assert re.match("incar: camera 0 has times of arrival: its times are 1[0-9]+ ms ahead of", first.reasons[0])
    assert first.views["incar"].clock == "arrival" and second.events == ()


def test_frames_that_are_lost_are_told_once_a_second_with_all_of_them():
    news, counts = News("camera 1"), CameraCounts(frames=9, lost=0, opened=1, clock="capture")
    said = [list(news.since(10 + n / 4, "", replace(counts, lost=2 * n), "")) for n in range(9)]
    assert [what for now in said for what in now] == [
        "camera 1 lost 2 frames on the way, 2 so far",
        "camera 1 lost 8 frames on the way, 10 so far",
    ]


def test_of_cameras_out_of_step_the_frames_nearest_to_one_another_make_a_set():
    """At 30 Hz with 15 ms between them the newest frames alone may be 33 ms apart; the nearest are 15."""

    class Camera30Hz(FakeCamera):
        def read(self):
            at_s = (int(time.monotonic() * 30 + 1 - shift_s[self] * 30)) / 30 + shift_s[self]
            time.sleep(max(at_s - time.monotonic(), 0))
            self.taken_s = at_s
            return True, self.image

    shift_s = {}
    cameras = {}
    for index, shift in enumerate((0.0, 0.015)):
        cameras[index] = camera = Camera30Hz(driver_s=lambda: 0)
        _, camera.image = FakeCamera().read()
        camera.driver_s = lambda camera=camera: camera.taken_s
        shift_s[camera] = shift
    with Cameras({"incar": 0, "front": 1}, open_camera=cameras.__getitem__) as source:
        sets = [at for at in islice(source, 15) if len(at.frames) == 2][2:]
    assert len(sets) > 5
    apart_s = [abs(at.frames["incar"].t - at.frames["front"].t) for at in sets]
    assert sorted(apart_s)[len(apart_s) // 2] < 0.025
    assert all(a.t < b.t for a, b in pairwise(sets))


def test_of_one_cameras_newest_frames_the_nearest_is_taken_and_none_before_it_later():
    camera = Reader("incar", Camera(where=0), lambda where: FakeCamera())
    camera._recent.extend(Frame(FakeCamera().read()[1], t, "capture") for t in (1.0, 1.033, 1.066))
    assert [camera.take(t).t for t in (1.04, 1.0)] == [1.033, 1.066]
    assert camera.take(1.0) is None


def test_sets_go_on_in_time_while_every_camera_is_silent(quick):
    stuck = FakeCamera(driver_s=lambda: time.monotonic() - 0.05)
    with Cameras({"incar": 0}, rate_hz=50, open_camera=lambda where: stuck) as source:
        sets = iter(source)
        first = next(sets)
        stuck.stuck.set()
        silent = [at for at in islice(sets, 20) if not at.frames]
        stuck.stuck.clear()
    assert len(silent) > 10 and all(first.t < a.t < b.t for a, b in pairwise(silent))
    assert "silent for" in silent[-1].absent["incar"] or "nothing new" in silent[-1].absent["incar"]
