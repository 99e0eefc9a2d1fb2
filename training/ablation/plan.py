"""A plan, written down and committed before its first run: what is compared, on what, and what so many seeds can show.

A TOML file; docs/ablation/afd/plan.toml is one. Its runs and its table lie beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tomllib

from codriver.errors import ConfigError
from training.ablation.footage import FootageConfig
from training.ablation.variant import Ablation
from training.data.augment import AugmentConfig
from training.model.uvm3tl import SIZES, ModelConfig
from training.trainer.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether `arm` is better than `against`."""

    arm: str
    against: str


@dataclass(frozen=True, kw_only=True)
class PowerConfig:
    """What the plan expects of its seeds."""

    spread_points: tuple[float, ...]  # of a difference paired by seed: standard deviations that earlier runs had
    target_points: float = 1.0  # difference that is worth a new default
    level: float = 0.05  # of all comparisons together (Holm)
    power: float = 0.8


@dataclass(frozen=True, kw_only=True)
class AblationPlan:
    question: str
    bar: str  # what must come out for what to follow
    seeds: tuple[int, ...]
    busy_s: float  # processor time of one run, from a pilot
    footage: FootageConfig
    model: ModelConfig
    train: TrainConfig
    augment: AugmentConfig
    power: PowerConfig
    arms: tuple[Ablation, ...]
    comparisons: tuple[Comparison, ...]
    digests: Mapping[str, str] = field(default_factory=dict)  # arm -> of all that the file says of its runs

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        unknown = {name for pair in self.comparisons for name in (pair.arm, pair.against)} - set(names)
        if twice or unknown or not self.comparisons:
            raise ConfigError(
                f"plan: arms there twice {sorted(twice)}, compared but not there {sorted(unknown)}, "
                f"{len(self.comparisons)} comparisons; expected arms with names of their own and a comparison or more"
            )


def read_plan(path: Path) -> AblationPlan:
    """A ConfigError names the file and what is wrong in it."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        digests = {arm["name"]: _digest(values, arm) for arm in values["arms"]}
        size = SIZES[values["model"].pop("size")]
        return AblationPlan(
            **{name: values[name] for name in ("question", "bar", "busy_s")},
            seeds=tuple(values["seeds"]),
            footage=FootageConfig(**values["footage"]),
            model=ModelConfig.from_dict(
                {f.name: getattr(size, f.name) for f in fields(size) if f.name != "dbscme"} | values["model"]
            ),
            train=TrainConfig(**values["train"]),
            augment=AugmentConfig(**values.get("augment", {})),
            power=PowerConfig(**_plain(values["power"])),
            arms=tuple(Ablation(**arm) for arm in values["arms"]),
            comparisons=tuple(Comparison(**pair) for pair in values["comparisons"]),
            digests=digests,
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"plan {path}: {type(error).__name__} {error}; docs/ablation/afd/plan.toml shows the form"
        ) from error


def _digest(values: Mapping[str, Any], arm: Mapping[str, Any]) -> str:
    """Of what is written and not of what is read: a setting that is new has its default in runs of before, too."""
    said = [values.get(table, {}) for table in ("footage", "model", "train", "augment")]
    return hashlib.sha256(json.dumps([*said, arm], sort_keys=True).encode()).hexdigest()[:16]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def seeds_needed(power: PowerConfig, spread: float, comparisons: int) -> int:
    """Pairs of runs that show `target_points` at the hardest step of Holm's correction. spread: points."""
    n = 3
    while chance_to_show(power, spread, comparisons, n) < power.power:
        n += 1
    return n


def smallest_shown(power: PowerConfig, spread: float, comparisons: int, n: int) -> float:
    """Points: the difference that n pairs show with the planned power. One pair has no spread and shows nothing."""
    if n < 2:
        return math.inf
    low, high = 0.0, 100.0 * spread
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if _shown(power, spread, comparisons, n, middle) >= power.power else (middle, high)
    return high


def chance_to_show(power: PowerConfig, spread: float, comparisons: int, n: int) -> float:
    """Of a true difference of `target_points`, with a paired two-sided t-test of n pairs."""
    return _shown(power, spread, comparisons, n, power.target_points)


def _shown(power: PowerConfig, spread: float, comparisons: int, n: int, points: float) -> float:
    from scipy.stats import nct, t

    bound = t.ppf(1 - power.level / comparisons / 2, n - 1)
    away = points / spread * math.sqrt(n)
    found = float(
        nct.sf(bound, n - 1, away)
    )  # the other tail, a difference shown the wrong way round, is next to nothing
    return 1.0 if math.isnan(found) else found  # scipy has no number where it is certain
