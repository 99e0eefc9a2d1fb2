"""Profiles: what is known of a device and asked of a bundle for it. One TOML file a device, one target a power mode.

A file without `[modes]` is one target, named as the file: l4.toml is `l4`. Each table `[modes.25w]` of
orin-nx-16gb.toml is a target `orin-nx-16gb-25w`: the file's keys, and those of the table over them. To add a device,
drop one file into targets/profiles, or into a folder of your own and give it as --profiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codriver.engines.base import RUNTIMES
from codriver.errors import ConfigError

FOLDER = Path(__file__).parent
KINDS = ("jetson", "gpu", "cpu")
PRECISIONS = ("fp32", "fp16")
TENSORRT = ("10.3", "10.16", "11.4")  # versions whose bindings our calls are checked against
JETPACK = ("6.1", "6.2", "7.2", "7.2.2")
RATES = ("int8_dense_tops", "fp16_dense_tflops", "fp32_tflops", "bandwidth_gb_per_s", "launch_us")


def number(unit: str, low: float, high: float, **more: Any) -> Any:
    """A field that holds low..high; a value outside was most likely given in another unit."""
    return field(metadata={"unit": unit, "low": low, "high": high}, **more)


def choice(*values: str, **more: Any) -> Any:
    return field(metadata={"choices": values}, **more)


@dataclass(frozen=True)
class Variant:
    """Graphs to pack, and the runtime that they are for."""

    dialect: str  # quantize's name: tensorrt, ort-x86, ...
    engine: str = choice(*RUNTIMES)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One target. Throughput is dense: no structured sparsity. Accuracy in points: 1.0 is one of a hundred clips."""

    name: str  # of the target: the file's name and the mode's
    title: str  # for people
    kind: str = choice(*KINDS)
    variants: tuple[Variant, ...]  # best first
    other_precision: str = choice(*PRECISIONS)  # of all that is not INT8
    memory_gb: float = number("gigabytes", 0.5, 4096)  # of the GPU, or of all where it is shared
    bandwidth_gb_per_s: float = number("gigabytes per second", 1, 20000)
    int8_dense_tops: float = number("10^12 operations per second", 0.001, 20000)  # a multiply-accumulate is two
    fp16_dense_tflops: float = number("10^12 operations per second", 0.001, 20000)
    fp32_tflops: float = number("10^12 operations per second", 0.001, 20000)
    launch_us: float = number("microseconds", 0, 1000)  # to start one kernel
    latency_budget_ms: float = number("milliseconds", 0.1, 10000)  # of a step: encoder, fuser and all around them, p99
    memory_budget_mb: float = number("megabytes", 1, 1e6)  # of the process at its peak
    accuracy_budget_points: Mapping[str, float]  # task -> points of accuracy that INT8 may lose
    source: Mapping[str, str]  # key of RATES -> where the number is from
    tensorrt: tuple[str, ...] = choice(*TENSORRT, default=())  # versions that may build here
    jetpack: tuple[str, ...] = choice(*JETPACK, default=())
    compute_capability: str = ""  # of a GPU: "8.7"
    nvpmodel: str = ""  # name of the power mode in /etc/nvpmodel.conf; its number differs from module to module
    # What a CPU runtime does beside an INT8 convolution's products; GPUs do it within, so 0.
    recode_ns: float = number("nanoseconds", 0, 100, default=0)  # to bring one sum, or one value, to or from 8 bits
    gather_ns: float = number("nanoseconds", 0, 100, default=0)  # to lay out one pixel for one place of a kernel
    sms: int = number("streaming multiprocessors", 1, 1000, default=0)
    cores: int = number("processor cores", 1, 1024, default=0)
    clock_mhz: float = number("megahertz", 100, 10000, default=0)

    @property
    def dialects(self) -> tuple[str, ...]:
        return tuple(variant.dialect for variant in self.variants)

    def without(self, tasks: Collection[str]) -> Profile:
        """The same target for a model that does not answer these."""
        kept = {task: points for task, points in self.accuracy_budget_points.items() if task not in tasks}
        return replace(self, accuracy_budget_points=kept)


def targets_of(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Every target's name and the file that it is in: shipped ones, then those in `folders`."""
    from targets.profiles.profile_reader import mode_names

    found: dict[str, Path] = {}
    for path in _files(folders):
        for name in mode_names(path):
            if name in found:
                raise ConfigError(f"target {name} is in {found[name]} and in {path}; rename or remove one of them")
            found[name] = path
    return found


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in (FOLDER, *folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; give one that holds profiles, NAME.toml")
        yield from sorted(folder.glob("*.toml"))


def names(folders: Sequence[Path] = ()) -> list[str]:
    return sorted(targets_of(folders))


def load_profile(name: str, folders: Sequence[Path] = ()) -> Profile:
    """The profile of a target; a ConfigError says what is wrong with its file, and in which line."""
    from targets.profiles.profile_reader import read_profile

    found = targets_of(folders)
    if name not in found:
        raise ConfigError(f"target {name!r} is not known; {_advice(name, sorted(found))}")
    return read_profile(found[name], name)


def _advice(name: str, known: list[str]) -> str:
    modes = [other for other in known if other.startswith(f"{name}-")]
    if modes:
        return f"it is one of {', '.join(modes)}: a power mode belongs to the name"
    close = difflib.get_close_matches(name, known, n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}choose from {', '.join(known)}, or add a profile of your own with --profiles FOLDER"
