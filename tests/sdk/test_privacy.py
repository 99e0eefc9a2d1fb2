"""Nothing is recorded, nothing is sent: by Python's audit hook, and by the kernel's counters for what lies below it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.sdk.test_public import run_python

WATCH = """
import json, logging, os, socket, sys

sys.dont_write_bytecode = True
caught = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NEVER = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.mkdir", "os.rename",
         "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.", "tempfile.",
         "urllib.", "http.", "ftplib.", "smtplib.", "sqlite3.", "syslog.", "mmap.")

def hook(event, arguments):
    if event == "open" and (arguments[2] or 0) & WRITES:
        caught.append([event, str(arguments[0])])
    elif event.startswith(NEVER):
        caught.append([event, ""])

def written():  # bytes that any write has taken, native code included, and sockets that are open
    with open("/proc/self/io") as io:
        count = int(dict(line.split(": ") for line in io.read().splitlines())["wchar"])
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    return count, sum(link.startswith("socket:") for link in links)

written()
before = written()
sys.addaudithook(hook)
from codriver import Driver, Perceiver  # the runtimes it imports are watched too
import numpy as np
random = np.random.default_rng(0)
frames = [{view: random.integers(0, 256, (40, 60, 3), np.uint8) for view in ("incar", "front", "left", "right")}
          for _ in range(8)]
driver = Driver(face_px=(10, 5, 20, 20), keypoints=(random.random((136, 3)) * 40).astype(np.float32))
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
with Perceiver.open(sys.argv[1], threads=1) as perceiver:
    for number in range(int(sys.argv[2])):
        seen = frames[number % 8] if number % 7 else {"front": frames[0]["front"]}
        percept = perceiver.step(seen, number / 15, driver)
    perceiver.reset()
if len(sys.argv) > 3:
    with open(sys.argv[3], "w") as file:
        file.write("x")
    sink = socket.socket()
after = written()
print(json.dumps({"caught": caught, "before": before, "after": after, "state": percept.state}))
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc")


@LINUX
def test_a_thousand_steps_write_nothing_and_connect_nowhere(bundle_path: Path) -> None:
    result = json.loads(run_python(WATCH, str(bundle_path), "1000"))  # its stdout is this line alone
    assert result["caught"] == [] and result["state"] in ("ok", "degraded")
    assert result["after"] == result["before"]


@LINUX
def test_one_byte_and_one_socket_would_have_been_seen(bundle_path: Path, tmp_path: Path) -> None:
    result = json.loads(run_python(WATCH, str(bundle_path), "1", str(tmp_path / "x")))
    assert result["caught"] == [["open", str(tmp_path / "x")], ["socket.__new__", ""]]
    assert result["after"] == [result["before"][0] + 1, result["before"][1] + 1]
