"""`codriver serve`: one file, systemd told the truth, a bundle exchanged between two steps, an end in time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from codriver.cli.main import main
from codriver.errors import ConfigError
from codriver.recording.reader import Recording
from codriver.serve.config import read_service
from codriver.serve.lines import PerceptLines
from codriver.serve.notify import Notify
from tests import ROOT
from tests.clips import percept
from tests.tiny import make_tiny_bundle
from workshop.signing import new_key, sign_bundle

CONFIG = """
[bundle]
path = "tiny.bundle"
key = "team.key.pub"
engine = "onnxruntime"
threads = 1

[sources]
incar = {device = 0, size_px = [1280, 720], rate_hz = 30, format = "MJPG"}
front = {device = "/dev/video2"}

[percepts]
path = "percepts.jsonl"

[recording]
path = "drives"

[buses.can]
channel = "nosuchcan"
"""
CAMERAS = """
import sys
from codriver.capture import reader
from codriver.capture.camera import Camera
from codriver.capture.opencv import OpenCvCapture
from codriver.cli.main import main
from tests.clips import FakeCamera
class HangingCamera(FakeCamera):
    def read(self):  # hangs in its driver after some frames, if it is told to
        if self.count > 20 and len(sys.argv) > 2:
            self.stuck.set()
        return super().read()

reader.opened = lambda camera: OpenCvCapture(Camera(where=0), HangingCamera())
sys.exit(main(["serve", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A signed bundle, and another one with the same cameras and answers."""
    folder = tmp_path_factory.mktemp("service")
    new_key(folder / "team.key")
    for name, seed in (("tiny", 0), ("other", 1)):
        sign_bundle(make_tiny_bundle(folder / f"{name}.bundle", golden=False, seed=seed), folder / "team.key")
    return folder


def written(made: Path, *changes: tuple[str, str]) -> Path:
    text = CONFIG
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (made / "service.toml").write_text(text)
    return made / "service.toml"


def test_a_file_that_is_right_and_its_bundle_pass_the_check(made, capsys):
    assert main(["serve", str(written(made)), "--check"]) == 0
    assert "right; tiny-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("threads = 1", "threads = 0", "bundle.threads is 0, expected a whole number from 1 to 256"),
        ("threads = 1", "thraeds = 1", "bundle.thraeds is not a key (did you mean threads?)"),
        ('path = "tiny.bundle"', "", "bundle lacks path"),
        ('key = "team.key.pub"', "", "bundle needs one of key"),
        ('key = "team.key.pub"', 'key = "x"\nallow_unsigned = true', "bundle needs one of key"),
        ("incar =", "roof =", "'roof' is not a view; expected one of incar"),
        ("rate_hz = 30", "rate_hz = -30", "sources, incar: rate_hz is -30"),
        ('device = "/dev/video2"', 'file = "a.mp4"', "sources.front is a file"),
        ("[percepts]", "[percept]", "percept is not a key (did you mean percepts?)"),
        ('path = "percepts.jsonl"', 'path = ""', "percepts.path is the text ''"),
        ("[sources]", "[sources", "not TOML"),
        ("channel =", "chanel =", "buses.can.chanel is not a key (did you mean channel?)"),
    ],
)
def test_what_is_wrong_is_told_by_file_key_and_what_may_stand_there(made, before, after, says):
    path = written(made, (before, after))
    with pytest.raises(ConfigError) as told:
        read_service(path)
    assert str(told.value).startswith(str(path)) and says in str(told.value)


def test_a_map_that_is_wrong_fails_the_check(made, capsys):
    path = written(made, ('channel = "nosuchcan"', 'channel = "nosuchcan"\nmap = "vss"'))
    assert main(["serve", str(path), "--check"]) == 2
    assert "vss.toml: bus is vss, expected can" in capsys.readouterr().err


def test_a_bundle_that_another_key_signed_fails_the_check(made, tmp_path, capsys):
    new_key(tmp_path / "evil.key")
    path = written(made, ('key = "team.key.pub"', f'key = "{tmp_path}/evil.key.pub"'))
    assert main(["serve", str(path), "--check"]) == 2
    assert "sign" in capsys.readouterr().err


class Systemd:
    """The socket that a service tells how it is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(60)

    def until(self, line: str) -> list[str]:
        """Lines that came, up to one that begins so."""
        lines: list[str] = []
        while not any(one.startswith(line) for one in lines):
            lines += self._socket.recv(65536).decode().splitlines()
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path):
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.close()


def test_it_is_ready_after_a_step_takes_a_new_bundle_on_sighup_and_ends_when_it_is_told_to(made, systemd):
    path = written(made)
    (made / "percepts.jsonl").unlink(missing_ok=True)
    shutil.rmtree(made / "drives", ignore_errors=True)
    process = subprocess.Popen(
        [sys.executable, "-c", CAMERAS, str(path)],
        env=os.environ | {"NOTIFY_SOCKET": str(systemd.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        before = systemd.until("READY=1")
        assert before[-3:-1] == ["WATCHDOG=1", "READY=1"] and before[-1].startswith("STATUS=step 0, starting")
        written(made, ("tiny.bundle", "other.bundle"))
        process.send_signal(signal.SIGHUP)
        assert "STATUS=reloaded: tiny-" in "\n".join(systemd.until("STATUS=reloaded"))
        written(made, ("threads = 1", "threads = 0"))
        process.send_signal(signal.SIGHUP)
        told = "\n".join(systemd.until("STATUS=not reloaded"))
        assert "the bundle of before goes on" in told and "bundle.threads is 0" in told
        systemd.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        systemd.until("STOPPING=1")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        journal = process.communicate()[1]
    assert journal.count("socketcan nosuchcan is lost") == 1  # and the steps went on
    percepts = [json.loads(line) for line in (made / "percepts.jsonl").read_text().splitlines()]
    models = [percept["model"] for percept in percepts]
    assert len(set(models)) == 2 and [p["sequence"] for p in percepts] == list(range(len(percepts)))
    at = models.index(models[-1])
    assert percepts[at]["t"] - percepts[at - 1]["t"] < 1.0  # nothing was left out meanwhile
    assert percepts[-1]["views"]["incar"]["clock"] == "arrival"
    drives = [Recording(drive) for drive in sorted((made / "drives").iterdir())]
    recorded = [step.percept for drive in drives for step in drive.steps()]
    assert recorded == percepts and [drive.cut for drive in drives] == [[], []]


def test_neither_a_camera_that_hangs_nor_a_viewer_that_does_not_read_keeps_it_from_ending_in_two_seconds(made, systemd):
    """The least of three: what this machine has to do besides is not the service's time."""
    path = written(made, ("[percepts]", "[live]\nport = 0\n\n[percepts]"))
    took_s = [_ending_s(path, systemd) for _ in range(3)]
    assert min(took_s) < 2.0, took_s


def _ending_s(path: Path, systemd: Systemd) -> float:
    process = subprocess.Popen(
        [sys.executable, "-c", CAMERAS, str(path), "hanging"],
        env=os.environ | {"NOTIFY_SOCKET": str(systemd.path), "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        port = next(int(line.rstrip("/\n").rpartition(":")[2]) for line in process.stderr if "live page" in line)
        with socket.create_connection(("127.0.0.1", port)) as viewer:
            viewer.sendall(
                f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            systemd.until("STATUS=step")
            time.sleep(1.0)  # the cameras hang by now
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            systemd.until("STOPPING=1")
            assert process.wait(timeout=60) == 0
            return time.monotonic() - began_s
    finally:
        process.kill()
        journal = process.communicate()[1]
    assert journal.count("socketcan nosuchcan is lost") == 1  # and the steps went on


def test_the_watchdog_is_fed_by_steps_alone(systemd, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    notify = Notify()
    assert "NOTIFY_SOCKET" not in os.environ
    notify.tell("STATUS=opening")
    notify.step(percept(1, state="degraded", lost=("left",)))
    assert systemd.until("STATUS=step 1") == [
        "STATUS=opening",
        "WATCHDOG=1",
        "READY=1",
        "STATUS=step 1, something is missing: left: no frame for 2.0 s",
    ]
    notify.close()


def test_lines_are_kept_in_two_files_of_half_the_limit(tmp_path):
    path = tmp_path / "percepts.jsonl"
    with closing(PerceptLines(path, limit_mb=0.02)) as lines:
        for number in range(40):
            lines.add(percept(number))
    files = [path, tmp_path / "percepts.jsonl.1"]
    assert all(0 < file.stat().st_size <= 10_000 for file in files)
    assert json.loads(path.read_text().splitlines()[-1])["sequence"] == 39
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_after_a_line_that_was_cut_short_the_next_one_is_whole(tmp_path):
    path = tmp_path / "percepts.jsonl"
    path.write_bytes(b'{"sequ')
    with closing(PerceptLines(path, limit_mb=1)) as lines:
        lines.add(percept(1))
    assert json.loads(path.read_text().splitlines()[-1])["sequence"] == 1


def test_a_full_disk_loses_lines_and_says_so_once_it_has_room_they_go_on(tmp_path, monkeypatch):
    path = tmp_path / "percepts.jsonl"
    with closing(PerceptLines(path, limit_mb=1)) as lines:
        lines._file.close()
        monkeypatch.setattr(lines, "_path", tmp_path / "nowhere" / "percepts.jsonl")
        lines.add(percept(1))
        assert "percepts are lost" in lines.problem
        monkeypatch.setattr(lines, "_path", path)
        lines.add(percept(2))
        assert lines.problem == "" and json.loads(path.read_text())["sequence"] == 2


def test_the_sample_says_what_a_service_may_be_told():
    sample = read_service(ROOT / "samples" / "service.toml")
    assert set(sample.cameras) == {"incar", "front"} and sample.config.steps.deadline_ms == 66
