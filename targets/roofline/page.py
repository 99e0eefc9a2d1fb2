"""Floors as one page: a table of targets, and for each its roofline and slowest layers; floors.html has its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from targets.profiles.profile import RATES, Profile
from targets.roofline.picture import roofline
from targets.roofline.roofline import BOUNDS, Floor, KernelTime
from workshop.figures import data_uri
from workshop.pages import Cell, Row, render

TEMPLATE = Path(__file__).with_name("floors.html")
SHOWN = 20  # slowest layers
Results = Sequence[tuple[Profile, Sequence[Floor]]]


def floors_page(model: str, results: Results) -> str:
    return render(
        TEMPLATE,
        title=f"Latency floors of {model}",
        bounds=[f"{bound}-bound ms" for bound in BOUNDS],
        summary=[_summary(profile, floors) for profile, floors in results],
        targets=[_target(profile, floors) for profile, floors in results],
    )


def _summary(profile: Profile, floors: Sequence[Floor]) -> Row:
    total_ms = sum(floor.time_ms for floor in floors)
    by_bound = [f"{sum(floor.bound_ms(bound) for floor in floors):.3f}" for bound in BOUNDS]
    over = total_ms > profile.latency_budget_ms
    total = Cell(f"{total_ms:.3f}", mark="fail" if over else "")
    graphs = ", ".join(floor.path for floor in floors)
    return [profile.name, graphs, *by_bound, total, f"{profile.latency_budget_ms:g}"]


def _target(profile: Profile, floors: Sequence[Floor]) -> dict[str, Any]:
    layers = [layer for floor in floors for layer in floor.layers]
    return {
        "profile": profile,
        "graphs": [
            f"{floor.graph}: {floor.macs / 1e6:.1f} MMAC, {100 * floor.int8_share:.0f} % of them INT8, "
            f"{floor.bytes / 1e6:.2f} MB moved, {len(floor.layers)} kernels, {floor.time_ms:.3f} ms"
            for floor in floors
        ],
        "picture": data_uri(roofline(profile, layers)),
        "layers": [_layer(layer) for layer in sorted(layers, key=lambda some: -some.time_us)[:SHOWN]],
        "sources": [f"{key} {getattr(profile, key):g}: {profile.source[key]}" for key in RATES],
    }


def _layer(layer: KernelTime) -> Row:
    kernel = layer.kernel
    numbers = (kernel.macs / 1e6, kernel.bytes / 1e3, layer.compute_us, layer.memory_us, layer.launch_us)
    return [kernel.name, kernel.ops, kernel.precision, *(f"{n:.2f}" for n in numbers), layer.bound]
