"""Whether ONNX Runtime opens a file, and whether two files compute the same. In a process that may crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("ort_process.py")
LIMIT_S = 300.0
NOT_INSTALLED = "onnxruntime is not installed here"
# ONNX Runtime on a CPU has no kernel for it; another runtime may.
NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation")


@dataclass(frozen=True)
class Opened:
    """What came of opening a file."""

    version: str | None  # of ONNX Runtime; None where it is not installed or did not answer
    refused: str | None  # why; None if it opened, or nobody tried

    @property
    def of_no_kernel(self) -> bool:
        return any(word in (self.refused or "") for word in NO_KERNEL)

    def sentence(self) -> str:
        if self.refused is not None:
            return f"refused by ONNX Runtime {self.version or ''}: {self.refused}"
        return f"opened by ONNX Runtime {self.version}" if self.version else f"not opened: {NOT_INSTALLED}"


@dataclass(frozen=True)
class Compared:
    """What came of running a file before and after a change."""

    after: Opened
    differing: tuple[str, ...]  # outputs that are not the same to the bit
    open: str | None  # why nothing was compared; None if it was


def opened(path: Path, optimized: bool) -> Opened:
    """optimized: as it would run, with ONNX Runtime's fusions; else whether the file as such is taken."""
    if find_spec("onnxruntime") is None:
        return Opened(None, None)
    answer = _asked({"files": [str(path)], "optimized": optimized})
    return Opened(answer.get("version"), answer["refused"][0])


def compared(
    before: Path, after: Path, shapes: Mapping[str, Sequence[int]], *, optimized: bool, aside: Sequence[str] = ()
) -> Compared:
    """Both files on the same random values, with no fusion. optimized: as for `opened`. aside: may differ."""
    if find_spec("onnxruntime") is None:
        return Compared(Opened(None, None), (), NOT_INSTALLED)
    sizes = {name: list(shape) for name, shape in shapes.items()}
    request = {"files": [str(before), str(after)], "shapes": sizes, "aside": list(aside), "optimized": optimized}
    answer = _asked(request)
    first, second = answer["refused"]
    reason = answer.get("not_compared") or (f"the file given is refused: {first}" if first else None)
    return Compared(Opened(answer.get("version"), second), tuple(answer.get("differing", ())), reason)


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    told = json.dumps(request)
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], input=told, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"refused": [f"it does not answer within {LIMIT_S:g} s"] * len(request["files"])}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = f"the process ended with {done.returncode}: {lines[-1] if lines else 'no message'}"
        return {"refused": [reason] * len(request["files"])}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
