"""The roofline from its formula: max(operations / throughput, bytes / bandwidth) + launch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from targets.profiles.profile import Profile, load_profile
from targets.roofline.kernels import Kernel
from targets.roofline.roofline import KernelTime, float_bytes, layers_on

ORIN, X86 = load_profile("orin-nano-8gb-15w"), load_profile("x86-ort")
DEVICE = replace(
    ORIN, int8_dense_tops=20.0, fp16_dense_tflops=5.0, fp32_tflops=2.0, bandwidth_gb_per_s=50.0, launch_us=3.0
)


def kernel(precision: str, **numbers: int) -> Kernel:
    none = dict.fromkeys(
        ("elementwise", "recoded", "gathered", "compared", "weight_bytes", "read_bytes", "write_bytes"), 0
    )
    return Kernel(name="k", ops="Conv", precision=precision, **{"macs": 0, **none, **numbers})


def expected_us(some: Kernel, device: Profile) -> float:
    """Products at the rate of their precision, single elements at float32's; 10^6 operations a us are one TOPS."""
    floats = {"fp16": device.fp16_dense_tflops, "fp32": device.fp32_tflops}[device.other_precision]
    rate = device.int8_dense_tops if some.precision == "int8" else floats
    compute_us = 2 * some.macs / (rate * 1e6) + some.elementwise / (device.fp32_tflops * 1e6)
    compute_us += some.recoded * device.recode_ns / 1e3 + some.gathered * device.gather_ns / 1e3
    compute_us += some.compared * device.maximum_ns / 1e3
    moved = some.weight_bytes + some.read_bytes + some.write_bytes
    return max(compute_us, moved / (device.bandwidth_gb_per_s * 1e3)) + device.launch_us


@pytest.mark.parametrize("precision", ["int8", "float"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"other_precision": "fp32"}, {"recode_ns": 0.4, "gather_ns": 0.3, "maximum_ns": 0.5}],
    ids=["fp16", "fp32", "cpu"],
)
def test_a_layers_floor_is_the_formula(precision: str, changes: dict[str, Any]) -> None:
    random, device = np.random.default_rng(0), replace(DEVICE, **changes)
    names = ("macs", "elementwise", "recoded", "gathered", "compared", "weight_bytes", "read_bytes", "write_bytes")
    some = [kernel(precision, **{name: int(10 ** random.uniform(2, 8)) for name in names}) for _ in range(30)]
    found = [layer.time_us for layer in layers_on(some, device)]
    assert found == pytest.approx([expected_us(one, device) for one in some])


def test_computing_and_moving_overlap_and_a_launch_does_not() -> None:
    assert KernelTime(kernel("int8"), compute_us=3.0, memory_us=2.0, launch_us=1.0).time_us == 4.0
    assert KernelTime(kernel("int8"), compute_us=2.0, memory_us=3.0, launch_us=1.0).time_us == 4.0


def test_products_outside_int8_take_the_devices_other_precision() -> None:
    one = kernel("float", macs=10**9)
    (half,), (full,) = (layers_on([one], replace(DEVICE, other_precision=kind)) for kind in ("fp16", "fp32"))
    assert (half.compute_us, full.compute_us) == pytest.approx((400.0, 1000.0))


def test_an_element_outside_int8_takes_two_bytes_in_half_precision_and_four_in_full() -> None:
    assert [float_bytes(replace(DEVICE, other_precision=kind)) for kind in ("fp16", "fp32")] == [2, 4]
    assert float_bytes(X86) == 4
