"""`codriver doctor`: what this machine has, what of a bundle would run on it, and what to do about the rest."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codriver.bundle.manifest import MANIFEST_NAME
from codriver.bundle.manifest_json import read_manifest
from codriver.capture.v4l2 import camera_lines, cameras_here
from codriver.cli.shared import Commands, add_command, variant_row
from codriver.console import put_result, table
from codriver.doctor.advice import Advice, bundle_advice, choice_advice, machine_advice
from codriver.doctor.facts import PACKAGES, bundle_facts, machine_facts, way_to
from codriver.errors import BundleError

EXAMPLE = """example:
  codriver doctor demo.bundle
the first thing to type on a new device; packages are imported, nothing is run, written or sent.
Exit code 1 if something needed is missing"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "doctor", "say what this machine has, and what a bundle lacks here", EXAMPLE, run)
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="folder with a manifest.json")
    parser.add_argument("--cameras", action="store_true", help="what cameras there are: formats, rates, their clocks")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.cameras:
        found = cameras_here()
        put_result(asdict(found), camera_lines(found), args.json)
        return 0
    result = examine(args.bundle)
    put_result(result, _lines(result), args.json)
    return 0 if result["ok"] else 1


def examine(bundle: Path | None, root: Path = Path("/")) -> dict[str, Any]:
    """Facts of the machine and the bundle, advice, and the next step. root: where the system's files lie."""
    facts = machine_facts(root)
    advice, found = machine_advice(facts, root), None
    if bundle is None:
        advice += choice_advice(facts)
    else:
        if not (bundle / MANIFEST_NAME).is_file():
            raise BundleError(f"{bundle}: there is no {MANIFEST_NAME} in it; give the folder of a bundle")
        try:
            found = bundle_facts(bundle, read_manifest(bundle), facts)
        except BundleError as error:
            advice.append(Advice(str(error), "copy the bundle to this machine anew", needed=True))
        else:
            advice += bundle_advice(found, facts)
    needed = [one for one in advice if one.needed]
    return {
        "ok": not needed,
        "machine": facts,
        "bundle": found,
        "advice": [asdict(one) for one in [*needed, *(one for one in advice if not one.needed)]],
        "next": needed[0].do if needed else _next(bundle, found),
    }


def _next(bundle: Path | None, found: Mapping[str, Any] | None) -> str:
    if bundle is None or found is None:
        return "codriver doctor BUNDLE, with a bundle that was built for this machine"
    return f"codriver verify {bundle}" + (" --key PUBLIC_KEY" if found["signed"] else "")


def _lines(result: Mapping[str, Any]) -> list[str]:
    facts = result["machine"]
    lines = [*table(_machine_rows(facts)), "", "packages", *table(_package_rows(facts))]
    if result["bundle"]:
        lines += ["", *_bundle_lines(result["bundle"])]
    if result["advice"]:
        lines += ["", "advice", *_advice_lines(result["advice"])]
    said = "nothing is missing" if result["ok"] else "something needed is missing"
    return [*lines, "", f"{said}; next: {result['next']}"]


def _machine_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    cpu, memory, board = facts["cpu"], facts["memory_mb"], facts["jetson"]
    where = f" in {facts['environment']}" if facts["environment"] else ", no virtual environment"
    clocks = cpu["clocks_mhz"]
    rows = [
        ["codriver", f"{facts['codriver']}, Python {facts['python']}{where}"],
        ["system", f"{facts['os']}, kernel {facts['kernel']}, {facts['architecture']}"],
    ]
    if board:
        rows += _board_rows(board)
    rows += [
        ["processor", f"{cpu['model']}, {', '.join(cpu['features']) or 'no known feature'}"],
        ["cores", f"{cpu['cores']}, of which codriver uses {cpu['threads']} unless told otherwise"],
        ["clocks", f"{f'{clocks[0]} to {clocks[1]} MHz' if clocks else 'not told'}, governor {_or(cpu['governor'])}"],
        ["memory", f"{memory['available']} of {memory['total']} MB free" if memory else "not told"],
        *(["GPU", _gpu_line(gpu)] for gpu in facts["gpus"] or [{}]),
        ["engine store", _store_line(facts["store"])],
    ]
    if facts["opencv_opens"]:
        rows.append(["cameras", _cameras_line(facts["opencv_opens"])])
    return rows


def _board_rows(board: Mapping[str, Any]) -> list[list[str]]:
    modes = ", ".join(board["power_modes"].values())
    return [
        ["board", f"{_or(board['board'])}, module {_or(board['module'])}"],
        ["JetPack", f"{_or(board['jetpack'])}, Jetson Linux {_or(board['l4t'])}"],
        ["power mode", _or(board["power_mode"]) + (f", of {modes}" if modes else "")],
    ]


def _gpu_line(gpu: Mapping[str, Any]) -> str:
    if not gpu:
        return "no NVIDIA GPU is seen"
    capability = f"compute capability {_or(gpu['compute_capability'])}"
    return f"{gpu['name']}, {capability}, driver {_or(gpu['driver'])}, memory {_or(gpu['memory'])}"


def _store_line(store: Mapping[str, Any]) -> str:
    if store["folder"] is None:
        return f"none: {store['why']}"
    can = "" if store["writable"] else f", not writable: {store['why']}"
    return f"{store['folder']}, {store['entries']} engines of {store['mb']} MB, {store['free_mb']} MB free{can}"


def _package_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for module, version in facts["packages"].items():
        broken = " BROKEN, see below" if module in facts["broken"] else ""
        says = f"{version}{broken}" if version else f"not installed: {way_to(module, facts)}"
        rows.append([f"  {module}", says, PACKAGES[module][1]])
    return rows


def _cameras_line(opens: Mapping[str, bool]) -> str:
    """What of cameras and footage this OpenCV can open."""
    what = {"FFMPEG": "video files and network cameras", "V4L2": "USB cameras", "GSTREAMER": "GStreamer pipelines"}
    can, cannot = ([text for name, text in what.items() if opens[name] is yes] for yes in (True, False))
    return f"OpenCV opens {', '.join(can) or 'none'}" + (f"; no {', '.join(cannot)}" if cannot else "")


def _bundle_lines(found: Mapping[str, Any]) -> list[str]:
    fit = {True: "which this is", False: "which this is not", None: "of which this machine tells nothing"}[
        found["fits"]
    ]
    parts = ["signed" if found["signed"] else "not signed"]
    parts.append("with golden vectors" if found["golden"] else "without golden vectors: it cannot prove itself")
    rows = [variant_row(v["name"], v["engine"], v["lacks"], found["variant"]) for v in found["variants"]]
    return [
        f"bundle {found['id']}, version {found['version']}, {', '.join(parts)}",
        f"  built for {found['target']}, {fit}{_budgets(found['profile'])}",
        *table(rows),
    ]


def _budgets(profile: Mapping[str, Any] | None) -> str:
    if profile is None:
        return ""
    mode = f" in power mode {profile['nvpmodel']}" if profile["nvpmodel"] else ""
    return f"; a step may take {profile['latency_budget_ms']:g} ms{mode}, all of it {profile['memory_budget_mb']:g} MB"


def _advice_lines(advice: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for one in advice:
        lines += [f"  {'NEEDED  ' if one['needed'] else ''}{one['what']}", f"    -> {one['do']}"]
    return lines


def _or(value: str | None) -> str:
    return value or "not told"
