"""What the system's files say of an NVIDIA device: release of the board support package, power mode, driver."""

from __future__ import annotations

import re
from pathlib import Path

from codriver.device.system_files import read_text

ROOT = Path("/")
RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
JETPACK = {"36": "6", "38": "7.0 or 7.1", "39": "7.2"}  # by the release's first number
COMPUTE_CAPABILITY = {"tegra234": "8.7", "tegra264": "11.0"}  # Orin, Thor: the GPU is on the chip
# NVIDIA's part numbers, as the device tree has them -> what targets are named after. 0000 of p3701 is the 32 GB kit.
MODULES = {
    "p3767-0000": "orin-nx-16gb",
    "p3767-0001": "orin-nx-8gb",
    "p3767-0003": "orin-nano-8gb",
    "p3767-0004": "orin-nano-4gb",
    "p3767-0005": "orin-nano-8gb",  # of the developer kit
    "p3701-0000": "agx-orin-32gb",
    "p3701-0004": "agx-orin-32gb",
    "p3701-0005": "agx-orin-64gb",
}


def l4t_release(root: Path = ROOT) -> str | None:
    """ "36.4.3" from /etc/nv_tegra_release; None on what is no Jetson."""
    found = RELEASE.search(read_text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def jetpack(root: Path = ROOT) -> str | None:
    """What JetPack the release belongs to, as far as that is known."""
    return JETPACK.get((l4t_release(root) or "").partition(".")[0])


def is_jetson(root: Path = ROOT) -> bool:
    """A container often lacks the release file; the device tree shows through."""
    return (root / "etc/nv_tegra_release").exists() or "tegra" in _compatible(root)


def board(root: Path = ROOT) -> str | None:
    """The board's name for people: "NVIDIA Jetson Orin Nano Developer Kit"; None on what is no Jetson."""
    return read_text(root / "proc/device-tree/model").strip("\0\n ") or None if is_jetson(root) else None


def module(root: Path = ROOT) -> str | None:
    """What targets for this module begin with, such as "orin-nano-8gb"; None if it is not one that is known."""
    parts = re.findall(r"p\d{4}-\d{4}", _compatible(root))
    return next((MODULES[part] for part in parts if part in MODULES), None)


def compute_capability(root: Path = ROOT) -> str | None:
    """Of the chip's own GPU: "8.7" for every Orin."""
    return next((found for chip, found in COMPUTE_CAPABILITY.items() if chip in _compatible(root)), None)


def power_modes(root: Path = ROOT) -> dict[int, str]:
    """Names by number; the numbers differ from module to module."""
    found = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", read_text(root / "etc/nvpmodel.conf"))
    return {int(number): name for number, name in found}


def power_mode(root: Path = ROOT) -> str | None:
    """Name of the mode that nvpmodel set last, else of its default; None where there is no nvpmodel."""
    modes = power_modes(root)
    set_last = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status"))
    default = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", read_text(root / "etc/nvpmodel.conf"))
    number = set_last or default
    return modes.get(int(number[1])) if number else None


def driver_version(root: Path = ROOT) -> str | None:
    """Of the kernel driver; on a Jetson it comes with the release."""
    return read_text(root / "sys/module/nvidia/version") or l4t_release(root)


def _compatible(root: Path) -> str:
    return read_text(root / "proc/device-tree/compatible")
