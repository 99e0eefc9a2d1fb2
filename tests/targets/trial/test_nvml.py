"""Energy of GPUs: NVIDIA's real module, once without a driver and once over a stub of the driver's library."""

from __future__ import annotations

import ctypes.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from targets.trial.conditions import NOT_OFFERED, EnergyMeter
from targets.trial.nvml import GpuCounters

pynvml = pytest.importorskip("pynvml")

# Two GPUs whose counters stand 1.5 J and 0.5 J higher at each reading; NVML counts in millijoules.
STUB = """
#include <string.h>
static unsigned long long count[2];
static int gpus[2] = {0, 1};
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **handle) { *handle = &gpus[n]; return 0; }
int nvmlDeviceGetName(void *handle, char *name, unsigned length) { strncpy(name, "NVIDIA Stub", length); return 0; }
const char *nvmlErrorString(int code) { return "Not Supported"; }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    int n = *(int *)handle;
    *millijoules = count[n] += n ? 500 : 1500;
    return CODE;
}
"""
METER = """
import json, pathlib, sys
from targets.trial.conditions import EnergyMeter
with EnergyMeter(pathlib.Path(sys.argv[1]), gpu=True) as meter:
    for line in sys.argv[2:]:
        pathlib.Path(sys.argv[1], "sys/class/powercap/intel-rapl:0/energy_uj").write_text(line)
print(json.dumps([meter.joules, meter.source]))
"""


def metered(tmp_path: Path, root: Path, *lines: str, gpus: int = 2, code: int = 0) -> tuple[float | None, str]:
    """What a meter says in a process whose driver library is the stub. code: NVML's answer, 3 is NOT_SUPPORTED."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, to make a library that stands in for the driver's")
    (tmp_path / "stub.c").write_text(STUB.replace("COUNT", str(gpus)).replace("CODE", str(code)))
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "stub.c"], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", METER, root, *lines]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    joules, source = json.loads(done.stdout)
    return joules, source


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nvmlInit", 0),
        ("nvmlDeviceGetCount", 0),
        ("nvmlDeviceGetHandleByIndex", 1),
        ("nvmlDeviceGetName", 1),
        ("nvmlDeviceGetTotalEnergyConsumption", 1),
    ],
)
def test_every_call_exists_in_nvidias_module_with_that_many_arguments(name: str, arguments: int) -> None:
    assert len(inspect.signature(getattr(pynvml, name)).parameters) == arguments


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has NVIDIA's driver")
def test_without_a_driver_there_is_a_reason_and_no_figure(tmp_path: Path) -> None:
    counters = GpuCounters()
    assert not counters and "NVML" in counters.why
    with EnergyMeter(tmp_path, gpu=True) as meter:
        pass
    assert meter.joules is None and meter.source == f"{NOT_OFFERED}: {counters.why}"


def test_without_the_module_the_reason_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuCounters().why == "nvidia-ml-py is not installed: pip install nvidia-ml-py"


def test_two_gpus_are_summed_in_joules(tmp_path: Path) -> None:
    joules, source = metered(tmp_path, tmp_path)
    assert joules == pytest.approx(2.0)
    assert source == "NVML, NVIDIA Stub, NVIDIA Stub (not tried on hardware yet)"


def lay_rapl(root: Path) -> None:
    """One package, whose counter stands at 1 J."""
    folder = root / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    for name, value in {"name": "package-0", "energy_uj": "1000000", "max_energy_range_uj": "9000000"}.items():
        (folder / name).write_text(value)


def test_the_processor_is_added_to_the_gpus(tmp_path: Path) -> None:
    lay_rapl(tmp_path)
    joules, source = metered(tmp_path, tmp_path, "4000000")
    assert joules == pytest.approx(5.0)
    assert source.startswith("RAPL, 1 package + NVML, ")


def test_a_gpu_without_a_counter_leaves_no_figure_though_the_processor_has_one(tmp_path: Path) -> None:
    lay_rapl(tmp_path)
    joules, source = metered(tmp_path, tmp_path, "4000000", code=3)
    assert joules is None and source == f"{NOT_OFFERED}: NVML: Not Supported"


def test_a_driver_without_a_gpu_is_told(tmp_path: Path) -> None:
    assert metered(tmp_path, tmp_path, gpus=0) == (None, f"{NOT_OFFERED}: NVML lists no GPU")
