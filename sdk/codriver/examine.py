"""What a machine has and what a bundle would need of it, told without running either: facts, and advice with reasons.

Nothing is imported that was not there already, nothing is written, nothing is sent. `root` is where the system's files
lie: tests make their own.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import codriver
from codriver import jetson
from codriver.bundle import why_not
from codriver.cpu import cpu_features, default_threads
from codriver.engines import RUNTIMES, UNPROVEN
from codriver.engines.store import CACHE_VARIABLE, store_folder
from codriver.engines.trt_build import NEWEST, OLDEST
from codriver.machine import (
    ROOT,
    clocks_mhz,
    describe_machine,
    governor,
    gpus,
    how_to_install,
    memory_mb,
    read_text,
    runtime_version,
)
from codriver.manifest import Manifest, VariantSpec
from codriver.trust import SIGNATURE_NAME

PYTHONS = ((3, 10), (3, 13))  # first and last that codriver is tested with
OLDEST_ORT = (1, 20)
LAST_ORT_FOR_3_10 = "1.23.2"
CUDA = ("cuda.bindings", "pycuda")  # one of them, beside TensorRT
LEAST_MEMORY_MB, LEAST_DISK_MB = 1000, 2000  # of a process with TensorRT, and of a few plans being written
OTHER_TARGET = "build the bundle for this machine; python -m targets.list, in the workshop, names the targets"
PACKAGES = {  # module -> how it is got, and what for
    "onnxruntime": ("", "CPU graphs"),
    "openvino": ("", "CPU graphs, Intel's way"),
    "tensorrt": ("", "NVIDIA GPU"),
    "cuda.bindings": ("pip install cuda-bindings", "NVIDIA GPU, beside tensorrt"),
    "pycuda": ("pip install pycuda", "instead of cuda-bindings"),
    "cv2": ("pip install opencv-python-headless", "resizing and decoding"),
    "cryptography": ("pip install 'codriver[trust]'", "signatures"),
    "mcap": ("pip install 'codriver[record]'", "recordings"),
}


@dataclass(frozen=True)
class Advice:
    """One thing to do. needed: without it, nothing (or not this bundle) runs here."""

    what: str  # that was found, and why it matters
    do: str
    needed: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def machine_facts(root: Path = ROOT) -> dict[str, Any]:
    """All that is known of this machine, JSON-ready."""
    cpu, memory, clocks = describe_machine(), memory_mb(root), clocks_mhz(root)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(root / "etc/os-release") or "", re.MULTILINE)
    return {
        "codriver": codriver.__version__,
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
            "governor": governor(root),
            "clocks_mhz": list(clocks) if clocks else None,
        },
        "memory_mb": {"total": memory[0], "available": memory[1]} if memory else None,
        "jetson": _jetson_facts(root) if jetson.is_jetson(root) else None,
        "gpus": gpus(root),
        "packages": {module: runtime_version(module) for module in PACKAGES},
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


def machine_advice(facts: Mapping[str, Any], root: Path = ROOT) -> list[Advice]:
    """What is wrong with the machine itself, whatever the bundle."""
    return [*_of_python(facts), *_of_packages(facts, root), *_of_clocks(facts), *_of_room(facts)]


def _of_python(facts: Mapping[str, Any]) -> list[Advice]:
    version = _release(facts["python"])
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return []
    span = " to ".join(".".join(map(str, version)) for version in PYTHONS)
    return [Advice(f"Python {facts['python']}: codriver is tested with {span}", "make a virtual environment with one")]


def _of_packages(facts: Mapping[str, Any], root: Path) -> list[Advice]:
    packages, found = facts["packages"], []
    if packages["cv2"] is None:
        found.append(Advice("OpenCV is missing: frames cannot be resized", PACKAGES["cv2"][0], needed=True))
    if not any(packages[runtime] for runtime in RUNTIMES):
        found.append(Advice("there is no runtime, so nothing can run", _install_ort(facts), needed=True))
    ort, trt = packages["onnxruntime"], packages["tensorrt"]
    if ort and _release(ort) < OLDEST_ORT and _release(ort) != (0, 0):
        found.append(Advice(f"ONNX Runtime {ort} is older than 1.20, the oldest that is tested", _install_ort(facts)))
    if trt and not OLDEST <= _release(trt) < NEWEST and _release(trt) != (0, 0):
        do = "take the one of JetPack 6.1 or newer" if facts["jetson"] else "pip install 'tensorrt>=10.3,<12'"
        found.append(Advice(f"TensorRT {trt}: codriver is written for 10.3 to 11", do))
    if trt and not any(packages[module] for module in CUDA):
        found.append(Advice("TensorRT is there, but no way to CUDA's memory and streams", PACKAGES["cuda.bindings"][0]))
    if not trt and list((root / "usr/lib").glob("python3*/dist-packages/tensorrt")):
        what = "JetPack's TensorRT is on this machine, but this virtual environment does not see it"
        found.append(Advice(what, "python3 -m venv --system-site-packages, and install codriver there"))
    elif not trt and facts["gpus"]:
        found.append(Advice("there is an NVIDIA GPU, and no TensorRT to use it with", _install("tensorrt", facts)))
    return found


def _install_ort(facts: Mapping[str, Any]) -> str:
    if _release(facts["python"]) == (3, 10):
        return f"pip install onnxruntime=={LAST_ORT_FOR_3_10} (the last one for Python 3.10)"
    return _install("onnxruntime", facts)


def _install(runtime: str, facts: Mapping[str, Any]) -> str:
    return how_to_install(runtime, facts["jetson"] is not None)


def _of_clocks(facts: Mapping[str, Any]) -> list[Advice]:
    cpu, board, found = facts["cpu"], facts["jetson"], []
    if cpu["governor"] == "powersave":
        do = "sudo jetson_clocks" if board else "sudo cpupower frequency-set -g performance"
        found.append(Advice("the governor is powersave: clocks rise late, so the slowest steps get slower", do))
    modes = board["power_modes"] if board else {}
    fastest = next((number for number, name in modes.items() if name.startswith("MAXN")), None)
    if fastest and not (board["power_mode"] or "").startswith("MAXN"):
        what = f"power mode {board['power_mode']}: this module is faster in {modes[fastest]}"
        found.append(Advice(what, f"sudo nvpmodel -m {fastest}, if supply and cooling allow it"))
    return found


def dialect_advice(facts: Mapping[str, Any]) -> list[Advice]:
    """Which INT8 graphs suit this processor, for who has no bundle yet."""
    features = facts["cpu"]["features"]
    if "x86" not in features or "vnni" in features:
        return []
    what = "this processor has no VNNI: full-range INT8 weights overflow in it, 7-bit ones do not"
    return [Advice(what, "build for target x86-no-vnni, or another that has the variant ort-x86-7bit")]


def _of_room(facts: Mapping[str, Any]) -> list[Advice]:
    memory, store, found = facts["memory_mb"], facts["store"], []
    if memory and memory["available"] < LEAST_MEMORY_MB:
        what = f"{memory['available']} MB of memory are free; a runtime takes up to {LEAST_MEMORY_MB}"
        found.append(Advice(what, "end what else runs; on a Jetson, the desktop: sudo systemctl isolate multi-user"))
    if facts["packages"]["tensorrt"]:  # only TensorRT compiles
        if not store["writable"]:
            what = f"compiled engines cannot be kept ({store['why']}), so each start compiles for minutes"
            found.append(Advice(what, f"name a folder of your own in {CACHE_VARIABLE}"))
        elif store["free_mb"] < LEAST_DISK_MB:
            what = f"{store['free_mb']} MB are free where compiled engines are kept"
            found.append(Advice(what, f"make room, or name another folder in {CACHE_VARIABLE}"))
    return found


def bundle_facts(folder: Path, manifest: Manifest, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a bundle would run here. Its files are not checked: `codriver verify` does that."""
    lacks = {variant.name: _lacks(variant, facts) for variant in manifest.variants}
    return {
        "id": manifest.id,
        "version": manifest.version,
        "target": manifest.target,
        "fits": fits(manifest.target, facts),
        "signed": (folder / SIGNATURE_NAME).is_file(),
        "golden": manifest.golden is not None,
        "variants": [
            {"name": v.name, "engine": v.engine, "lacks": lacks[v.name], "unproven": UNPROVEN.get(v.engine)}
            for v in manifest.variants
        ],
        "variant": next((name for name, lacking in lacks.items() if not lacking), None),
    }


def _lacks(variant: VariantSpec, facts: Mapping[str, Any]) -> str:
    """As `why_not`, and for a GPU what else it takes."""
    parts = [why_not(variant, facts["cpu"]["features"])]
    if variant.engine == "tensorrt":
        if not facts["gpus"]:
            parts.append("needs an NVIDIA GPU, none is seen here")
        elif not any(facts["packages"][module] for module in CUDA):
            parts.append(f"needs cuda-bindings or pycuda ({PACKAGES['cuda.bindings'][0]})")
    return " and ".join(filter(None, parts))


def fits(target: str, facts: Mapping[str, Any]) -> bool | None:
    """Whether this is the device that the target's name speaks of; None where nothing is known of it.

    The names of targets begin with the module, or are in the GPU's name: "rtx-4090" in "NVIDIA GeForce RTX 4090".
    """
    devices = [facts["jetson"]["module"]] if facts["jetson"] else [_slug(gpu["name"] or "") for gpu in facts["gpus"]]
    if target.startswith(("orin-", "agx-orin-")):
        return any(device is not None and f"{target}-".startswith(f"{device}-") for device in devices)
    if target.startswith(("x86-", "arm-")):
        return target.partition("-")[0] in facts["cpu"]["features"]
    if not facts["jetson"] and any(f"-{target}-" in f"-{device}-" for device in devices):
        return True
    return None


def mode_of(target: str, module: str) -> str:
    """ "25w" of "orin-nano-8gb-25w"."""
    return target.removeprefix(module).lstrip("-")


def bundle_advice(found: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Advice]:
    """What stands between a bundle and this machine."""
    advice = []
    first, *_ = found["variants"]
    if found["variant"] is None:
        why = "; ".join(f"{variant['name']} {variant['lacks']}" for variant in found["variants"])
        advice.append(Advice(f"nothing of the bundle can run here: {why}", _way_out(found, facts), needed=True))
    elif "needs" in first["lacks"] and "requires" not in first["lacks"]:  # what can be installed, not bought
        what = f"{first['name']}, the bundle's best variant, {first['lacks']}"
        advice.append(Advice(what, f"install that; until then {found['variant']} runs"))
    if found["fits"] is False and found["variant"]:
        what = f"the bundle was built for {found['target']}, and this is {_device(facts)}: its budgets are another's"
        advice.append(Advice(what, OTHER_TARGET))
    module = (facts["jetson"] or {}).get("module")
    if found["fits"] and module:
        advice += _mode_advice(mode_of(found["target"], module), facts["jetson"])
    if found["signed"] and facts["packages"]["cryptography"] is None:
        advice.append(Advice("the bundle is signed, and nothing here can check it", PACKAGES["cryptography"][0]))
    return advice


def _mode_advice(wanted: str, board: Mapping[str, Any]) -> list[Advice]:
    numbers = {_slug(name): number for number, name in board["power_modes"].items()}
    if not wanted or _slug(board["power_mode"] or "") == wanted:
        return []
    what = f"the bundle's budgets are for power mode {wanted.upper()}, this is {board['power_mode'] or 'not known'}"
    do = f"sudo nvpmodel -m {numbers[wanted]}" if wanted in numbers else "sudo nvpmodel -q lists this module's modes"
    return [Advice(what, do)]


def _way_out(found: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Install what the first variant lacks that this processor could run; else another bundle."""
    for variant in found["variants"]:
        lacks, engine = variant["lacks"], variant["engine"]
        if "requires" in lacks or "NVIDIA GPU" in lacks:
            continue
        if facts["packages"][engine] is None:
            return _install_ort(facts) if engine == "onnxruntime" else _install(engine, facts)
        return PACKAGES["cuda.bindings"][0]
    return OTHER_TARGET


def _device(facts: Mapping[str, Any]) -> str:
    board = facts["jetson"]
    if board:
        return str(board["module"] or board["board"] or "a Jetson that is not known")
    return ", ".join(gpu["name"] or "a GPU" for gpu in facts["gpus"]) or f"{facts['architecture']} without a GPU"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _release(version: str) -> tuple[int, int]:
    """(1, 23) of "1.23.2"; (0, 0) of a version that is not told."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
