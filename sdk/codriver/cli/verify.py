"""`codriver verify`: are these the files that were built, by whom, do they answer as they did there, and in time?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from codriver.bundle.device_profile import read_target
from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import MANIFEST_NAME
from codriver.cli.shared import Commands, add_bundle, add_command, open_perceiver
from codriver.console import put_result, table
from codriver.device.jetson import power_mode
from codriver.errors import BackendMissing, BundleError, ConfigError, EngineError
from codriver.verify.golden import check_golden
from codriver.verify.latency import STEPS, measure_latency

EXAMPLE = """example:
  codriver verify demo.bundle --key team.key.pub && systemctl start perception
exit code 1 if a file differs, an answer is off or steps take longer than the budget that the bundle carries;
the first thing to run on a device, while nothing else does"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "verify", "check a bundle's files and its answers here", EXAMPLE, run)
    add_bundle(parser)
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"of the timed stream ({STEPS}); 0: none")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.steps < 0:
        raise ConfigError(f"--steps {args.steps}: expected 0, which measures no latency, or more")
    if not (args.bundle / MANIFEST_NAME).is_file():
        raise BundleError(f"{args.bundle}: there is no {MANIFEST_NAME} in it; give the folder of a bundle")
    result = _verify(args)
    put_result(result, _lines(result), args.json)
    return 0 if result["ok"] else 1


def _verify(args: argparse.Namespace) -> dict[str, Any]:
    """Wrong use and a missing runtime raise; everything that speaks against the bundle is a result."""
    result: dict[str, Any] = {"ok": False, "bundle": str(args.bundle), "files": 0, "variant": None}
    result |= {"version": None, "signed_by": None, "golden": [], "target": None, "latency": None}
    result |= {"power_mode": power_mode(), "code": "", "error": ""}
    try:
        bundle = Bundle.open(args.bundle, trusted_key=args.key, min_version=args.min_version)
        manifest = bundle.manifest
        result |= {"bundle": manifest.id, "files": len(manifest.files)}
        result |= {"version": manifest.version, "signed_by": bundle.signed_by}
        with open_perceiver(args) as perceiver:
            result["variant"] = perceiver.variant
            differences = check_golden(perceiver)
            target = read_target(perceiver.bundle.folder)
            latency = (
                measure_latency(perceiver, target.latency_budget_ms, args.steps) if target and args.steps else None
            )
    except (BackendMissing, ConfigError):
        raise
    except (BundleError, EngineError) as error:
        return result | {"code": error.code, "error": str(error)}
    result |= {"golden": [asdict(d) | {"ok": d.ok} for d in differences], "target": asdict(target) if target else None}
    result |= {"latency": latency.to_json() if latency else None}
    return result | {"ok": all(d.ok for d in differences) and (latency is None or latency.ok)}


def _lines(result: Mapping[str, Any]) -> list[str]:
    lines = [str(result["bundle"])]
    if result["files"]:
        lines.append(f"  {result['files']} files are the ones that were built, version {result['version']}")
        signed = f"signed by {result['signed_by']}" if result["signed_by"] else "signature not checked: no --key given"
        lines.append(f"  {signed}")
    if result["golden"]:
        lines += [f"  golden answers of variant {result['variant']}:"]
        lines += table(
            [
                [
                    f"    {g['task']}",
                    f"off by {g['max_abs']:.4f}",
                    f"of {g['tolerance']:.4f} allowed",
                    "" if g["same_label"] else "another class",
                    "ok" if g["ok"] else "TOO FAR",
                ]
                for g in result["golden"]
            ]
        )
        lines += _latency_lines(result)
    if result["error"]:
        lines.append(f"  {result['error']}")
    return [*lines, "verified" if result["ok"] else "NOT verified"]


def _latency_lines(result: Mapping[str, Any]) -> list[str]:
    latency, target = result["latency"], result["target"]
    if target is None:
        return ["  latency not judged: the bundle carries no profile with a budget"]
    if latency is None:
        return ["  latency not measured"]
    said = "ok" if latency["ok"] else "TOO SLOW"
    if latency["ok"] and latency["p99"] > latency["budget_ms"]:
        said = f"{latency['late']} late, which may be chance: python -m targets.validate tells"
    width, height = latency["frame_px"]
    lines = [
        f"  latency of {latency['steps']} steps on frames of {width}x{height}: p50 {latency['p50']:.1f} ms, "
        f"p99 {latency['p99']:.1f} ms, worst {latency['worst']:.1f} ms; "
        f"p99 may be {latency['budget_ms']:g} ms: {said}"
    ]
    wanted, mode = target["nvpmodel"], result["power_mode"]
    if wanted and wanted != mode:
        lines.append(
            f"  that budget is for power mode {wanted}, this is {mode or 'not told'}; `codriver doctor` has advice"
        )
    return lines
