"""codriver: four cameras in, four answers out.

from codriver import Driver, Perceiver

with Perceiver.open("demo.bundle") as perceiver:
    percept = perceiver.step({"incar": a, "front": b}, t=12.345)
    print(percept.driver_behavior.label, percept.state)
"""

from codriver import quiet as quiet  # first: before any runtime is imported
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
from codriver.jobs import WorkerConfig
from codriver.manifest import Manifest
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame, Percept, TaskResult, ViewStatus
from codriver.policy import HealthConfig, Policy
from codriver.stats import Stats
from codriver.worker import PerceiverWorker

__version__ = "0.1.0"

__all__ = [
    "BackendMissing",
    "BundleError",
    "CodriverError",
    "ConfigError",
    "Driver",
    "EngineError",
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
