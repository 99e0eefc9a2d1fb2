"""What a process that trains asks of the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.torch

FAULTS = """
import resource, torch
from training.trainer.processes import freed_memory_kept

def faults(values=1 << 24):  # 64 MiB, more than glibc keeps unasked
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.empty(values).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
with freed_memory_kept():
    faults(1 << 25)  # leaves more room than is asked for next: small objects may settle in it
    within = faults()
print(before, within, faults(1 << 26))  # larger than any room that the block may have left in the heap
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc's allocator")
def test_the_system_clears_freed_memory_again_only_outside_the_block() -> None:
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, within, after = map(int, found.stdout.split())
    assert before > 1_000
    assert within < before / 2
    assert after > before
