"""What is read from an NVIDIA device's files, on roots made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from codriver.device.jetson import driver_version, is_jetson, jetpack, l4t_release, power_mode

CONF = """
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
GPU MAX_FREQ 918000000
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
        "etc/nvpmodel.conf": CONF,
        "var/lib/nvpmodel/status": "pmode:0002\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_an_orin_tells_its_release_and_the_name_of_its_power_mode(orin: Path) -> None:
    assert (l4t_release(orin), jetpack(orin), power_mode(orin)) == ("36.4.3", "6", "MAXN_SUPER")
    assert is_jetson(orin) and driver_version(orin) == "36.4.3"


def test_a_mode_that_was_never_set_is_the_default(orin: Path) -> None:
    (orin / "var/lib/nvpmodel/status").unlink()
    assert power_mode(orin) == "25W"


def test_a_container_on_a_jetson_is_told_by_its_device_tree(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_bytes(b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    assert is_jetson(tmp_path)


def test_elsewhere_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert [read(tmp_path) for read in (l4t_release, jetpack, power_mode, driver_version)] == [None] * 4
    assert not is_jetson(tmp_path)


def test_a_desktop_has_the_version_of_its_kernel_driver(tmp_path: Path) -> None:
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    (tmp_path / "sys/module/nvidia/version").write_text("570.133.07\n")
    assert driver_version(tmp_path) == "570.133.07"
