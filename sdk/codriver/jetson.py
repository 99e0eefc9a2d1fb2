"""What the system's files say of an NVIDIA device: release of the board support package, power mode, driver."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")
RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
JETPACK = {"36": "6", "38": "7.0 or 7.1", "39": "7.2"}  # by the release's first number


def l4t_release(root: Path = ROOT) -> str | None:
    """ "36.4.3" from /etc/nv_tegra_release; None on what is no Jetson."""
    found = RELEASE.search(_read(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def jetpack(root: Path = ROOT) -> str | None:
    """What JetPack the release belongs to, as far as that is known."""
    return JETPACK.get((l4t_release(root) or "").partition(".")[0])


def is_jetson(root: Path = ROOT) -> bool:
    """A container often lacks the release file; the device tree shows through."""
    return (root / "etc/nv_tegra_release").exists() or "tegra" in _read(root / "proc/device-tree/compatible")


def power_modes(root: Path = ROOT) -> dict[int, str]:
    """Names by number; the numbers differ from module to module."""
    found = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", _read(root / "etc/nvpmodel.conf"))
    return {int(number): name for number, name in found}


def power_mode(root: Path = ROOT) -> str | None:
    """Name of the mode that nvpmodel set last, else of its default; None where there is no nvpmodel."""
    modes = power_modes(root)
    set_last = re.search(r"pmode:(\d+)", _read(root / "var/lib/nvpmodel/status"))
    default = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", _read(root / "etc/nvpmodel.conf"))
    number = set_last or default
    return modes.get(int(number[1])) if number else None


def driver_version(root: Path = ROOT) -> str | None:
    """Of the kernel driver; on a Jetson it comes with the release."""
    return _read(root / "sys/module/nvidia/version").strip() or l4t_release(root)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
