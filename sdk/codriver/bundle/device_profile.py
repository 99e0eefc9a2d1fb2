"""profile.json: what the workshop knew of the device that a bundle is for, and asks of it there.

The workshop writes more into it than is read here. It is one of the bundle's files, so its hash is checked as theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from codriver.bundle.folder import Bundle
from codriver.errors import BundleError
from codriver.files.decode import Fault, decode, from_json

PROFILE_NAME = "profile.json"


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """A device in one power mode, and its budgets."""

    name: str  # as python -m targets.list names it
    title: str  # for people
    latency_budget_ms: float  # of a step, p99
    memory_budget_mb: float  # of the process at its peak
    nvpmodel: str  # name of the power mode that the budgets are for; "" on what has none
    compute_capability: str  # of the GPU, "8.7"; "" of a processor


def read_target(bundle: Bundle) -> DeviceProfile | None:
    """None of a bundle from before profiles were packed; a BundleError if the file is not what it should be."""
    return parse_target(bundle.read(PROFILE_NAME)) if PROFILE_NAME in bundle.manifest.files else None


def parse_target(data: bytes) -> DeviceProfile:
    try:
        content = from_json(data)
        known = {some.name for some in fields(DeviceProfile)}
        return decode(
            DeviceProfile, {k: v for k, v in content.items() if k in known} if isinstance(content, dict) else content
        )
    except Fault as fault:
        raise BundleError(f"{PROFILE_NAME}: {fault}; build the bundle anew", code="manifest-invalid") from fault
