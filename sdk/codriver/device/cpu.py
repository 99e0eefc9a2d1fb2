"""What this processor can do: the features a graph may ask for, and how many threads are worth starting."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from codriver.device.system_files import read_text, values

# Int8 dot products that add up in 32 bits. Without one of them x86 adds pairs in 16 bits, which full-range
# weights overflow (reference/int8.md 3.3), so such a graph says that it requires "vnni".
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
CPUINFO = Path("/proc/cpuinfo")


def cpu_features(cpuinfo: Path = CPUINFO, machine: str | None = None) -> frozenset[str]:
    """What variants of a bundle may require: "x86" or "arm", "vnni", "dotprod". Unknown means absent."""
    machine = (machine or platform.machine()).lower()
    flags = cpu_flags(cpuinfo)
    if machine in ("x86_64", "amd64", "i686", "i386"):
        return frozenset({"x86", "vnni"} if flags & VNNI_FLAGS else {"x86"})
    if machine in ("aarch64", "arm64"):
        return frozenset({"arm", "dotprod"} if "asimddp" in flags else {"arm"})
    return frozenset()


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Flags that every core has: on a part with two kinds of core, a thread may land on the lesser one."""
    per_core = [set(flags.split()) for flags in values(cpuinfo, "flags", "Features")]
    return frozenset(set.intersection(*per_core)) if per_core else frozenset()


def default_threads() -> int:
    """Physical cores that this process may run on: two threads that share a core hinder each other."""
    if not hasattr(os, "sched_getaffinity"):
        return max(1, os.cpu_count() or 1)
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return max(1, len({read_text(Path(siblings.format(cpu))) or cpu for cpu in os.sched_getaffinity(0)}))
