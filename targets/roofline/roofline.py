"""How long each kernel takes at least on a target, and what bounds it.

    time = max(operations / throughput, bytes / bandwidth) + launch

On a CPU, what its runtime does beside an INT8 convolution's products counts as operations: `recode_ns`, `gather_ns`; so
does a maximum over an axis, for which ONNX Runtime has no vector code: `maximum_ns`.
A floor: throughput and bandwidth are the device's peaks, and nothing else is counted. Each kernel's tensors are taken
to go through memory; where a cache holds them, a layer that is bound by memory can be faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from targets.profiles.profile import Profile
from targets.roofline.kernels import Kernel

BOUNDS = ("compute", "memory", "launch")


@dataclass(frozen=True)
class KernelTime:
    """A kernel and its parts of the time, in microseconds."""

    kernel: Kernel
    compute_us: float
    memory_us: float
    launch_us: float

    @property
    def time_us(self) -> float:
        return max(self.compute_us, self.memory_us) + self.launch_us

    @property
    def bound(self) -> str:
        """The largest part, one of BOUNDS."""
        return max(zip((self.compute_us, self.memory_us, self.launch_us), BOUNDS, strict=True))[1]


@dataclass(frozen=True)
class Floor:
    """A graph on a target."""

    graph: str  # encoder, fuser, or the file's name
    path: str  # of the graph, in the folder given
    layers: tuple[KernelTime, ...]

    @property
    def time_ms(self) -> float:
        return sum(layer.time_us for layer in self.layers) / 1e3

    @property
    def macs(self) -> int:
        return sum(layer.kernel.macs for layer in self.layers)

    @property
    def int8_share(self) -> float:
        """Of the multiply-accumulates."""
        return sum(x.kernel.macs for x in self.layers if x.kernel.precision == "int8") / max(1, self.macs)

    @property
    def bytes(self) -> int:
        return sum(layer.kernel.bytes for layer in self.layers)

    def bound_ms(self, bound: str) -> float:
        """Time of the layers that this bounds."""
        return sum(layer.time_us for layer in self.layers if layer.bound == bound) / 1e3


def float_rate(profile: Profile) -> float:
    """10^12 operations per second of products outside INT8."""
    return profile.fp16_dense_tflops if profile.other_precision == "fp16" else profile.fp32_tflops


def float_bytes(profile: Profile) -> int:
    return 2 if profile.other_precision == "fp16" else 4


def layers_on(kernels: Sequence[Kernel], profile: Profile) -> tuple[KernelTime, ...]:
    return tuple(_layer(kernel, profile) for kernel in kernels)


def _layer(kernel: Kernel, profile: Profile) -> KernelTime:
    rate = profile.int8_dense_tops if kernel.precision == "int8" else float_rate(profile)
    # Single elements are no matrix products: they run on the ordinary units, whatever the precision.
    compute_us = 2 * kernel.macs / rate / 1e6 + kernel.elementwise / profile.fp32_tflops / 1e6
    compute_us += (kernel.recoded * profile.recode_ns + kernel.gathered * profile.gather_ns) / 1e3
    compute_us += kernel.compared * profile.maximum_ns / 1e3
    return KernelTime(kernel, compute_us, kernel.bytes / profile.bandwidth_gb_per_s / 1e3, profile.launch_us)
