"""`codriver live` as a process: it serves, plays footage over and over, and ends when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from websockets.sync.client import connect

from codriver.cli.main import main
from tests.clips import make_clip
from tests.tiny import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny.bundle", golden=False)


def test_it_shows_footage_over_and_over_and_ends_within_two_seconds(bundle, tmp_path):
    clip = make_clip(tmp_path, frames=3)
    command = [
        sys.executable,
        "-m",
        "codriver",
        "live",
        str(bundle),
        "--source",
        str(clip),
        "--port",
        "0",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert process.stderr
        port = re.fullmatch(r"live page: http://127\.0\.0\.1:(\d+)/\n", process.stderr.readline())[1]
        with connect(f"ws://127.0.0.1:{port}/socket", origin=f"http://127.0.0.1:{port}", compression=None) as viewer:
            hello = json.loads(viewer.recv(timeout=30))
            assert hello["source"] == "0001" and hello["tasks"][0]["title"] == "Driver emotion"
            numbers = []
            for _ in range(8):
                message = viewer.recv(timeout=30)
                numbers.append(json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])["sequence"])
            assert numbers == sorted(numbers) and numbers[-1] > 3
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - began_s < 5.0  # 2 on a machine of its own
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_played_once_it_ends_with_the_footage(bundle, tmp_path, capsys):
    clip = make_clip(tmp_path, frames=3)
    assert main(["live", str(bundle), "--source", str(clip), "--port", "0", "--once"]) == 0
    assert "live page: http://127.0.0.1:" in capsys.readouterr().err


def test_an_address_for_others_is_given_a_token_and_says_what_it_shows(bundle, tmp_path, capsys):
    clip = make_clip(tmp_path, frames=2)
    assert main(["live", str(bundle), "--source", str(clip), "--port", "0", "--once", "--address", "0.0.0.0"]) == 0
    said = capsys.readouterr().err
    assert re.search(r"live page: http://0\.0\.0\.0:\d+/#\S{16,}\n", said) and "it shows a person" in said
