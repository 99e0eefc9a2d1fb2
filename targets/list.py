"""What can be built for: every target and what its profile says.

python -m targets.list
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from codriver.console import put, put_json, table
from targets.profiles.profile import Profile, load_profile, names
from workshop.command import command

HEAD = ("target", "device", "dialects", "rest", "INT8 TOPS", "FP16", "FP32 TFLOPS", "GB/s", "GB", "budget ms", "MB")


def row(profile: Profile) -> tuple[str, ...]:
    numbers = (
        profile.int8_dense_tops,
        profile.fp16_dense_tflops,
        profile.fp32_tflops,
        profile.bandwidth_gb_per_s,
        profile.memory_gb,
        profile.latency_budget_ms,
        profile.memory_budget_mb,
    )
    dialects = ", ".join(profile.dialects)
    return (profile.name, profile.title, dialects, profile.other_precision, *(f"{value:g}" for value in numbers))


def add_profiles_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profiles", type=Path, action="append", default=[], help="a folder with profiles of your own; repeat for more"
    )


@command("targets.list")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.list",
        description="Every target: one line for each device and power mode. Throughput is dense, without sparsity.",
        epilog="example: python -m targets.list --profiles my-devices",
    )
    add_profiles_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the whole profiles, with the source of each number")
    args = parser.parse_args(argv)
    profiles = [load_profile(name, args.profiles) for name in names(args.profiles)]
    if args.json:
        put_json({"targets": [asdict(profile) for profile in profiles]})
    else:
        put("\n".join(table([HEAD, *map(row, profiles)], numbers_from=4)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
