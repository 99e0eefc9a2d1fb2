"""Where a measurement was made, and what a list of times comes to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import util

import numpy as np

from codriver.cpu import CPUINFO

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "worst": 100.0}


def describe_machine() -> dict[str, str | int]:
    """Processor, cores this process may use, operating system, Python."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def runtime_version(module: str) -> str | None:
    """Version of an installed runtime, None if it is not there. Nothing is imported."""
    if util.find_spec(module) is None:
        return None
    from importlib import metadata  # as slow to import as all of codriver

    for distribution in (module, f"{module}-gpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def summarise_ms(values_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and worst of times in milliseconds."""
    return {name: round(float(np.percentile(values_ms, share)), 3) for name, share in PERCENTILES.items()}
