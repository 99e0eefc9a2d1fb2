"""Answers on CAN, read in another process by the DBC alone; in a network of their own, which multicast cannot leave."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from codriver.cli.main import main
from tests import ROOT
from tests.clips import make_clip
from tests.tiny import make_tiny_bundle

BUS = "udp_multicast 239.74.163.2"
ALONE = "ip link set lo up; ip link set lo multicast on; ip route add 224.0.0.0/4 dev lo"


def received(sender, tmp_path):
    """Lines that the receiver prints while `sender`, a shell command, sends."""
    assert main(["map", "can", "--copy", str(tmp_path / "can")]) == 0
    receiver = f"{sys.executable} {ROOT}/samples/can_receiver.py {tmp_path}/can/codriver.dbc {BUS}"
    heard = tmp_path / "heard"
    heard.touch()  # the shell opens it in a process of its own, perhaps after grep has looked for it
    script = f"{ALONE}; {receiver} > {heard} & until grep -q listening {heard}; do sleep 0.1; done; {sender}; wait"
    done = subprocess.run(
        ["unshare", "-rn", "bash", "-c", script],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return heard.read_text().splitlines()


@pytest.mark.slow
def test_a_drive_arrives_whole_and_its_reader_needs_nothing_of_codriver(tmp_path):
    bundle = make_tiny_bundle(tmp_path / "tiny.bundle", golden=False)
    clip = make_clip(tmp_path, frames=24)
    lines = received(f"{sys.executable} {ROOT}/samples/can_dms.py {bundle} {clip} {BUS}", tmp_path)
    counts = dict(line.rsplit(": ", 1) for line in lines[-4:])
    assert counts.keys() == {f"DMS_{name} ok" for name in ("DriverState", "Warning", "Road", "Health")}
    assert int(counts["DMS_DriverState ok"]) >= 15 and any("Behaviour=" in line for line in lines)
    source = (ROOT / "samples" / "can_receiver.py").read_text()
    assert "codriver import" not in source and len(source.splitlines()) <= 60


@pytest.mark.slow
def test_of_a_thousand_messages_the_hundred_that_were_corrupted_are_caught(tmp_path):
    lines = received(f"{sys.executable} -m tests.corrupt_can {BUS}", tmp_path)
    counts = {what: int(count) for what, count in (line.rsplit(": ", 1) for line in lines if ": " in line)}
    assert counts["DMS_DriverState corrupted"] == 100 and sum(counts.values()) == 1000
    assert counts["DMS_DriverState ok"] + counts.get("DMS_DriverState some lost", 0) == 900
