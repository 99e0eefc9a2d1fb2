"""Under which conditions a figure was measured, so that two of them can be compared honestly; and energy, if metered.

All of it is read from the system's files; what a machine does not tell is None. The files of Jetson's sensors were
not tried on hardware yet.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from codriver.device import jetson
from codriver.device.machine import clocks_mhz, governor
from codriver.device.system_files import as_number, read_text
from targets.trial.nvml import GpuCounters

ROOT = Path("/")
NOT_OFFERED = "not offered here"
SAMPLE_S = 0.05  # between two readings of a power sensor, which has no counter
WHOLE_BOARD = "VDD_IN"  # the rail that feeds the others, on Orin Nano and NX; AGX has none, so its rails are summed


def conditions(root: Path = ROOT) -> dict[str, Any]:
    """Clocks, temperature, power mode and load at this moment."""
    clocks = clocks_mhz(root)
    return {
        "cpu_mhz": list(clocks) if clocks else None,
        "governor": governor(root),
        "hottest_c": max((value for value in _temperatures_c(root)), default=None),
        "power_mode": jetson.power_mode(root) or read_text(root / "sys/firmware/acpi/platform_profile") or None,
        "gpu_driver": jetson.driver_version(root) or None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # processes that want to run
    }


def identity(root: Path = ROOT) -> dict[str, str | None]:
    """Which of several alike boards this is. A PC's serial number can be read by root alone."""
    places = (root / "proc/device-tree/serial-number", root / "sys/class/dmi/id/product_serial")
    told = ((read_text(path) or "").strip("\0\n ") for path in places)
    return {"hostname": platform.node() or None, "serial": next(filter(None, told), None)}


def read_number(path: Path) -> float | None:
    return as_number(read_text(path))


def _temperatures_c(root: Path) -> Iterator[float]:
    for path in (root / "sys/class/thermal").glob("thermal_zone*/temp"):
        value = read_number(path)
        if value is not None:
            yield value / 1e3


class EnergyMeter:
    """Energy of the whole package or board while the block runs: others' work on the machine is in it.

    with EnergyMeter() as meter: ...
    meter.joules, meter.source

    gpu: a GPU computes meanwhile. Then its energy is added to the processor's, and without a meter for it there is no
    figure at all: a part would pass for the whole. A Jetson's rails have it in them already.
    """

    def __init__(self, root: Path = ROOT, *, gpu: bool = False) -> None:
        self.joules: float | None = None
        self._counters = [path for path in (root / "sys/class/powercap").glob("intel-rapl:*") if _is_package(path)]
        self._counters = [path for path in self._counters if read_number(path / "energy_uj") is not None]
        self._rails = [] if self._counters else list(_rails(root))
        self._gpus = GpuCounters() if gpu and not self._rails else None
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None

    @property
    def source(self) -> str:
        if self._rails:
            return f"INA3221, {', '.join(name for name, _, _ in self._rails)} (not tried on hardware yet)"
        if self._gpus is not None and not self._gpus:
            return f"{NOT_OFFERED}: {self._gpus.why}"
        parts = [f"RAPL, {len(self._counters)} package{'s' * (len(self._counters) > 1)}"] if self._counters else []
        parts += [f"NVML, {', '.join(self._gpus.names)} (not tried on hardware yet)"] if self._gpus else []
        return " + ".join(parts) or NOT_OFFERED

    def __enter__(self) -> EnergyMeter:
        self._before_uj = [read_number(path / "energy_uj") for path in self._counters]
        self._gpu_before = self._gpus.joules() if self._gpus else 0.0
        if self._rails:
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler:
            self._stop.set()
            self._sampler.join()
        elif self._gpus is None:
            self.joules = self._counted() if self._counters else None
        elif self._gpus:
            processor = self._counted() if self._counters else 0.0
            gpus = self._gpus.joules() - self._gpu_before
            self.joules = None if processor is None else processor + gpus

    def _counted(self) -> float | None:
        total_uj = 0.0
        for path, before_uj in zip(self._counters, self._before_uj, strict=True):
            after_uj, range_uj = read_number(path / "energy_uj"), read_number(path / "max_energy_range_uj")
            if before_uj is None or after_uj is None:
                return None
            total_uj += after_uj - before_uj + (range_uj or 0.0) * (after_uj < before_uj)  # the counter wraps around
        return total_uj / 1e6

    def _sample(self) -> None:
        """Power times the time it stood for."""
        joules, last_s = 0.0, time.perf_counter()
        while not self._stop.wait(SAMPLE_S):
            now_s = time.perf_counter()
            watts = [(read_number(v) or 0.0) * (read_number(i) or 0.0) / 1e6 for _, v, i in self._rails]  # mV x mA
            joules, last_s = joules + sum(watts) * (now_s - last_s), now_s
        self.joules = joules


def _is_package(path: Path) -> bool:
    """Domains within a package, intel-rapl:0:1, are counted in it; so is psys, which counts the packages."""
    return path.name.count(":") == 1 and read_text(path / "name").startswith("package")


def _rails(root: Path) -> list[tuple[str, Path, Path]]:
    """(name, millivolt, milliampere) of the rails to sum."""
    found = []
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if read_text(chip / "name") != "ina3221":
            continue
        for label in sorted(chip.glob("in*_label")):
            number = label.name.removeprefix("in").removesuffix("_label")
            volts, amperes = chip / f"in{number}_input", chip / f"curr{number}_input"
            if volts.exists() and amperes.exists():
                found.append((read_text(label) or number, volts, amperes))
    whole = [rail for rail in found if rail[0] == WHOLE_BOARD]
    return whole or found


def peak_memory_mb() -> float:
    """Of this process since it began its program; getrusage would count what its parent held before."""
    for line in read_text(ROOT / "proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    import resource  # not on Windows

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
