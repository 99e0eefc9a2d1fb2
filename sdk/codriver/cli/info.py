"""`codriver info`: what is in a bundle, and what of it would run here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import FinderSpec, Manifest, tasks_of
from codriver.bundle.manifest_json import read_manifest
from codriver.bundle.variants import why_not
from codriver.cli.shared import Commands, add_bundle, add_command, variant_row
from codriver.console import put_result, table
from codriver.device.cpu import cpu_features
from codriver.device.machine import runtime_version
from codriver.engines.base import UNPROVEN

EXAMPLE = """example:
  codriver info demo.bundle
files are not checked here; see `codriver verify`"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "info", "say what is in a bundle and what would run here", EXAMPLE, run)
    add_bundle(parser, runs=False)
    parser.add_argument("--json", action="store_true", help="the manifest, and what would run here, as JSON")


def run(args: argparse.Namespace) -> int:
    manifest = read_manifest(args.bundle)
    here = _here(Bundle(args.bundle, manifest))
    put_result({"manifest": json.loads(manifest.to_json()), "here": here}, _lines(manifest, here), args.json)
    return 0


def _here(bundle: Bundle) -> dict[str, Any]:
    """Variant and runtime on this machine, None where there is none; and by variant what is lacking for it."""
    features = sorted(cpu_features())
    lacks = {variant.name: why_not(variant, features) for variant in bundle.manifest.variants}
    chosen = next((variant for variant in bundle.manifest.variants if not lacks[variant.name]), None)
    return {
        "features": features,
        "lacks": lacks,
        "unproven": {v.name: UNPROVEN[v.engine] for v in bundle.manifest.variants if v.engine in UNPROVEN},
        "variant": chosen.name if chosen else None,
        "engine": chosen.engine if chosen else None,
        "engine_version": runtime_version(chosen.engine) if chosen else None,
    }


def _lines(manifest: Manifest, here: Mapping[str, Any]) -> list[str]:
    context = manifest.context
    size_mb = sum(file.bytes for file in manifest.files.values()) / 1e6
    streams = [f"{s.name} {s.size}{' px' if s.kind == 'image' else ' points'}" for s in manifest.streams]
    span = f"{context.slots} slots, {context.slot_s} s apart"
    facts = [
        ["bundle", manifest.id],
        ["version", str(manifest.version)],
        ["target", manifest.target],
        ["made", f"{manifest.created}, commit {manifest.git_commit[:12]}, seed {manifest.seed}"],
        ["tools", ", ".join(f"{name} {version}" for name, version in manifest.tools.items()) or "-"],
        ["size", f"{size_mb:.2f} MB in {len(manifest.files)} files"],
        ["streams", ", ".join(streams)],
        *([["finder", _looks(manifest.finder)]] if manifest.finder else []),
        ["context", f"{span}; answers from {context.min_context:.0%} filled"],
        ["runtime", f"{here['engine']} {here['engine_version']}" if here["engine"] else "none that suits"],
        ["golden", manifest.golden or "none: this bundle cannot prove itself"],
    ]
    lines = [*table(facts), "", "tasks"]
    lines += table([[f"  {task.title}", ", ".join(task.labels)] for task in tasks_of(manifest)])
    if manifest.dense:
        rows = [[f"  {task.title}", task.kind, ", ".join(task.labels)] for task in manifest.dense.asked]
        lines += ["", manifest.dense.told(), *table(rows)]
    lines += ["", "policy", *table([[f"  {name}", said] for name, said in _policy(manifest)])]
    features = ", ".join(here["features"]) or "no known feature"
    lines += ["", f"variants, best first (this machine has {features})"]
    lines += table([variant_row(v.name, v.engine, here["lacks"][v.name], here["variant"]) for v in manifest.variants])
    if here["variant"] is None:
        lines.append("  none suits this machine")
    plain = {name: value for name, value in manifest.metrics.items() if name != "subsets"}
    lines += _section("training", manifest.training) + _section("metrics", plain)
    return lines + _by_cameras(manifest)


def _looks(finder: FinderSpec) -> str:
    side = "; the driver sits on the other side than in the footage" if finder.mirrored else ""
    return f"looks for {', '.join(finder.parts)}, every {finder.every_s:g} s{side}"


def _policy(manifest: Manifest) -> list[tuple[str, str]]:
    """What each task needs, and when its answer counts."""
    timing = manifest.policy.timing
    rows = [("pairs", f"frames within {timing.pair_s * 1e3:g} ms; a jump of over {timing.jump_s:g} s begins anew")]
    rows.append(("masks", f"a view that is {', '.join(manifest.policy.masked) or 'nothing: faults are only reported'}"))
    for spec, task in zip(manifest.tasks, tasks_of(manifest), strict=True):
        said = f"needs {' or '.join(spec.needs_any)}; temperature {spec.temperature:g}"
        said += f"; unknown below {spec.unknown_below:g}" if spec.unknown_below else ""
        rows.append((task.title, said + (f"; held for {spec.hold_s:g} s" if spec.hold_s else "")))
    return rows


def _by_cameras(manifest: Manifest) -> list[str]:
    """Accuracy in full precision with each set of cameras, where it was measured."""
    subsets, names = manifest.metrics.get("subsets"), [task.name for task in manifest.tasks]
    if not isinstance(subsets, list) or not subsets or not all(_is_subset(row) for row in subsets):
        return []
    rows = [
        [
            f"  {' '.join(row['views'])}",
            *(f"{100 * row['accuracy'][n]:.1f}" if n in row["accuracy"] else "-" for n in names),
        ]
        for row in subsets
    ]
    return ["", "accuracy % by cameras", *table([["", *names], *rows], numbers_from=1)]


def _is_subset(row: object) -> bool:
    """Metrics are free: what is in them may be of any form."""
    accuracy = row.get("accuracy") if isinstance(row, dict) else None
    numbers = isinstance(accuracy, dict) and all(isinstance(value, int | float) for value in accuracy.values())
    return numbers and isinstance(row, dict) and isinstance(row.get("views"), list)


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    return ["", title, *table([[f"  {key}", value] for key, value in _flat(values)])] if values else []


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted names and short texts."""
    flat: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{before}{key}.")
        else:
            flat.append((f"{before}{key}", _short(value)))
    return flat


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value)
