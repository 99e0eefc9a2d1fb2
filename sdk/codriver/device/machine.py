"""Where a measurement was made, and what a list of times comes to.

`root` is where the system's files lie: tests make their own. What a machine does not tell is None.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib import util
from pathlib import Path

import numpy as np

from codriver.device import jetson
from codriver.device.cpu import CPUINFO, VNNI_FLAGS, cpu_flags
from codriver.device.system_files import as_number, read_text, values

ROOT = Path("/")
# What brings a module, where that is not named alike or is not alone: two of them overwrite each other's files.
DISTRIBUTIONS = {
    "cv2": tuple(f"opencv-{kind}{head}" for kind in ("python", "contrib-python") for head in ("-headless", "")),
    "onnxruntime": tuple(f"onnxruntime{kind}" for kind in ("", "-gpu", "-openvino", "-directml", "-rocm", "-qnn")),
    "openvino": ("openvino", "openvino-nightly"),
    "tensorrt": ("tensorrt", "tensorrt-cu11", "tensorrt-cu12", "tensorrt-cu13"),
    "cuda.bindings": ("cuda-bindings",),
}
BRINGS_ANOTHER = ("tensorrt",)  # is only there to install one of the others
NVIDIA_SMI_S = 1.5  # it answers in a tenth of that, unless the driver has to wake the GPU up first
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "worst": 100.0}


def describe_machine() -> dict[str, str | int]:
    """Processor with its instructions for INT8, cores this process may use, operating system, Python."""
    return {
        "cpu": ", ".join((_cpu_model(), *sorted(cpu_flags() & VNNI_FLAGS))),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    told = [value for value in values(CPUINFO, "model name", "Model", "Hardware") if value]
    return told[0] if told else jetson.board() or platform.processor() or platform.machine()


def runtime_version(module: str) -> str | None:
    """Version of an installed runtime, None if it is not there. Nothing is imported."""
    if not is_installed(module):
        return None
    return next(iter(distributions(module).values()), "of unknown version")


def distributions(module: str) -> dict[str, str]:
    """Installed packages that bring this module, and their versions."""
    from importlib import metadata  # as slow to import as all of codriver

    found = {}
    for name in DISTRIBUTIONS.get(module, (module,)):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def rivals(module: str) -> dict[str, str]:
    """The distributions of a module, if there is more than one; else nothing."""
    found = {name: version for name, version in distributions(module).items() if name not in BRINGS_ANOTHER}
    return found if len(found) > 1 else {}


def is_installed(module: str) -> bool:
    """Whether it could be imported; nothing is."""
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is missing or broken; or somebody put a stand-in in its place
        return False


def how_to_install(runtime: str, on_jetson: bool) -> str:
    """The way to one of engines.RUNTIMES. JetPack brings TensorRT; the packages that pip finds are no Jetson's."""
    if runtime == "tensorrt" and on_jetson:
        return "sudo apt install python3-libnvinfer, then a virtual environment with --system-site-packages"
    return f"pip install 'codriver[{runtime}]'"


def clocks_mhz(root: Path = ROOT) -> tuple[int, int] | None:
    """Lowest and highest of the cores' clocks at this moment."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    found = [khz / 1e3 for path in paths if (khz := as_number(read_text(path))) is not None]
    if not found:
        told = map(as_number, values(root / "proc/cpuinfo", "cpu MHz"))
        found = [mhz for mhz in told if mhz is not None]
    return (round(min(found)), round(max(found))) if found else None


def governor(root: Path = ROOT) -> str | None:
    """What sets the first core's clock: performance, schedutil, powersave."""
    return read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def memory_mb(root: Path = ROOT) -> tuple[int, int] | None:
    """All of it, and what a new process could have. A Jetson's GPU shares it."""
    told = [values(root / "proc/meminfo", key) for key in ("MemTotal", "MemAvailable")]
    try:
        total, available = (int(found[0].removesuffix(" kB")) // 1024 for found in told)
    except (IndexError, ValueError):
        return None
    return total, available


def gpus(root: Path = ROOT) -> list[dict[str, str | None]]:
    """NVIDIA GPUs with name, compute capability, driver and memory, without CUDA being opened."""
    driver = jetson.driver_version(root)
    if jetson.is_jetson(root):
        capability = jetson.compute_capability(root)
        return [{"name": "of the module", "compute_capability": capability, "driver": driver, "memory": "shared"}]
    found = _nvidia_smi() if root == ROOT else []
    if found:
        return found
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    names = [name for path in files for name in values(path, "Model")]
    return [{"name": name, "compute_capability": None, "driver": driver, "memory": None} for name in names]


def _nvidia_smi() -> list[dict[str, str | None]]:
    """What the driver's own tool lists; nothing where there is none, or none that answers in time."""
    import shutil  # here, because every program that imports codriver would wait 6 ms for them
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return []
    keys = ("name", "compute_capability", "driver", "memory")
    command = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [dict(zip(keys, row, strict=True)) for row in rows if len(row) == len(keys)]


def summarise_ms(values_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and worst of times in milliseconds."""
    return {name: round(float(np.percentile(values_ms, share)), 3) for name, share in PERCENTILES.items()}
