"""What a device installs: the wheel alone, in an environment of its own, steps a bundle without any of the workshop."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests import ROOT
from tests.tiny import make_tiny_bundle

BROUGHT = {"codriver", "numpy", "onnxruntime", "opencv-python-headless", "pip", "setuptools"}
RUNTIMES_OWN = {"coloredlogs", "flatbuffers", "humanfriendly", "mpmath", "packaging", "protobuf", "sympy"}
STEP = """
import importlib.util, json, sys
import numpy as np
from codriver import Perceiver

random = np.random.default_rng(0)
with Perceiver.open(sys.argv[1]) as perceiver:
    for number in range(16):
        percept = perceiver.step({"incar": random.integers(0, 256, (90, 160, 3), np.uint8)}, t=number * 0.2)
workshop = ("torch", "nncf", "onnx", "training", "quantize", "targets")
found = [name for name in workshop if importlib.util.find_spec(name)]
print(json.dumps({"found": found, "emotion": percept.driver_emotion.valid, "road": percept.traffic_context.valid}))
"""


@pytest.mark.slow
def test_the_base_install_alone_steps_a_bundle_and_brings_nothing_else(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny.bundle")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True, cwd=tmp_path)
    run = subprocess.run(
        [python, "-I", "-c", STEP, str(bundle)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert json.loads(run.stdout) == {"found": [], "emotion": True, "road": False}
    doctor = [python, "-I", "-m", "codriver", "doctor", str(bundle)]
    assert "<- runs here" in subprocess.run(doctor, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    installed = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert installed - RUNTIMES_OWN <= BROUGHT
