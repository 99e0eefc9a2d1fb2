"""Profiles: what is known of a device and asked of a bundle for it. One TOML file a device, one target a power mode.

A file without `[modes]` is one target, named as the file: l4.toml is `l4`. Each table `[modes.25w]` of
orin-nx-16gb.toml is a target `orin-nx-16gb-25w`: the file's keys, and those of the table over them. To add a device,
drop one file into targets/profiles, or into a folder of your own and give it as --profiles.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomllib

from codriver.engines.base import RUNTIMES
from codriver.errors import ConfigError
from codriver.files.decode import Fault, decode, rule
from codriver.tasks import AIDE

FOLDER = Path(__file__).parent
KINDS = ("jetson", "gpu", "cpu")
PRECISIONS = ("fp32", "fp16")
TENSORRT = ("10.3", "10.16", "11.4")  # versions whose bindings our calls are checked against
JETPACK = ("6.1", "6.2", "7.2", "7.2.2")
HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
PAIR = re.compile(r"\s*([A-Za-z0-9_\-\"']+)\s*=")
RATES = ("int8_dense_tops", "fp16_dense_tflops", "fp32_tflops", "bandwidth_gb_per_s", "launch_us")


@dataclass(frozen=True, kw_only=True)
class ProfileVariant:
    """Graphs to pack, and the runtime that they are for."""

    dialect: str = rule(filled=True)  # quantize's name: tensorrt, ort-x86, ...
    engine: str = rule(choices=RUNTIMES)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One target. Throughput is dense: no structured sparsity. Accuracy in points: 1.0 is one of a hundred clips."""

    name: str  # of the target: the file's name and the mode's
    title: str = rule(filled=True)  # for people
    kind: str = rule(choices=KINDS)
    variants: tuple[ProfileVariant, ...] = rule(filled=True)  # best first
    other_precision: str = rule(choices=PRECISIONS)  # of all that is not INT8
    memory_gb: float = rule(unit="gigabytes", low=0.5, high=4096)  # of the GPU, or of all where it is shared
    bandwidth_gb_per_s: float = rule(unit="gigabytes per second", low=1, high=20000)
    int8_dense_tops: float = rule(
        unit="10^12 operations per second", low=0.001, high=20000
    )  # a multiply-accumulate is two
    fp16_dense_tflops: float = rule(unit="10^12 operations per second", low=0.001, high=20000)
    fp32_tflops: float = rule(unit="10^12 operations per second", low=0.001, high=20000)
    launch_us: float = rule(unit="microseconds", low=0, high=1000)  # to start one kernel
    latency_budget_ms: float = rule(
        unit="milliseconds", low=0.1, high=10000
    )  # of a step: encoder, fuser and all around them, p99
    memory_budget_mb: float = rule(unit="megabytes", low=1, high=1e6)  # of the process at its peak
    accuracy_budget_points: Mapping[str, float] = rule(
        unit="points of accuracy", low=0, high=100, keys=AIDE.names
    )  # task -> points of accuracy that INT8 may lose
    source: Mapping[str, str] = rule(keys=RATES, filled=True)  # key of RATES -> where the number is from
    tensorrt: tuple[str, ...] = rule((), choices=TENSORRT, absent=True)  # versions that may build here
    jetpack: tuple[str, ...] = rule((), choices=JETPACK, absent=True)
    compute_capability: str = rule("", absent=True)  # of a GPU: "8.7"
    nvpmodel: str = rule(
        "", absent=True
    )  # name of the power mode in /etc/nvpmodel.conf; its number differs from module to module
    # What a CPU runtime does beside an INT8 convolution's products; GPUs do it within, so 0.
    recode_ns: float = rule(
        0, unit="nanoseconds", low=0, high=100, absent=True
    )  # to bring one sum, or one value, to or from 8 bits
    gather_ns: float = rule(
        0, unit="nanoseconds", low=0, high=100, absent=True
    )  # to lay out one pixel for one place of a kernel
    maximum_ns: float = rule(
        0, unit="nanoseconds", low=0, high=100, absent=True
    )  # to compare one value where a maximum over an axis is looked for
    sms: int = rule(0, unit="streaming multiprocessors", low=1, high=1000, absent=True)
    cores: int = rule(0, unit="processor cores", low=1, high=1024, absent=True)
    clock_mhz: float = rule(0, unit="megahertz", low=100, high=10000, absent=True)

    @property
    def dialects(self) -> tuple[str, ...]:
        return tuple(variant.dialect for variant in self.variants)

    def without(self, tasks: Collection[str]) -> Profile:
        """The same target for a model that does not answer these."""
        kept = {task: points for task, points in self.accuracy_budget_points.items() if task not in tasks}
        return replace(self, accuracy_budget_points=kept)


def targets_of(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Every target's name and the file that it is in: shipped ones, then those in `folders`."""
    found: dict[str, Path] = {}
    for path in _files(folders):
        for name in ProfileFile(path).names:
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
    found = targets_of(folders)
    if name not in found:
        raise ConfigError(f"target {name!r} is not known; {_advice(name, sorted(found))}")
    return ProfileFile(found[name]).profile(name)


def _advice(name: str, known: list[str]) -> str:
    modes = [other for other in known if other.startswith(f"{name}-")]
    if modes:
        return f"it is one of {', '.join(modes)}: a power mode belongs to the name"
    close = difflib.get_close_matches(name, known, n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}choose from {', '.join(known)}, or add a profile of your own with --profiles FOLDER"


class ProfileFile:
    """One file, read strictly: every fault names the file, the line, and what is allowed there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text(encoding="utf-8")
            self._content = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        self._modes = self._content.pop("modes", {})
        tables = {"modes": self._modes}
        if isinstance(self._modes, dict):
            tables |= {f"modes.{mode}": table for mode, table in self._modes.items()}
        for place, table in tables.items():
            if not isinstance(table, dict):
                raise self._error(place, "is no table, expected [modes.NAME] for each power mode")

    @property
    def names(self) -> list[str]:
        """The targets that the file holds."""
        return [f"{self._path.stem}-{mode}" for mode in self._modes] or [self._path.stem]

    def profile(self, name: str) -> Profile:
        """The profile of target `name`, one of `names`."""
        mode = name[len(self._path.stem) + 1 :]
        table = self._modes.get(mode, {})
        places = {key: f"modes.{mode}.{key}" for key in table}
        try:
            if "name" in self._content | table:
                raise Fault("name", "is not a key: a target is named by its file and mode")
            profile = decode(Profile, {"name": name} | self._content | table)
        except Fault as fault:
            key = re.split(r"[.\[]", fault.place)[0]
            place = places.get(key, key) + fault.place[len(key) :]
            raise self._error(place, fault.message if place else f"{fault.message} for target {name}") from fault
        if not mode:
            return profile
        return replace(profile, title=f"{profile.title}, {profile.nvpmodel or mode}")

    def _error(self, place: str, message: str) -> ConfigError:
        key = re.sub(r"\[\d+\]", "", place)
        line = f", line {line_of(self._text, key)}" if key else ""
        return ConfigError(f"{self._path}{line}: {place} {message}")


def line_of(text: str, place: str) -> int:
    """The line, from 1, in which a key is given: `launch_us`, or `modes.25w.launch_us`; its table's if it is inline.

    tomllib keeps no lines. Keys and headers each stand in a line of their own, so they are looked for there.
    """
    table, best = "", (0, 1)
    for number, line in enumerate(text.splitlines(), start=1):
        header, pair = HEADER.fullmatch(line), PAIR.match(line)
        if header:
            table = _plain(header[1])
        here = table if header else ".".join(filter(None, (table, _plain(pair[1])))) if pair else ""
        if here and (place == here or place.startswith(f"{here}.")) and len(here) > best[0]:
            best = (len(here), number)
    return best[1]


def _plain(key: str) -> str:
    return re.sub(r"[\s\"']", "", key)
