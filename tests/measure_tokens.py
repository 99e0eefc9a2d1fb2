"""What a readout by task tokens adds to an answer: both fusers of size edge in ONNX Runtime, one thread, in turns.

python -m tests.measure_tokens --calls 2000
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import onnxruntime as ort
import torch

from codriver.tasks import AIDE
from quantize.export.onnx_export import onnx_bytes
from quantize.graphs.fold import folded
from quantize.graphs.graphs import FUSER_INPUTS, FuserGraph, example_context
from training.model.uvm3tl import SIZES, UVM3TL


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a fuser without and with task tokens, in turns.")
    parser.add_argument("--calls", type=int, default=2000)
    calls = parser.parse_args().calls
    torch.manual_seed(0)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions, feeds = {}, {}
    for size in ("edge", "edge-tokens"):
        model = folded(UVM3TL(SIZES[size]).eval())
        example = example_context(model.config)
        data = onnx_bytes(FuserGraph(model).eval(), example, FUSER_INPUTS, AIDE.names)
        sessions[size] = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feeds = {name: torch.rand_like(some).numpy() for name, some in zip(FUSER_INPUTS, example, strict=True)}
    took_us: dict[str, list[float]] = {size: [] for size in sessions}
    for call in range(calls):
        for size in sorted(sessions, reverse=call % 2 == 1):  # who comes second finds the cache warmer
            start = time.perf_counter()
            sessions[size].run(None, feeds)
            took_us[size].append(1e6 * (time.perf_counter() - start))
    gaps = np.sort(np.subtract(took_us["edge-tokens"], took_us["edge"]))
    reach = round(0.98 * calls**0.5)  # ranks beside the median that bound it in 95 of 100 cases
    low, high = gaps[max(calls // 2 - reach, 0)], gaps[min(calls // 2 + reach, calls - 1)]
    for size, some in took_us.items():
        sys.stdout.write(
            f"{size:12} a tenth below {np.quantile(some, 0.1):6.0f} us, median {np.median(some):6.0f} us\n"
        )
    told = f"median {np.median(gaps):+.0f} us [{low:+.0f}, {high:+.0f}]"
    sys.stdout.write(f"with tokens, call by call: {told} of {calls} pairs\n")


if __name__ == "__main__":
    main()
