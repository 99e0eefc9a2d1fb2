"""Floors as one self-contained page: a table of the targets, and for each its roofline and slowest layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from targets.profiles.profile import RATES, Profile
from targets.roofline.roofline import BOUNDS, Floor, Layer, float_rate
from workshop.pages import Cell, page, table

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 340, 56, 40  # of a roofline, in pixels
X_RANGE, DECADES = (0.01, 1e4), 6  # operations per byte; decades of throughput below the highest roof
COLOURS = {"compute": "#1b7f4d", "memory": "#2463b8", "launch": "#c2571a"}
SHOWN = 20  # slowest layers
LABEL = """A floor, predicted from the graphs and the targets' profiles. <b>Never a measurement.</b> Each kernel takes
max(operations / throughput, bytes / bandwidth) + launch, at the device's peaks; all tensors are taken to go through
memory. Copies to and from the device and codriver's own work are not counted."""


def html_page(model: str, results: Sequence[tuple[Profile, Sequence[Floor]]]) -> str:
    parts = [f'<p class="label">{LABEL}</p>', _summary(results)]
    parts += [_target(profile, floors, len(results) == 1) for profile, floors in results]
    return page(f"Latency floors of {model}", parts)


def _summary(results: Iterable[tuple[Profile, Sequence[Floor]]]) -> str:
    head = ("target", "graph", *(f"{bound}-bound ms" for bound in BOUNDS), "floor ms", "budget ms")
    rows: list[list[Cell]] = []
    for profile, floors in results:
        total_ms = sum(floor.time_ms for floor in floors)
        mark = "over" if total_ms > profile.latency_budget_ms else ""
        numbers = [f"{sum(floor.bound_ms(bound) for floor in floors):.3f}" for bound in BOUNDS]
        total: Cell = (mark, f"{total_ms:.3f}")
        rows.append([escape(profile.name), escape(floors[0].path), *numbers, total, f"{profile.latency_budget_ms:g}"])
    return table(head, rows)


def _target(profile: Profile, floors: Sequence[Floor], is_open: bool) -> str:
    layers = [layer for floor in floors for layer in floor.layers]
    graphs = "; ".join(
        f"{floor.graph}: {floor.macs / 1e6:.1f} MMAC, {100 * floor.int8_share:.0f} % of them INT8, "
        f"{floor.bytes / 1e6:.2f} MB moved, {len(floor.layers)} kernels, {floor.time_ms:.3f} ms"
        for floor in floors
    )
    sources = "".join(f"<li>{key} {getattr(profile, key):g}: {escape(profile.source[key])}</li>" for key in RATES)
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(profile.name)}: {escape(profile.title)}</summary>"
        f"<p>{escape(graphs)}</p>{roofline_svg(profile, layers)}{_layers(layers)}<p>Numbers of the profile:</p>"
        f"<ul>{sources}</ul></details>"
    )


def _layers(layers: Sequence[Layer]) -> str:
    head = ("slowest layers", "nodes", "as", "MMAC", "kB", "compute us", "memory us", "launch us", "bound by")
    rows = []
    for layer in sorted(layers, key=lambda some: -some.time_us)[:SHOWN]:
        kernel = layer.kernel
        numbers = (kernel.macs / 1e6, kernel.bytes / 1e3, layer.compute_us, layer.memory_us, layer.launch_us)
        cells = [escape(kernel.name), kernel.ops, kernel.precision, *(f"{n:.2f}" for n in numbers), layer.bound]
        rows.append(cells)
    return table(head, rows)


def roofline_svg(profile: Profile, layers: Sequence[Layer]) -> str:
    """Operations per byte against throughput, both logarithmic; a dot for each kernel, as large as its share of time.

    A dot lies below its roof by what the launch takes: the closer, the better the kernel uses the device.
    """
    roofs = {"INT8": profile.int8_dense_tops, profile.other_precision.upper(): float_rate(profile)}
    top = 10 ** math.ceil(math.log10(max(roofs.values())))
    total_us = sum(layer.time_us for layer in layers) or 1.0
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="roofline">', _axes(top)]
    for under, (name, tops) in zip((-5, 14), roofs.items(), strict=True):
        knee = tops * 1e3 / profile.bandwidth_gb_per_s
        points = [(X_RANGE[0], X_RANGE[0] * profile.bandwidth_gb_per_s / 1e3), (knee, tops), (X_RANGE[1], tops)]
        path = " ".join(f"{_x(x):.1f},{_y(y, top):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="#555" stroke-width="1.5"/>')
        label_y = _y(tops, top) + under
        parts.append(f'<text x="{WIDTH - 8}" y="{label_y:.1f}" text-anchor="end">{name} {tops:g} TOPS</text>')
    parts += [_dot(layer, top, total_us) for layer in layers if layer.kernel.macs]
    for at, bound in enumerate(BOUNDS):
        x = LEFT + 16 + 90 * at
        parts.append(f'<circle cx="{x}" cy="14" r="5" fill="{COLOURS[bound]}"/><text x="{x + 9}" y="18">{bound}</text>')
    return "".join(parts) + "</svg>"


def _axes(top: float) -> str:
    lines = []
    for decade in range(round(math.log10(X_RANGE[0])), round(math.log10(X_RANGE[1]))):
        x = _x(10.0**decade)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>')
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10.0**decade:g}</text>')
    for decade in range(DECADES + 1):
        y, value = _y(top / 10**decade, top), top / 10**decade
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    lines.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">operations per byte moved</text>'
    )
    lines.append(f'<text x="{LEFT - 50}" y="14">TOPS</text>')
    return "".join(lines)


def _dot(layer: Layer, top: float, total_us: float) -> str:
    operations = 2 * layer.kernel.macs
    intensity, tops = operations / max(1, layer.kernel.bytes), operations / layer.time_us / 1e6
    radius = 2 + 14 * math.sqrt(layer.time_us / total_us)
    tip = f"{layer.kernel.name}: {layer.kernel.ops}, {layer.time_us:.1f} us, bound by {layer.bound}"
    return (
        f'<circle cx="{_x(intensity):.1f}" cy="{_y(tops, top):.1f}" r="{radius:.1f}" fill="{COLOURS[layer.bound]}" '
        f'fill-opacity="0.55"><title>{escape(tip)}</title></circle>'
    )


def _x(value: float) -> float:
    low, high = (math.log10(end) for end in X_RANGE)
    share = (math.log10(max(value, X_RANGE[0])) - low) / (high - low)
    return LEFT + min(1.0, share) * (WIDTH - LEFT)


def _y(value: float, top: float) -> float:
    """Down from `top`, DECADES decades; what is lower lies on the axis."""
    share = (math.log10(top) - math.log10(max(value, 1e-12))) / DECADES
    return 24 + min(1.0, max(0.0, share)) * (HEIGHT - BOTTOM - 24)
