"""What a machine has and what a bundle would need of it, told without running either: facts, and advice with reasons.

What is found is imported once, in processes of their own; nothing is written, nothing is sent. `root` is where the
system's files lie: tests make their own, and nothing is imported for them.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codriver.bundle.device_profile import read_target
from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import Manifest, VariantSpec
from codriver.bundle.signature import SIGNATURE_NAME
from codriver.bundle.variants import why_not
from codriver.device import jetson, machine
from codriver.device.cpu import cpu_features, default_threads
from codriver.device.system_files import read_text
from codriver.doctor.probe import probe
from codriver.engines.base import UNPROVEN
from codriver.engines.trt.store import store_folder
from codriver.version import VERSION

CUDA = ("cuda.bindings", "pycuda")  # one of them, beside TensorRT
PACKAGES = {  # module -> how it is got, and what for
    "onnxruntime": ("", "CPU graphs"),
    "openvino": ("", "CPU graphs, Intel's way"),
    "tensorrt": ("", "NVIDIA GPU"),
    "cuda.bindings": ("", "NVIDIA GPU, beside tensorrt"),
    "pycuda": ("pip install pycuda", "instead of cuda-bindings"),
    "cv2": ("pip install opencv-python-headless", "resizing and decoding"),
    "cryptography": ("pip install 'codriver[trust]'", "signatures"),
    "mcap": ("pip install 'codriver[record]'", "recordings"),
}


def machine_facts(root: Path = machine.ROOT) -> dict[str, Any]:
    """All that is known of this machine, JSON-ready."""
    cpu, memory, clocks = machine.describe_machine(), machine.memory_mb(root), machine.clocks_mhz(root)
    packages = {module: machine.runtime_version(module) for module in PACKAGES}
    tried = probe(module for module, version in packages.items() if version) if root == machine.ROOT else {}
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(root / "etc/os-release"), re.MULTILINE)
    return {
        "codriver": VERSION,
        "os": release[1] if release else platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "environment": sys.prefix if sys.prefix != sys.base_prefix else None,  # a virtual one
        "cpu": {
            "model": cpu["cpu"],
            "features": sorted(cpu_features(root / "proc/cpuinfo")),
            "cores": cpu["cores"],
            "threads": default_threads(),
            "governor": machine.governor(root),
            "clocks_mhz": list(clocks) if clocks else None,
        },
        "memory_mb": {"total": memory[0], "available": memory[1]} if memory else None,
        "jetson": _jetson_facts(root) if jetson.is_jetson(root) else None,
        "gpus": machine.gpus(root),
        "packages": packages,
        "broken": {module: answer["why"] for module, answer in tried.items() if answer["why"]},
        "rivals": {module: found for module in PACKAGES if (found := machine.rivals(module))}
        if root == machine.ROOT
        else {},
        "opencv_opens": tried.get("cv2", {}).get("opens"),
        "store": _store_facts(),
    }


def _jetson_facts(root: Path) -> dict[str, Any]:
    return {
        "board": jetson.board(root),
        "module": jetson.module(root),
        "l4t": jetson.l4t_release(root),
        "jetpack": jetson.jetpack(root),
        "power_mode": jetson.power_mode(root),
        "power_modes": {str(number): name for number, name in jetson.power_modes(root).items()},
    }


def _store_facts() -> dict[str, Any]:
    """Where compiled engines are kept. `writable` is of the nearest folder that is there already."""
    try:
        folder = store_folder()
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        sizes = [path.stat().st_size for path in folder.glob("*.entry")]
        free = shutil.disk_usage(there).free
    except OSError as error:
        return {"folder": None, "writable": False, "why": error.strerror or str(error)}
    writable = os.access(there, os.W_OK | os.X_OK)
    return {
        "folder": str(folder),
        "writable": writable,
        "why": None if writable else f"{there} may not be written",
        "entries": len(sizes),
        "mb": round(sum(sizes) / 1e6, 1),
        "free_mb": free // 1_000_000,
    }


def bundle_facts(folder: Path, manifest: Manifest, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a bundle would run here. Of its files only the profile is checked: `codriver verify` checks all."""
    target = read_target(Bundle(folder, manifest))
    lacks = {variant.name: _lacks(variant, facts) for variant in manifest.variants}
    return {
        "id": manifest.id,
        "version": manifest.version,
        "target": manifest.target,
        "profile": asdict(target) if target else None,
        "fits": fits(manifest.target, facts),
        "signed": (folder / SIGNATURE_NAME).is_file(),
        "golden": manifest.golden is not None,
        "variants": [
            {"name": v.name, "engine": v.engine, "lacks": lacks[v.name], "unproven": UNPROVEN.get(v.engine)}
            for v in manifest.variants
        ],
        "variant": _variant(manifest, lacks, facts),
    }


def _variant(manifest: Manifest, lacks: Mapping[str, str], facts: Mapping[str, Any]) -> str | None:
    """The one that opens. One whose runtime is there and broken is opened too, and fails: no other takes its place."""
    for variant in manifest.variants:
        if not lacks[variant.name]:
            return variant.name
        if variant.engine in facts["broken"] and not why_not(variant, facts["cpu"]["features"]):
            break
    return None


def _lacks(variant: VariantSpec, facts: Mapping[str, Any]) -> str:
    """As `why_not`, and for a GPU what else it takes."""
    parts = [why_not(variant, facts["cpu"]["features"])]
    if variant.engine in facts["broken"]:
        parts.append(f"needs {variant.engine}, and importing that fails")
    if variant.engine == "tensorrt":
        if not facts["gpus"]:
            parts.append("needs an NVIDIA GPU, none is seen here")
        elif not any(facts["packages"][module] for module in CUDA):
            parts.append(f"needs cuda-bindings or pycuda ({way_to('cuda.bindings', facts)})")
    return " and ".join(filter(None, parts))


def way_to(module: str, facts: Mapping[str, Any]) -> str:
    """How one of PACKAGES is got here."""
    board = facts["jetson"]
    if module == "cuda.bindings":  # version 13 wants a driver of CUDA 13; JetPack 6 has 12.6
        return (
            "pip install 'cuda-bindings>=12.8,<13'"
            if board and board["jetpack"] == "6"
            else "pip install cuda-bindings"
        )
    return PACKAGES[module][0] or machine.how_to_install(module, board is not None)


def fits(target: str, facts: Mapping[str, Any]) -> bool | None:
    """Whether this is the device that the target's name speaks of; None where nothing is known of it.

    The names of targets begin with the module, or are in the GPU's name: "rtx-4090" in "NVIDIA GeForce RTX 4090".
    """
    devices = [facts["jetson"]["module"]] if facts["jetson"] else [slug(gpu["name"] or "") for gpu in facts["gpus"]]
    if target.startswith(("orin-", "agx-orin-")):
        return any(device is not None and f"{target}-".startswith(f"{device}-") for device in devices)
    if target.startswith(("x86-", "arm-")):
        return target.partition("-")[0] in facts["cpu"]["features"]
    if not facts["jetson"] and any(f"-{target}-" in f"-{device}-" for device in devices):
        return True
    return None


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
