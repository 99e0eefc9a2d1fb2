"""The roofline of a target, and where its kernels lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from targets.profiles.profile import Profile
from targets.roofline.roofline import BOUNDS, KernelTime, float_rate
from workshop.figures import BLUE, GREEN, INK, SOFT, VERMILLION, blank, dress

INTENSITY = (0.01, 1e4)  # operations per byte; what is beyond lies on the edge
DECADES = 6  # of throughput below the highest roof
LOOKS = {"compute": (GREEN, "s"), "memory": (BLUE, "o"), "launch": (VERMILLION, "^")}


def roofline(profile: Profile, layers: Sequence[KernelTime]) -> Figure:
    """Operations per byte against throughput; a mark for each kernel that multiplies, as large as its share of time."""
    roofs = {"INT8": profile.int8_dense_tops, profile.other_precision.upper(): float_rate(profile)}
    top = 10 ** math.ceil(math.log10(max(roofs.values())))
    figure = blank(8.5, 4.4)
    axes = figure.subplots()
    for under_pt, (name, tops) in zip((4, -11), roofs.items(), strict=True):
        knee = tops * 1e3 / profile.bandwidth_gb_per_s
        slope = INTENSITY[0] * profile.bandwidth_gb_per_s / 1e3
        axes.plot([INTENSITY[0], knee, INTENSITY[1]], [slope, tops, tops], color=SOFT, linewidth=1.5)
        place: dict[str, Any] = {"xytext": (-4, under_pt), "textcoords": "offset points", "ha": "right"}
        axes.annotate(f"{name} {tops:g} TOPS", (INTENSITY[1], tops), fontsize=8, color=INK, **place)
    total_us = sum(layer.time_us for layer in layers) or 1.0
    for bound in BOUNDS:
        colour, marker = LOOKS[bound]
        some = [layer for layer in layers if layer.bound == bound and layer.kernel.macs]
        places = [_place(layer, top) for layer in some]
        sizes = [(3 + 20 * math.sqrt(layer.time_us / total_us)) ** 2 for layer in some]
        xs, ys = [x for x, _ in places], [y for _, y in places]
        look: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.55, "linewidths": 0}
        axes.scatter(xs, ys, sizes, label=f"bound by {bound}", clip_on=False, **look)
    dress(axes, x="operations per byte moved", y="throughput, TOPS")
    axes.set(xscale="log", yscale="log", xlim=INTENSITY, ylim=(top / 10**DECADES, top))
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for mark in axes.legend(loc="upper left", frameon=False, fontsize=8.5).legend_handles:
        if isinstance(mark, PathCollection):
            mark.set_sizes([36])
    return figure


def _place(layer: KernelTime, top: float) -> tuple[float, float]:
    operations = 2 * layer.kernel.macs
    intensity, tops = operations / max(1, layer.kernel.bytes), operations / layer.time_us / 1e6
    return min(max(intensity, INTENSITY[0]), INTENSITY[1]), max(tops, top / 10**DECADES)
