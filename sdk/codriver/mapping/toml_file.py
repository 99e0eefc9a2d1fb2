"""A TOML file as a dataclass. What is wrong with it is told by file, key and what may stand there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from codriver.device.imports import load
from codriver.errors import ConfigError
from codriver.files.decode import Fault, decode

T = TypeVar("T")
SHIPPED = Path(__file__).parent / "shipped"


def read_toml(path: Path) -> dict[str, Any]:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    toml = load(name, f"{path}: TOML on Python 3.10 needs the package tomli: pip install 'codriver[serve]'")
    try:
        content: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise ConfigError(f"{path}: not TOML ({error})") from error
    return content


def decode_toml(kind: type[T], content: dict[str, Any], path: Path) -> T:
    try:
        return decode(kind, content)
    except Fault as fault:
        raise ConfigError(f"{path}: {fault}") from fault


def found(name: str, near: Path | None = None) -> Path:
    """A file by its path, relative to `near`, or one that codriver ships by its name: `can` is shipped/can.toml."""
    path = (near or Path()) / name
    ours = SHIPPED / f"{name}.toml"
    if path.is_file() or not ours.is_file():
        return path
    return ours
