"""How much faster than FP32 an INT8 kernel can be on this x86 processor where it has no VNNI: the arithmetic alone.

    python -m tests.measure_int8_floor

Compiles int8_floor.c with `cc` and lets both take turns. Layers that wait for memory can gain up to four times, as INT8
has a quarter of the bytes; layers that wait for products cannot gain more than this.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("int8_floor.c")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        subprocess.run(["cc", "-O3", "-mavx2", "-mfma", str(SOURCE), "-o", str(program)], check=True)
        lines = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    rates = np.array([line.split() for line in lines], np.float64)  # (turns, 2), products per second
    ratios = rates[:, 1] / rates[:, 0]
    low, median, high = np.percentile(ratios, [25, 50, 75])
    fp32, int8 = np.median(rates, axis=0) / 1e9
    sys.stdout.write(f"FP32 {fp32:.1f}, INT8 {int8:.1f} GMAC/s, one core\n")
    sys.stdout.write(f"INT8 is at most {median:.2f} times as fast ({low:.2f} to {high:.2f}, {len(ratios)} turns)\n")


if __name__ == "__main__":
    main()
