"""codriver: four cameras in, four answers out.

from codriver import Driver, Perceiver

with Perceiver.open("demo.bundle") as perceiver:
    percept = perceiver.step({"incar": a, "front": b}, t=12.345)
    print(percept.driver_behavior.label, percept.state)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codriver.device import telemetry as telemetry  # first: before any runtime is imported
from codriver.version import VERSION

if TYPE_CHECKING:
    from codriver.bundle.manifest import Manifest
    from codriver.bundle.manifest_json import read_manifest
    from codriver.config import HealthConfig, Policy, SmoothingConfig, TimingConfig, WorkerConfig
    from codriver.errors import (
        BackendMissing,
        BundleError,
        CodriverError,
        ConfigError,
        EngineError,
        FrameError,
        SignatureError,
        SourceError,
    )
    from codriver.monitoring.event_log import EventLog, log_file
    from codriver.monitoring.prometheus import PrometheusMetrics
    from codriver.perceiver import Perceiver
    from codriver.percept import Driver, DriverSight, Event, Frame, Percept, Stats, TaskResult, ViewStatus
    from codriver.recording.writer import Recorder, RecorderConfig
    from codriver.sources import FrameSet, Source, open_source
    from codriver.view.live import LiveView
    from codriver.view.media import video_file
    from codriver.worker import PerceiverWorker

__version__ = VERSION

__all__ = [
    "BackendMissing",
    "BundleError",
    "CodriverError",
    "ConfigError",
    "Driver",
    "DriverSight",
    "EngineError",
    "Event",
    "EventLog",
    "Frame",
    "FrameError",
    "FrameSet",
    "HealthConfig",
    "LiveView",
    "Manifest",
    "Perceiver",
    "PerceiverWorker",
    "Percept",
    "Policy",
    "PrometheusMetrics",
    "Recorder",
    "RecorderConfig",
    "SignatureError",
    "SmoothingConfig",
    "Source",
    "SourceError",
    "Stats",
    "TaskResult",
    "TimingConfig",
    "ViewStatus",
    "WorkerConfig",
    "__version__",
    "log_file",
    "open_source",
    "read_manifest",
    "video_file",
]

_NAMES_BY_MODULE = {
    "bundle.manifest": "Manifest",
    "bundle.manifest_json": "read_manifest",
    "config": "HealthConfig Policy SmoothingConfig TimingConfig WorkerConfig",
    "errors": "BackendMissing BundleError CodriverError ConfigError EngineError FrameError SignatureError SourceError",
    "monitoring.event_log": "EventLog log_file",
    "monitoring.prometheus": "PrometheusMetrics",
    "perceiver": "Perceiver",
    "percept": "Driver DriverSight Event Frame Percept Stats TaskResult ViewStatus",
    "recording.writer": "Recorder RecorderConfig",
    "sources": "FrameSet Source open_source",
    "view.live": "LiveView",
    "view.media": "video_file",
    "worker": "PerceiverWorker",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): who needs the errors alone does not wait for NumPy."""
    if name in _NAMES_BY_MODULE:  # `codriver.errors` after `import codriver` alone
        return import_module(f"codriver.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"codriver.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
