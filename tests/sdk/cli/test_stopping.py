"""How a run ends: by a signal, by a reader that goes away, by a disk that is full, by two errors at once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import pytest

from codriver.cli.main import main
from codriver.errors import CodriverError
from codriver.files.atomic import whole_file, whole_text
from codriver.perceiver import Perceiver
from codriver.recording.reader import Recording
from codriver.recording.writer import Recorder
from tests import ROOT
from tests.clips import FakeCamera, frame, make_clip

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    opens = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda where, *a: opens(where, *a) if "." in str(where) else FakeCamera())


@pytest.fixture(autouse=True)
def hang_ups_are_heard() -> Iterator[None]:
    """Also where the tests themselves run under nohup: a live run would then rightly never end."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("footage"), frames=60)


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    line = [sys.executable, "-m", "codriver", *map(str, arguments)]
    return subprocess.Popen(line, env=environment, **pipes | options)


def when(true: Callable[[], bool], *numbers: int) -> None:
    """Send ourselves these signals once something holds."""

    def wait() -> None:
        end_s = time.monotonic() + 20
        while not true() and time.monotonic() < end_s:
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def live(bundle: Path, out: Path) -> list[str]:
    files = ("--view", out / "v.mp4", "--sheet", out / "s.png", "--out", out / "p.jsonl", "--record", out / "rec")
    return [*map(str, ("run", bundle, "--threads", 1, "--source", "incar=0,front=1", *files))]


def written(out: Path) -> Callable[[], bool]:
    """Whether a few steps have been recorded."""
    return lambda: sum(path.stat().st_size for path in out.glob("rec/*.mcap")) > 40_000


@pytest.mark.parametrize("numbers", [*((number,) for number in STOPS), (signal.SIGTERM, signal.SIGHUP)])
def test_every_stop_signal_ends_a_live_run_with_all_its_files_whole(
    bundle_path: Path, tmp_path: Path, cameras: None, numbers: tuple[int, ...]
) -> None:
    before = [signal.getsignal(number) for number in STOPS]
    when(written(tmp_path), *numbers)
    assert main(live(bundle_path, tmp_path)) == 0
    assert [signal.getsignal(number) for number in STOPS] == before
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == len(lines) > 0
    recording = Recording(tmp_path / "rec")
    assert len(list(recording.steps())) == len(lines) and not recording.cut
    assert recording.about is not None and recording.about.wall_offset_ns  # times of cameras can be the wall clock's
    assert cv2.imread(str(tmp_path / "s.png")) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "rec", "s.png", "v.mp4"]


class SlowCamera(BaseHTTPRequestHandler):
    """A network camera of 15 pictures a second, without an end."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):
            for number in range(100_000):
                jpeg = cv2.imencode(".jpg", frame(number))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(1 / 15)


def test_a_camera_that_comes_back_while_the_process_ends_does_not_crash_it(bundle_path: Path, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowCamera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/a.mjpg"
    line = ["codriver", "run", str(bundle_path), "--source", f"incar={url}", "--out", str(tmp_path / "p.jsonl")]
    program = f"""
import sys
import codriver.sources.cameras as cameras
cameras.CLOSE_S = 0.0  # nobody waits for the picture that is on its way
sys.argv = {[*line, "--limit", "5"]!r}
from codriver.cli.main import command
command()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300
    )
    server.shutdown()
    server.server_close()
    assert ended.returncode == 0 and "FATAL" not in ended.stderr, ended.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_recording_that_is_stopped_leaves_no_file_and_the_code_of_shells(
    bundle_path: Path, clip: Path, tmp_path: Path, number: int, code: int
) -> None:
    process = started("run", bundle_path, "--source", clip, "--view", tmp_path / "v.mp4")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.communicate(timeout=20)[1] == "codriver: stopped\n"
    assert process.returncode == code and list(tmp_path.iterdir()) == []


def test_a_hang_up_that_is_ignored_as_under_nohup_stays_ignored(bundle_path: Path, clip: Path) -> None:
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = started("run", bundle_path, "--source", clip, **ignoring)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and json.loads(out.splitlines()[-1])["sequence"] == 59


def test_a_reader_of_a_live_run_that_goes_away_ends_it_with_its_video_whole(bundle_path: Path, tmp_path: Path) -> None:
    program = f"""
import sys, cv2
opens = cv2.VideoCapture
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "sdk")!r}]
from tests.clips import FakeCamera
cv2.VideoCapture = lambda where, *a: opens(where, *a) if "." in str(where) else FakeCamera()
from codriver.cli.main import main
sys.exit(main(["run", {str(bundle_path)!r}, "--source", "incar=0", "--view", {str(tmp_path / "v.mp4")!r}]))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert b"Traceback" not in process.stderr.read() and [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    process.stderr.close()


def test_a_reader_that_goes_away_is_not_told_as_a_fault_of_the_video(
    bundle_path: Path, clip: Path, tmp_path: Path
) -> None:
    process = started("run", bundle_path, "--source", clip, "--view", tmp_path / "v.mp4")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == "" and list(tmp_path.iterdir()) == []
    process.stderr.close()


@pytest.mark.parametrize("option", ["--out", "--view", "--sheet", "--record", "--log"])
def test_a_full_disk_is_one_line_that_names_the_file_and_code_2(
    bundle_path: Path, clip: Path, tmp_path: Path, option: str
) -> None:
    name = {"--out": "p.jsonl", "--view": "v.mp4", "--sheet": "s.png", "--record": "rec", "--log": "log.jsonl"}[option]
    size = {"--log": 64}.get(option, 9000)  # bytes of a file, and no more: like a disk, but for this process alone
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}
    process = started("run", bundle_path, "--source", clip, option, tmp_path / name, **full, stdout=subprocess.DEVNULL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert err.count("\n") == 1 and name in err and ("large" in err or "full" in err), err
    assert not [path for path in tmp_path.iterdir() if path.name not in ("rec", "log.jsonl")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_stdout_that_is_full_or_closed_is_one_line_and_code_2(bundle_path: Path, clip: Path) -> None:
    with open("/dev/full", "w") as full:
        process = started("run", bundle_path, "--source", clip, stdout=full)
        err = process.communicate(timeout=60)[1]
    assert (process.returncode, err.count("\n")) == (2, 1) and "stdout cannot be written" in err
    process = started("run", bundle_path, "--source", clip, stdout=None, preexec_fn=lambda: os.close(1))
    err = process.communicate(timeout=60)[1]
    assert (process.returncode, err.count("\n")) == (2, 1) and "stdout is closed" in err


@pytest.mark.parametrize("place", ["/dev/null", "/proc/p.jsonl"])
def test_a_device_or_a_read_only_place_is_refused_before_the_work(
    bundle_path: Path, clip: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(bundle_path), "--source", str(clip), "--out", place]) == 2
    assert place in (err := capsys.readouterr().err) and err.count("\n") == 1
    assert Path("/dev/null").is_char_device()


def test_what_went_wrong_first_is_what_is_told(tmp_path: Path, perceiver: Perceiver) -> None:
    first = CodriverError("the engine failed")
    with pytest.raises(CodriverError) as told, whole_text(tmp_path / "p.jsonl"):
        raise first
    assert told.value is first
    with pytest.raises(CodriverError) as told, whole_file(tmp_path / "v.mp4") as temporary:
        temporary.mkdir()  # so that it cannot be removed as a file
        raise first
    assert told.value is first
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(CodriverError) as told, Recorder(tmp_path / "rec", perceiver) as recorder:
            recorder.add({}, None, perceiver.step({}, t=0.0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))  # so that it cannot be finished
            raise first
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value is first


def test_a_camera_that_hands_out_an_odd_frame_loses_it_counted_and_the_run_goes_on(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def odd(where: object, *a: object) -> Any:
        camera = FakeCamera()
        if where == 1:
            grey = camera.read
            camera.read = lambda: (True, grey()[1][..., 0])
        return opens(where, *a) if "." in str(where) else camera

    opens = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", odd)
    outputs = ("--out", tmp_path / "p.jsonl", "--view", tmp_path / "v.mp4", "--sheet", tmp_path / "s.png", "--json")
    line = ("run", bundle_path, "--source", "incar=0,front=1", "--limit", 5, "--record", tmp_path / "rec", *outputs)
    assert main([str(argument) for argument in line]) == 0
    summary = json.loads(capsys.readouterr().err)
    assert summary["frames"]["front"]["rejected"] == summary["frames"]["front"]["input"] > 0
    assert summary["frames"]["incar"]["processed"] == 5 and summary["frames"]["incar"]["rejected"] == 0
    assert len(summary["problems"]) == 1 and "view 'front': got shape (54, 96)" in summary["problems"][0]
