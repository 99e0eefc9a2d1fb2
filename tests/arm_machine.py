"""An ARM machine in a folder: an emulator, Debian's arm64 Python, and the aarch64 wheels of what a device installs.

Nothing is installed on this system and nothing needs root: packages are downloaded and unpacked into the folder. It is
laid out as a virtual environment, so that `env/bin/python` is an interpreter like any other, also for child processes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from tests import ROOT

DEBIAN = ("python3", "libstdc++6")  # with all they depend on; the wheels of ONNX Runtime and OpenCV need no more
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014")
APT = """APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Debug::NoLocking "true";
"""


class MissingError(Exception):
    """What is not there, and how to get it."""


@dataclass(frozen=True)
class Processor:
    """What the kernel of a machine with this processor says in /proc/cpuinfo; qemu passes the host's on."""

    part: str
    features: str


# Orin's Cortex-A78AE has the A76's instructions, dot products among them; the A72 of a Raspberry Pi 4 has none.
PROCESSORS = {
    "cortex-a76": Processor(
        "0xd0b", "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    ),
    "cortex-a72": Processor("0xd08", "fp asimd aes pmull sha1 sha2 crc32 cpuid"),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An emulated one: `python` runs as if it were this system's."""

    folder: Path
    python: Path
    qemu: str  # its version
    processor: str
    packages: tuple[str, ...]  # name==version


def prepare(folder: Path, processor: str, wanted: Sequence[str] = ()) -> Machine:
    """What is there already is not fetched again. wanted: requirements, as pip takes them, instead of ours.

    Raises MissingError.
    """
    if platform.machine() in ("aarch64", "arm64"):
        raise MissingError("this processor is an ARM itself, there is nothing to emulate; run pytest itself")
    emulator = find(*EMULATORS, package="qemu-user-static")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "sysroot").is_dir():
        unpack_debian(folder)
    interpreter = (folder / "sysroot/usr/bin/python3").resolve()
    lay_out(folder, emulator, interpreter, processor)
    packages = requirements(wanted)
    install(packages, folder / "env/lib" / interpreter.name / "site-packages", interpreter.name.removeprefix("python"))
    return Machine(
        folder=folder,
        python=folder / "env/bin/python",
        qemu=output([emulator, "--version"]).split("\n")[0],
        processor=processor,
        packages=tuple(packages),
    )


def find(*names: str, package: str) -> str:
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise MissingError(f"{names[0]} is not installed: apt-get install {package}")


def unpack_debian(folder: Path) -> None:
    """Raises MissingError where apt or its arm64 index is missing."""
    sys.stderr.write("  Debian's arm64 Python, about 16 MB\n")
    apt, dpkg = find("apt-get", package="apt"), find("dpkg-deb", package="dpkg")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        own, root = Path(name), Path(name) / "sysroot"
        for part in ("state/lists/partial", "cache/archives/partial", "sysroot"):
            (own / part).mkdir(parents=True)
        (own / "status").touch()  # nothing is installed, so all that a package depends on comes with it
        (own / "apt.conf").write_text(APT.format(folder=own))
        environment = os.environ | {"APT_CONFIG": str(own / "apt.conf")}
        output([apt, "update"], environment)
        output([apt, "--yes", "--download-only", "install", *DEBIAN], environment)
        for package in sorted((own / "cache/archives").glob("*.deb")):
            output([dpkg, "-x", str(package), str(root)])
        if not (root / "lib").exists():  # from Debian 13 on all of it lies in /usr/lib
            (root / "lib").symlink_to("usr/lib")
        if not (root / "usr/bin/python3").exists():
            raise MissingError("Debian's arm64 packages held no python3; delete the folder and try again")
        root.rename(folder / "sysroot")


def lay_out(folder: Path, emulator: str, interpreter: Path, processor: str) -> None:
    """Write the small files, each time: the folder may have moved, and the processor may be another."""
    chip = PROCESSORS[processor]
    cores = [
        f"processor\t: {core}\nFeatures\t: {chip.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {chip.part}\nCPU revision\t: 0\n"
        for core in range(os.cpu_count() or 1)
    ]
    (folder / "sysroot/proc").mkdir(exist_ok=True)
    (folder / "sysroot/proc/cpuinfo").write_text("\n".join(cores))  # ONNX Runtime crashes on one of an x86
    python = folder / "env/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    (folder / "env/pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    # A script, because this system's kernel starts child processes, and it does not know how to start ARM programs.
    call = f"'{emulator}' -cpu {processor} -L '{folder}/sysroot' -0 '{python}' '{interpreter}'"
    python.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
    python.chmod(0o755)


def requirements(wanted: Sequence[str] = ()) -> list[str]:
    """What a device installs and what the tests need, as pyproject.toml names it, in the versions that this Python has.

    The same versions, so that what differs is the processor.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = [one for one in extras["dev"] + extras["quantize"] if name_of(one) in ("pytest", "hypothesis", "onnx")]
    names = [name_of(one) for one in project["dependencies"] + extras["trust"] + extras["record"] + tools]
    ours = {name: f"{name}=={importlib.metadata.version(name)}" for name in names}
    return sorted((ours | {name_of(one): one for one in wanted}).values())


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower()


def install(packages: Sequence[str], site: Path, version: str) -> None:
    """Wheels for aarch64, and no others, into `site`. version: of Python, "3.11"."""
    stamp = site / "packages.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == list(packages):
        return
    sys.stderr.write(f"  aarch64 wheels for Python {version}: {', '.join(packages)}\n")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", version, *(f"--platform={tag}_aarch64" for tag in TAGS)]
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent) as name:
        fresh = Path(name) / "site-packages"
        output([*command, "--no-compile", "--target", str(fresh), *packages])
        (fresh / stamp.name).write_text(json.dumps(list(packages)))
        shutil.rmtree(site, ignore_errors=True)
        fresh.rename(site)


def output(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What it printed. Raises MissingError with its last lines if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise MissingError(f"{' '.join(command[:4])} … failed:\n    {last}")
    return done.stdout
