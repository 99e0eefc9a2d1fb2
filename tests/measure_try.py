"""How long a clean clone takes to its first answers: python -m tests.measure_try [--pictures docs]

`git clone` of what is committed, `make try` in it, until the page is served and until it shows an answer to every task.
pip downloads what it needs before, which is told and not timed. Exit code 1 if it took 60 s or more. --pictures: the
page as a browser shows it then, 1400 and 400 px wide. What else this machine does counts: root may put it behind
(echo -15 > /proc/self/autogroup).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import tomllib
from websockets.sync.client import connect
from websockets.typing import Origin

from tests import ROOT
from tests.chromium import Browser, Tab

LIMIT_S, GIVE_UP_S = 60.0, 600.0
PICTURES = {"live.jpg": (1400, 900), "live-phone.jpg": (400, 860)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    pictures = parser.parse_args().pictures
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)  # OpenCV says nothing of a picture that it could not write
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), f"{folder}/clone"], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"BROWSER": "true"}
        own |= _downloaded(Path(folder))
        command, began_s = ["make", "try", f"PORT={port}"], time.monotonic()
        trying = subprocess.Popen(command, cwd=f"{folder}/clone", env=own, preexec_fn=os.setpgrp)
        try:
            served_s = _served(port, trying) - began_s
            answered_s = _answered(port) - began_s
            if pictures:
                _look(port, pictures)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(trying.pid, signal.SIGINT)
            trying.wait(timeout=30)
    holds = answered_s < LIMIT_S
    load = os.getloadavg()[0]
    sys.stdout.write(
        f"{'ok' if holds else 'FAILED'}: page after {served_s:.0f} s, every task answered after {answered_s:.0f} s, "
        f"{LIMIT_S:.0f} allowed; {len(os.sched_getaffinity(0))} cores, load {load:.0f}\n"
    )
    sys.exit(not holds)


def _downloaded(folder: Path) -> dict[str, str]:
    """An environment in which pip finds all that `make try` installs on this disk, and looks nowhere else."""
    wheels, began_s = folder / "wheels", time.monotonic()
    built_by = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--dest", str(wheels), f"{folder}/clone[live]", "tqdm"]
    subprocess.run([*command, *built_by], check=True)
    size_mb = sum(wheel.stat().st_size for wheel in wheels.iterdir()) / 1e6
    sys.stdout.write(f"pip's downloads: {size_mb:.0f} MB in {time.monotonic() - began_s:.0f} s\n")
    sys.stdout.flush()
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def _served(port: int, trying: subprocess.Popen[bytes]) -> float:
    end_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end_s and trying.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return time.monotonic()
        time.sleep(0.1)
    raise SystemExit("make try did not serve its page")


def _answered(port: int) -> float:
    """When a step answered every task."""
    address = f"127.0.0.1:{port}"
    with connect(f"ws://{address}/socket", origin=Origin(f"http://{address}"), compression=None) as viewer:
        while True:
            message = viewer.recv(timeout=60)
            if isinstance(message, bytes):
                content = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])
                if all(task["valid"] for task in content["tasks"].values()):
                    return time.monotonic()


def _look(port: int, folder: Path) -> None:
    with Browser() as browser:
        for name, size_px in PICTURES.items():
            tab = Tab(browser, f"http://127.0.0.1:{port}/", size_px)
            time.sleep(10.0)  # of answers
            tab.until("[...document.querySelectorAll('.task .answer span')].some(e => e.textContent.includes('%'))")
            pixels = cv2.imdecode(np.frombuffer(tab.picture(whole=True), np.uint8), cv2.IMREAD_COLOR)
            cv2.imwrite(str(folder / name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
