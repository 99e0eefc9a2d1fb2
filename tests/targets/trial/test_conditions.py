"""Sensors, read from files laid out as Linux and Jetson lay them out."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import pytest

from targets.trial.conditions import NOT_OFFERED, EnergyMeter, conditions, identity, peak_memory_mb


def lay(root: Path, files: dict[str, object]) -> None:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")


RAPL = "sys/class/powercap/intel-rapl:0"
CHIP = "sys/class/hwmon/hwmon3"


def test_clocks_temperature_and_governor_are_read(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    lay(
        tmp_path,
        {
            f"{cpu}/cpu0/cpufreq/scaling_cur_freq": 1_500_000,
            f"{cpu}/cpu1/cpufreq/scaling_cur_freq": 2_200_000,
            f"{cpu}/cpu0/cpufreq/scaling_governor": "schedutil",
            "sys/class/thermal/thermal_zone0/temp": 41_500,
            "sys/class/thermal/thermal_zone1/temp": 63_000,
            "sys/class/thermal/thermal_zone2/temp": "",  # a zone of a part that is switched off
        },
    )
    found = conditions(tmp_path)
    assert found["cpu_mhz"] == [1500, 2200]
    assert found["hottest_c"] == 63.0
    assert found["governor"] == "schedutil"


def test_what_a_machine_does_not_tell_is_none(tmp_path: Path) -> None:
    found = conditions(tmp_path)
    assert found["cpu_mhz"] is found["hottest_c"] is found["power_mode"] is found["gpu_driver"] is None


def test_a_boards_serial_number_comes_from_the_device_tree_and_a_pcs_from_its_firmware(tmp_path: Path) -> None:
    assert identity(tmp_path)["serial"] is None
    lay(tmp_path, {"sys/class/dmi/id/product_serial": "PC7"})
    assert identity(tmp_path) == {"hostname": platform.node(), "serial": "PC7"}
    lay(tmp_path, {"proc/device-tree/serial-number": "1421234567890\0"})
    assert identity(tmp_path)["serial"] == "1421234567890"


def test_rapl_counts_packages_alone_and_outlives_the_counters_end(tmp_path: Path) -> None:
    counter = {"energy_uj": 9_000_000, "max_energy_range_uj": 10_000_000, "name": "package-0"}
    lay(tmp_path, {f"{RAPL}/{name}": value for name, value in counter.items()})
    lay(tmp_path, {f"{RAPL}:0/{name}": value for name, value in (counter | {"name": "core"}).items()})
    with EnergyMeter(tmp_path) as meter:
        lay(tmp_path, {f"{RAPL}/energy_uj": 500_000, f"{RAPL}:0/energy_uj": 9_900_000})
    assert meter.joules == pytest.approx(1.5)
    assert meter.source == "RAPL, 1 package"


def test_jetsons_rails_are_power_over_time_and_the_whole_board_is_not_counted_twice(tmp_path: Path) -> None:
    lay(tmp_path, {f"{CHIP}/name": "ina3221"})
    for number, (rail, milliampere) in enumerate(
        (("VDD_IN", 1000), ("VDD_CPU_GPU_CV", 600), ("VDD_SOC", 300)), start=1
    ):
        lay(tmp_path, {f"{CHIP}/in{number}_label": rail, f"{CHIP}/in{number}_input": 5000})
        lay(tmp_path, {f"{CHIP}/curr{number}_input": milliampere})
    start_s = time.perf_counter()
    with EnergyMeter(tmp_path) as meter:
        time.sleep(0.3)
        least_s = time.perf_counter() - start_s
    assert meter.joules is not None and 0 < meter.joules <= 5.0 * least_s
    assert "VDD_IN" in meter.source and "VDD_SOC" not in meter.source and "not tried on hardware" in meter.source


def test_without_a_meter_energy_is_none_never_zero(tmp_path: Path) -> None:
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules is None and meter.source == NOT_OFFERED


def test_the_peak_of_memory_is_in_megabytes_and_never_falls() -> None:
    before_mb = peak_memory_mb()
    held = bytearray(b"x") * (200 << 20)
    with_mb = peak_memory_mb()
    del held
    assert before_mb - 1 <= with_mb <= peak_memory_mb() + 1  # the kernel counts in batches
    assert 200 < with_mb < 20_000
