"""`codriver replay`: the same frames again, and whether the answers are the same."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codriver.cli.shared import Commands, add_command, add_engine, open_perceiver
from codriver.console import put_result
from codriver.files.decode import encode
from codriver.recording.reader import Recording
from codriver.recording.replay import replay

EXAMPLE = """example:
  codriver run demo.bundle --source incar=0,front=1 --record drive
  codriver replay drive --bundle demo.bundle
exit code 1 if an answer differs; on the engine that recorded, none does"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "replay", "step through a recording and compare the answers", EXAMPLE, run)
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="an .mcap file, or the folder of several")
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="folder with a manifest.json")
    add_engine(parser)
    parser.add_argument("--tolerance", type=float, default=0.0, metavar="P", help="of a probability, exit code 0 (0)")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    recording = Recording(args.recording)
    with open_perceiver(args, recording.color) as perceiver:
        result = asdict(replay(recording, perceiver))
        result |= {"bundle": perceiver.manifest.id, "variant": perceiver.variant}
        policy = json.dumps(encode(perceiver.bundle.policy))
        result["same_policy"] = recording.about is not None and recording.about.policy == policy
    exact = not result["different"]
    result["ok"] = exact or (not result["other_labels"] and result["max_abs"] <= args.tolerance)
    put_result(result, _lines(result), args.json)
    return 0 if result["ok"] else 1


def _lines(result: dict[str, Any]) -> list[str]:
    about = result["about"]
    lines = [f"{result['steps']} steps, {result['compared']} compared"]
    lines += [f"  {sentence}" for sentence in result["cut"]]
    if (about["bundle"], about["variant"]) != (result["bundle"], result["variant"]):
        lines.append(
            f"  recorded with {about['bundle']} {about['variant']}, now {result['bundle']} {result['variant']}"
        )
    if not result["same_policy"]:
        lines.append("  recorded under another policy than the bundle's: answers may differ by it")
    if about["lossless"] != "true":
        lines.append("  the pictures were recorded with loss: answers will differ a little")
    if result["first"]:
        first = result["first"]
        lines.append(f"  first difference in step {first['step']}, t {first['t']:.3f} s: {first['where']}")
        lines.append(f"  {result['different']} steps differ, a probability by up to {result['max_abs']:.6f}")
        lines.append(f"  {result['other_labels']} answers are another class")
    return [
        *lines,
        "the same to the bit" if not result["different"] else "within tolerance" if result["ok"] else "NOT the same",
    ]
