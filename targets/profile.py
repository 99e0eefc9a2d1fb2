"""Profiles: one TOML file a target. Drop a file into targets/profiles to add one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import tomllib

from codriver.errors import ConfigError

FOLDER = Path(__file__).parent / "profiles"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a target needs of a bundle."""

    name: str  # the file's
    title: str  # for people
    dialects: tuple[str, ...]  # graphs to pack, best first; each is made for one runtime


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str) -> Profile:
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ConfigError(f"target {name!r} is not known; choose from {', '.join(names())}, or add {name}.toml there")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"profile {path.name} is not TOML: {error}") from error
    wanted = {field.name for field in fields(Profile)} - {"name"}
    if set(values) != wanted:
        extra, lacking = sorted(set(values) - wanted), sorted(wanted - set(values))
        raise ConfigError(
            f"profile {path.name}: unknown keys {extra}, missing keys {lacking}; expected {sorted(wanted)}"
        )
    if not values["dialects"] or not all(isinstance(dialect, str) for dialect in values["dialects"]):
        raise ConfigError(f"profile {path.name}: dialects must be a list of names, best first")
    return Profile(name=name, title=values["title"], dialects=tuple(values["dialects"]))
