"""codriver: four cameras in, four answers out.

from codriver import Driver, Perceiver

with Perceiver.open("demo.bundle") as perceiver:
    percept = perceiver.step({"incar": a, "front": b}, t=12.345)
    print(percept.driver_behavior.label, percept.state)
"""

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
from codriver.manifest import Manifest
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept, TaskResult, ViewStatus

__version__ = "0.1.0"

__all__ = [
    "BackendMissing",
    "BundleError",
    "CodriverError",
    "ConfigError",
    "Driver",
    "EngineError",
    "FrameError",
    "Manifest",
    "Perceiver",
    "Percept",
    "SignatureError",
    "SourceError",
    "TaskResult",
    "ViewStatus",
    "__version__",
]
