"""codriver: four cameras in, four answers out.

from codriver import Driver, Perceiver

with Perceiver.open("demo.bundle") as perceiver:
    percept = perceiver.step({"incar": a, "front": b}, t=12.345)
    print(percept.driver_behavior.label, percept.state)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codriver.device import telemetry as telemetry  # first: before any runtime is imported

if TYPE_CHECKING:
    from codriver.bundle.manifest import Manifest
    from codriver.config import HealthConfig, Policy, WorkerConfig
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
    from codriver.perceiver import Perceiver
    from codriver.percept import Driver, Event, Frame, Percept, Stats, TaskResult, ViewStatus
    from codriver.worker import PerceiverWorker

__version__ = "0.1.0"

__all__ = [
    "BackendMissing",
    "BundleError",
    "CodriverError",
    "ConfigError",
    "Driver",
    "EngineError",
    "Event",
    "Frame",
    "FrameError",
    "HealthConfig",
    "Manifest",
    "Perceiver",
    "PerceiverWorker",
    "Percept",
    "Policy",
    "SignatureError",
    "SourceError",
    "Stats",
    "TaskResult",
    "ViewStatus",
    "WorkerConfig",
    "__version__",
]

_NAMES_BY_MODULE = {
    "bundle.manifest": "Manifest",
    "config": "HealthConfig Policy WorkerConfig",
    "errors": "BackendMissing BundleError CodriverError ConfigError EngineError FrameError SignatureError SourceError",
    "perceiver": "Perceiver",
    "percept": "Driver Event Frame Percept Stats TaskResult ViewStatus",
    "worker": "PerceiverWorker",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


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
