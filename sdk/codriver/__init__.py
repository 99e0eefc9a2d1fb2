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

if TYPE_CHECKING:  # `as`: told to type checkers as public
    from codriver.bundle.manifest import Manifest as Manifest
    from codriver.bundle.manifest_json import read_manifest as read_manifest
    from codriver.buses.buses import Buses as Buses
    from codriver.buses.config import BusesConfig as BusesConfig
    from codriver.buses.config import CanConfig as CanConfig
    from codriver.buses.config import Ros2Config as Ros2Config
    from codriver.buses.config import VssConfig as VssConfig
    from codriver.config import HealthConfig as HealthConfig
    from codriver.config import Policy as Policy
    from codriver.config import SmoothingConfig as SmoothingConfig
    from codriver.config import TimingConfig as TimingConfig
    from codriver.config import WorkerConfig as WorkerConfig
    from codriver.errors import BackendMissing as BackendMissing
    from codriver.errors import BundleError as BundleError
    from codriver.errors import CodriverError as CodriverError
    from codriver.errors import ConfigError as ConfigError
    from codriver.errors import EngineError as EngineError
    from codriver.errors import FrameError as FrameError
    from codriver.errors import SignatureError as SignatureError
    from codriver.errors import SourceError as SourceError
    from codriver.live.feed import Feed as Feed
    from codriver.live.server import LivePage as LivePage
    from codriver.monitoring.event_log import EventLog as EventLog
    from codriver.monitoring.event_log import log_file as log_file
    from codriver.monitoring.prometheus import PrometheusMetrics as PrometheusMetrics
    from codriver.perceiver import Perceiver as Perceiver
    from codriver.percept import Driver as Driver
    from codriver.percept import DriverSight as DriverSight
    from codriver.percept import Event as Event
    from codriver.percept import Frame as Frame
    from codriver.percept import Percept as Percept
    from codriver.percept import Stats as Stats
    from codriver.percept import TaskResult as TaskResult
    from codriver.percept import ViewStatus as ViewStatus
    from codriver.recording.writer import Recorder as Recorder
    from codriver.recording.writer import RecorderConfig as RecorderConfig
    from codriver.sources import FrameSet as FrameSet
    from codriver.sources import Source as Source
    from codriver.sources import open_source as open_source
    from codriver.view.live import LiveView as LiveView
    from codriver.view.media import video_file as video_file
    from codriver.worker import PerceiverWorker as PerceiverWorker

__version__ = VERSION

_NAMES_BY_MODULE = {
    "buses.buses": "Buses",
    "buses.config": "BusesConfig CanConfig Ros2Config VssConfig",
    "bundle.manifest": "Manifest",
    "bundle.manifest_json": "read_manifest",
    "config": "HealthConfig Policy SmoothingConfig TimingConfig WorkerConfig",
    "errors": "BackendMissing BundleError CodriverError ConfigError EngineError FrameError SignatureError SourceError",
    "live.feed": "Feed",
    "live.server": "LivePage",
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
