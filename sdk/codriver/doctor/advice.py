"""What stands between a machine, or a bundle, and its best: one line of what was found, one of what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.device.imports import way_out
from codriver.device.machine import ROOT
from codriver.doctor.facts import CUDA, slug, way_to
from codriver.engines.base import RUNTIMES
from codriver.engines.trt.build import NEWEST, OLDEST
from codriver.engines.trt.store import CACHE_VARIABLE

PYTHONS = ((3, 10), (3, 13))  # first and last that codriver is tested with
OLDEST_ORT = (1, 20)
LAST_ORT_FOR_3_10 = "1.23.2"
LEAST_MEMORY_MB, LEAST_DISK_MB = 1000, 2000  # of a process with TensorRT, and of a few plans being written
OTHER_TARGET = "build the bundle for this machine; python -m targets.list, in the workshop, names the targets"


@dataclass(frozen=True)
class Advice:
    """One thing to do. needed: without it, nothing (or not this bundle) runs here."""

    what: str  # that was found, and why it matters
    do: str
    needed: bool = False


def machine_advice(facts: Mapping[str, Any], root: Path = ROOT) -> list[Advice]:
    """What is wrong with the machine itself, whatever the bundle."""
    return [*_of_python(facts), *_of_packages(facts, root), *_of_clocks(facts), *_of_room(facts)]


def _of_python(facts: Mapping[str, Any]) -> list[Advice]:
    version = _release(facts["python"])
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return []
    span = " to ".join(".".join(map(str, version)) for version in PYTHONS)
    return [Advice(f"Python {facts['python']}: codriver is tested with {span}", "make a virtual environment with one")]


def _of_packages(facts: Mapping[str, Any], root: Path) -> Iterator[Advice]:
    packages = facts["packages"]
    if packages["cv2"] is None:
        yield Advice("OpenCV is missing: frames cannot be resized", way_to("cv2", facts), needed=True)
    for module, why in facts["broken"].items():
        what = f"{module} {packages[module]} is installed, and importing it fails: {why}"
        yield Advice(what, way_out(module, why), needed=module == "cv2")
    for module, versions in facts["rivals"].items():
        names = " and ".join(f"{name} {version}" for name, version in versions.items())
        what = f"{names} bring the same module {module} and overwrite each other's files: which one runs is chance"
        yield Advice(what, f"pip uninstall {' '.join(versions)}, then install the one that is wanted")
    if facts["jetson"] and facts["opencv_opens"] and not facts["opencv_opens"]["GSTREAMER"]:
        what = "this OpenCV has no GStreamer, so it cannot open a Jetson's CSI cameras"
        yield Advice(what, "docs/device.md, Cameras, says which one can")
    if not any(packages[runtime] and runtime not in facts["broken"] for runtime in RUNTIMES):
        yield Advice("there is no runtime, so nothing can run", _install_ort(facts), needed=True)
    ort, trt = packages["onnxruntime"], packages["tensorrt"]
    if ort and _release(ort) < OLDEST_ORT and _release(ort) != (0, 0):
        yield Advice(f"ONNX Runtime {ort} is older than 1.20, the oldest that is tested", _install_ort(facts))
    if trt and not OLDEST <= _release(trt) < NEWEST and _release(trt) != (0, 0):
        do = "take the one of JetPack 6.1 or newer" if facts["jetson"] else "pip install 'tensorrt>=10.3,<12'"
        yield Advice(f"TensorRT {trt}: codriver is written for 10.3 to 11", do)
    if trt and not any(packages[module] for module in CUDA):
        yield Advice("TensorRT is there, but no way to CUDA's memory and streams", way_to("cuda.bindings", facts))
    if not trt and list((root / "usr/lib").glob("python3*/dist-packages/tensorrt")):
        what = "JetPack's TensorRT is on this machine, but this virtual environment does not see it"
        yield Advice(what, "python3 -m venv --system-site-packages, and install codriver there")
    elif not trt and facts["gpus"]:
        yield Advice("there is an NVIDIA GPU, and no TensorRT to use it with", way_to("tensorrt", facts))


def _install_ort(facts: Mapping[str, Any]) -> str:
    if _release(facts["python"]) == (3, 10):
        return f"pip install onnxruntime=={LAST_ORT_FOR_3_10} (the last one for Python 3.10)"
    return way_to("onnxruntime", facts)


def _of_clocks(facts: Mapping[str, Any]) -> Iterator[Advice]:
    cpu, board = facts["cpu"], facts["jetson"]
    if cpu["governor"] == "powersave":
        do = "sudo jetson_clocks" if board else "sudo cpupower frequency-set -g performance"
        yield Advice("the governor is powersave: clocks rise late, so the slowest steps get slower", do)


def choice_advice(facts: Mapping[str, Any]) -> Iterator[Advice]:
    """What this machine is best at, for who has no bundle yet: a bundle says itself what it wants."""
    board, features = facts["jetson"], facts["cpu"]["features"]
    modes = board["power_modes"] if board else {}
    fastest = next((number for number, name in modes.items() if name.startswith("MAXN")), None)
    if fastest and not (board["power_mode"] or "").startswith("MAXN"):
        what = f"power mode {board['power_mode']}: this module is faster in {modes[fastest]}"
        yield Advice(what, f"sudo nvpmodel -m {fastest}, if supply and cooling allow it")
    if "x86" in features and "vnni" not in features:
        what = "this processor has no VNNI: full-range INT8 weights overflow in it, 7-bit ones do not"
        yield Advice(what, "build for target x86-no-vnni, or another that has the variant ort-x86-7bit")


def _of_room(facts: Mapping[str, Any]) -> Iterator[Advice]:
    memory, store = facts["memory_mb"], facts["store"]
    if memory and memory["available"] < LEAST_MEMORY_MB:
        what = f"{memory['available']} MB of memory are free; a runtime takes up to {LEAST_MEMORY_MB}"
        yield Advice(what, "end what else runs; on a Jetson, the desktop: sudo systemctl isolate multi-user")
    if facts["packages"]["tensorrt"]:  # only TensorRT compiles
        if not store["writable"]:
            what = f"compiled engines cannot be kept ({store['why']}), so each start compiles for minutes"
            yield Advice(what, f"name a folder of your own in {CACHE_VARIABLE}")
        elif store["free_mb"] < LEAST_DISK_MB:
            what = f"{store['free_mb']} MB are free where compiled engines are kept"
            yield Advice(what, f"make room, or name another folder in {CACHE_VARIABLE}")


def bundle_advice(found: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Advice]:
    """What stands between a bundle and this machine."""
    first, *_ = found["variants"]
    if found["variant"] is None:
        yield Advice(
            f"nothing of the bundle can run here: {first['name']} {first['lacks']}",
            _way_out(found, facts),
            needed=True,
        )
    elif "needs" in first["lacks"] and "requires" not in first["lacks"]:  # what can be installed, not bought
        what = f"{first['name']}, the bundle's best variant, {first['lacks']}"
        yield Advice(what, f"install that; until then {found['variant']} runs")
    if found["fits"] is False and found["variant"]:
        what = f"the bundle was built for {found['target']}, and this is {_device(facts)}: its budgets are another's"
        yield Advice(what, OTHER_TARGET)
    if found["fits"] and facts["jetson"]:
        yield from _mode_advice(mode_of(found, facts["jetson"]["module"]), facts["jetson"])
    budget_mb = (found["profile"] or {}).get("memory_budget_mb", 0)
    if facts["memory_mb"] and facts["memory_mb"]["available"] < budget_mb:
        what = f"{facts['memory_mb']['available']} MB of memory are free, the bundle may take {budget_mb:g}"
        yield Advice(what, "end what else runs here")
    if found["signed"] and facts["packages"]["cryptography"] is None:
        yield Advice("the bundle is signed, and nothing here can check it", way_to("cryptography", facts))


def _mode_advice(wanted: str, board: Mapping[str, Any]) -> list[Advice]:
    numbers = {slug(name): number for number, name in board["power_modes"].items()}
    if not wanted or slug(board["power_mode"] or "") == slug(wanted):
        return []
    what = f"the bundle's budgets are for power mode {wanted.upper()}, this is {board['power_mode'] or 'not told'}"
    number = numbers.get(slug(wanted))
    return [Advice(what, f"sudo nvpmodel -m {number}" if number else "sudo nvpmodel -q lists this module's modes")]


def _way_out(found: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Install what the first variant lacks that this processor could run; else another bundle."""
    for variant in found["variants"]:
        lacks, engine = variant["lacks"], variant["engine"]
        if "requires" in lacks or "NVIDIA GPU" in lacks:
            continue
        if "is for" in lacks:
            return f"install a version of {engine} that the bundle is for, or build the bundle for this one"
        if engine in facts["broken"]:
            return way_out(engine, facts["broken"][engine])
        if facts["packages"][engine] is None:
            return _install_ort(facts) if engine == "onnxruntime" else way_to(engine, facts)
        return way_to("cuda.bindings", facts)
    return OTHER_TARGET


def _device(facts: Mapping[str, Any]) -> str:
    board = facts["jetson"]
    if board:
        return str(board["module"] or board["board"] or "a Jetson that is not known")
    return ", ".join(gpu["name"] or "a GPU" for gpu in facts["gpus"]) or f"{facts['architecture']} without a GPU"


def mode_of(found: Mapping[str, Any], module: str) -> str:
    """The power mode that a bundle's budgets are for: "25W", or by its name "25w" of orin-nano-8gb-25w; "" for none."""
    return str((found["profile"] or {}).get("nvpmodel", "")) or found["target"].removeprefix(module).lstrip("-")


def _release(version: str) -> tuple[int, int]:
    """(1, 23) of "1.23.2"; (0, 0) of a version that is not told."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
