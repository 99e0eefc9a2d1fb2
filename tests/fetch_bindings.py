"""NVIDIA's Python bindings, to check our calls against: python -m tests.fetch_bindings

Unpacked beside the virtual environment's packages, never installed: without TensorRT's libraries they do not import.
About 12 MB, once. Files that are there are not fetched again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# JetPack 6, JetPack 7.2, and the newest; reference/int8.md 2.9. The second column: what each is checked for.
TENSORRT = {
    "10.3": "tensorrt_cu12_bindings==10.3.0",
    "10.16": "tensorrt_cu13_bindings==10.16.1.11",
    "11.4": "tensorrt_cu13_bindings==11.4.0.106",
}
CUDA = {"12.9": "cuda-bindings==12.9.10", "13.5": "cuda-bindings==13.5.0"}
PATHFINDER = "cuda-pathfinder==1.9.0"  # cuda-bindings imports it


def folder_of(release: str) -> Path:
    """Where the bindings of a release are; one of the keys above."""
    where = os.environ.get("CODRIVER_BINDINGS") or Path(sys.prefix) / "bindings"
    kind = "tensorrt" if release in TENSORRT else "cuda"
    return Path(where) / f"{kind}-{release}-py{sys.version_info.major}{sys.version_info.minor}"


def main() -> int:
    missing = 0
    for release, package in {**TENSORRT, **CUDA}.items():
        folder = folder_of(release)
        if folder.is_dir():
            continue
        packages = [package] if release in TENSORRT else [package, PATHFINDER]
        missing += not all(_unpack(one, folder) for one in packages)
    return 1 if missing else 0


def _unpack(package: str, folder: Path) -> bool:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        downloads = Path(name)
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "-d", str(downloads), package]
        if subprocess.run(command).returncode:
            sys.stderr.write(f"fetch_bindings: {package} has no wheel for this Python and processor\n")
            return False
        whole = downloads / "unpacked"
        for wheel in downloads.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(whole)
        if folder.is_dir():
            shutil.copytree(whole, folder, dirs_exist_ok=True)
        else:
            whole.rename(folder)
    return True


if __name__ == "__main__":
    sys.exit(main())
