"""Write golden vectors: steps and the answers they must lead to, as codriver.verify.golden reads them on the device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.percept import Driver
from codriver.verify.golden import GOLDEN_NAME, SCHEMA, Answers, Expected, Step


def write_golden(
    folder: str | Path,
    steps: Iterable[Step],
    expected: Expected,
    tolerance: float,
    found: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Add one clip to `folder`/golden.json, which is made if it is not there yet, and return its path.

    steps: frames in BGR, at rising times. expected: by variant, the last step's answers. tolerance: of a probability.
    found: by variant, what its finder tells of the last in-car frame; see `told_of`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / GOLDEN_NAME
    content: dict[str, Any] = {"schema": SCHEMA, "clips": []}
    if path.exists():
        content = json.loads(path.read_text())
    recorded = [_write_step(folder, step) for step in steps]
    by_variant = {variant: _plain(answers) for variant, answers in expected.items()}
    clip = {"tolerance": float(tolerance), "steps": recorded, "expected": by_variant}
    content["clips"].append(clip | ({"found": {name: dict(told) for name, told in found.items()}} if found else {}))
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def _plain(answers: Answers) -> dict[str, dict[str, float]]:
    return {task: {label: float(p) for label, p in answer.items()} for task, answer in answers.items()}


def _write_step(folder: Path, step: Step) -> dict[str, Any]:
    frames, t, driver = step
    driver = driver or Driver()
    return {
        "t": float(t),
        "frames": {view: write_png(folder, frame) for view, frame in frames.items()},
        "face_px": None if driver.face_px is None else [float(x) for x in driver.face_px],
        "body_px": None if driver.body_px is None else [float(x) for x in driver.body_px],
        "keypoints": None if driver.keypoints is None else np.asarray(driver.keypoints, np.float64).tolist(),
    }


def write_png(folder: Path, pixels: NDArray[Any]) -> str:
    """Named after its pixels: what is shown twice is stored once. Packed as small as PNG goes, for it is shipped."""
    import cv2

    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, pixels.shape
    name = hashlib.sha256(data.tobytes()).hexdigest()[:16] + ".png"
    (folder / name).write_bytes(data.tobytes())
    return name
