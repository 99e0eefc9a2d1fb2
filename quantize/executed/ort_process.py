"""Run as a file, in a process of its own: opens ONNX files in ONNX Runtime, and compares what two of them compute.

A damaged file may end the process; whoever started it reads that from its exit status. Reads a request as JSON from
stdin, writes the answer as JSON to stdout, and imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime as ort

DRAWS = 4  # runs on different random values
INTEGERS = {"int8": 100, "uint8": 255, "int16": 100, "uint16": 100, "int32": 2, "int64": 2, "bool": 2}
FLOATS = {"float": np.float32, "float16": np.float16, "double": np.float64}


def session(path: str, optimized: bool) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def refusal(path: str, optimized: bool) -> str | None:
    try:
        session(path, optimized)
    except Exception as error:  # its exceptions have no common root
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None


def drawn(kind: str, shape: list[int], random: np.random.Generator) -> np.ndarray:
    name = kind.removeprefix("tensor(").removesuffix(")")
    if name in FLOATS:
        return random.normal(0, 2, shape).astype(FLOATS[name])
    if name not in INTEGERS:
        raise ValueError(f"an input is {kind}")
    return random.integers(0, INTEGERS[name], shape, endpoint=name.endswith("int8")).astype(name)


def differing(before: str, after: str, shapes: dict[str, list[int]], aside: list[str]) -> list[str]:
    """Outputs that are not the same to the bit."""
    first, second = (session(path, optimized=False) for path in (before, after))
    names = [output.name for output in first.get_outputs() if output.name not in aside]
    found: dict[str, None] = {}
    for seed in range(DRAWS):
        random = np.random.default_rng(seed)
        values = {given.name: drawn(given.type, shapes[given.name], random) for given in first.get_inputs()}
        pairs = zip(names, first.run(names, values), second.run(names, values), strict=True)
        found |= {name: None for name, a, b in pairs if a.dtype != b.dtype or a.tobytes() != b.tobytes()}
    return list(found)


def main() -> None:
    request = json.load(sys.stdin)
    answer: dict[str, Any] = {
        "version": ort.__version__,
        "refused": [refusal(path, request["optimized"]) for path in request["files"]],
    }
    if len(request["files"]) == 2 and answer["refused"] == [None, None]:
        try:
            before, after = request["files"]
            answer["differing"] = differing(before, after, request["shapes"], request["aside"])
        except Exception as error:
            answer["not_compared"] = (str(error).strip() or type(error).__name__).splitlines()[0]
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
