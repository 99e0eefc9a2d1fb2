"""The file that describes a service. What is wrong with it is told by file, key and what may stand there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.buses.config import BusesConfig
from codriver.capture.camera import Camera
from codriver.errors import ConfigError
from codriver.files.decode import rule
from codriver.mapping.toml_file import decode_toml, read_toml
from codriver.sources.spelling import described_views


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    path: str = rule(filled=True)
    key: str | None = rule(
        None, absent=True, filled=True
    )  # public key that must have signed it: PEM file or fingerprint
    allow_unsigned: bool = rule(False, absent=True)  # instead of a key: whoever can write the folder is believed
    min_version: int | None = rule(None, absent=True, low=0)
    engine: str = rule("auto", absent=True, filled=True)
    variant: str | None = rule(None, absent=True, filled=True)
    threads: int | None = rule(None, absent=True, low=1, high=256)


@dataclass(frozen=True, kw_only=True)
class PerceptsConfig:
    """Percepts as JSON lines. The file before is kept as PATH.1, so that there are at most two of them."""

    path: str = rule(filled=True)
    limit_mb: float = rule(100.0, absent=True, low=0, above=True, high=1e6)  # of both files together


@dataclass(frozen=True, kw_only=True)
class RecordingConfig:
    """Steps as MCAP, for `codriver replay`. Pictures show a person: none, unless the file asks for them."""

    path: str = rule(filled=True)
    limit_mb: float = rule(1000.0, absent=True, low=1, high=1e6)  # of the folder
    images: str = rule("none", absent=True, choices=("none", "jpeg", "png"))
    width_px: int | None = rule(None, absent=True, low=16, high=10_000)  # wider pictures are scaled down to it
    file_s: float = rule(60.0, absent=True, low=1, high=3600, unit="seconds")  # of one file


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    port: int = rule(8765, absent=True, low=0, high=65535)
    address: str = rule("127.0.0.1", absent=True, filled=True)
    token: str | None = rule(None, absent=True, filled=True)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    port: int = rule(9464, absent=True, low=0, high=65535)


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    rate_hz: float = rule(15.0, absent=True, low=1, high=120)  # of steps; cameras may run faster
    deadline_ms: float = rule(100.0, absent=True, low=1, high=60_000, unit="milliseconds")


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    bundle: BundleConfig
    sources: Mapping[str, Any]  # by view, each as in a JSON file of cameras: docs/device.md
    percepts: PerceptsConfig | None = rule(None, absent=True)
    recording: RecordingConfig | None = rule(None, absent=True)
    live: LiveConfig | None = rule(None, absent=True)
    metrics: MetricsConfig | None = rule(None, absent=True)
    buses: BusesConfig | None = rule(None, absent=True)
    steps: StepConfig = rule(StepConfig(), absent=True)


@dataclass(frozen=True)
class Service:
    """What a file says, with its paths resolved against its folder."""

    path: Path
    config: ServiceConfig
    cameras: Mapping[str, Camera]

    def within(self, name: str) -> Path:
        return self.path.parent / name

    @property
    def trusted_key(self) -> str | None:
        """A file's path, or a fingerprint."""
        key = self.config.bundle.key
        return str(self.within(key)) if key and self.within(key).is_file() else key


def read_service(path: Path) -> Service:
    config = decode_toml(ServiceConfig, read_toml(path), path)
    bundle = config.bundle
    if (bundle.key is None) != bundle.allow_unsigned:
        raise ConfigError(
            f"{path}: bundle needs one of key = PEM or fingerprint of whose it is, or allow_unsigned = true"
        )
    views = described_views(f"{path}: sources", config.sources, path.parent)
    files = [view for view, where in views.items() if not isinstance(where, Camera)]
    if files:
        raise ConfigError(
            f"{path}: sources.{files[0]} is a file; a service looks at cameras: device, address, pipeline"
        )
    return Service(path, config, {view: where for view, where in views.items() if isinstance(where, Camera)})
