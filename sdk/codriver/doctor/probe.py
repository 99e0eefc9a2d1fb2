"""Whether packages can be imported, tried in a process of its own for each: a broken one may end its process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from codriver.device.imports import load, opencv
from codriver.errors import BackendMissing

IMPORT_S = 30.0  # a Jetson's TensorRT takes two of them
PARTS = {  # package -> what is imported of it, and a name that it must have
    "onnxruntime": ("onnxruntime", "InferenceSession"),
    "openvino": ("openvino", "Core"),
    "tensorrt": ("tensorrt", "Builder"),
    "cuda.bindings": ("cuda.bindings.runtime", "cudaMalloc"),
    "pycuda": ("pycuda.driver", "Device"),
    "cryptography": ("cryptography.hazmat.primitives.asymmetric.ed25519", "Ed25519PublicKey"),
    "mcap": ("mcap.writer", "Writer"),
}
BACKENDS = ("FFMPEG", "V4L2", "GSTREAMER")
PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from codriver.doctor.probe import tell; tell(sys.argv[2])"
)


def probe(packages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Package -> "why" it cannot be used, "" if it can, and of OpenCV what it "opens"."""
    line = [sys.executable, "-c", PROGRAM, json.dumps(sys.path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    running = {package: subprocess.Popen([*line, package], text=True, **pipes) for package in packages}
    return {package: _answer(process) for package, process in running.items()}


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, _ = process.communicate(timeout=IMPORT_S)
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        return answer
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"why": f"importing it takes longer than {IMPORT_S:g} s"}
    except (IndexError, ValueError):
        return {"why": f"importing it ends the process with {process.returncode}"}


def tell(package: str) -> None:
    """In the process of its own: one line of JSON."""
    answer: dict[str, Any] = {"why": ""}
    try:
        if package == "cv2":
            answer["opens"] = _opens(opencv())
        else:
            load(PARTS[package][0], f"{PARTS[package][0]} is not there", PARTS[package][1])
    except BackendMissing as error:
        answer["why"] = str(error.__cause__ or error)
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _opens(cv2: Any) -> dict[str, bool]:
    """What this OpenCV was built to open."""
    import numpy as np

    cv2.resize(np.zeros((4, 4, 3), np.uint8), (2, 2))
    return {name: cv2.videoio_registry.hasBackend(getattr(cv2, f"CAP_{name}")) for name in BACKENDS}
