"""Energy of NVIDIA GPUs by the driver's own counters, through nvidia-ml-py. Volta or newer; not on a Jetson.

Not tried on hardware yet: names and arguments are checked against the real module, the sums against a stub of the
driver's library (tests/targets/trial/test_nvml.py).
"""

from __future__ import annotations

from typing import Any


class GpuCounters:
    """All GPUs of the machine. Without any that counts, `why` says what is missing and there is nothing to read."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.why = ""
        self._handles: list[Any] = []
        try:
            import pynvml
        except ModuleNotFoundError:
            self.why = "nvidia-ml-py is not installed: pip install nvidia-ml-py"
            return
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
            self.names = [_text(pynvml.nvmlDeviceGetName(handle)) for handle in self._handles]
            self.joules()
        except pynvml.NVMLError as error:  # no driver, no GPU, or one older than Volta, which has no counter
            self._handles, self.why = [], f"NVML: {error}"
        else:
            self.why = "" if self._handles else "NVML lists no GPU"

    def __bool__(self) -> bool:
        return bool(self._handles)

    def joules(self) -> float:
        """Since the driver was loaded, of all GPUs together."""
        return float(sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(one) for one in self._handles) / 1e3)


def _text(name: str | bytes) -> str:
    """Old versions of the module give bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name
