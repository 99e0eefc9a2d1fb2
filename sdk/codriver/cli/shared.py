"""What the commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from codriver.console import say
from codriver.engines.base import UNPROVEN
from codriver.perceiver import Perceiver

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, what: str, example: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what.capitalize() + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_bundle(parser: argparse.ArgumentParser, *, runs: bool = True) -> None:
    """runs: the command runs the bundle's graphs, so one may say how."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder with a manifest.json")
    if runs:
        add_engine(parser)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """How a bundle's graphs are run, and which bundles may be."""
    parser.add_argument("--threads", type=positive, metavar="N", help="default: physical cores")
    parser.add_argument("--engine", default="auto", help="auto, fastest, a runtime, or fake: answers without one")
    parser.add_argument("--variant", metavar="NAME", help="default: the first that suits this machine")
    parser.add_argument("--key", metavar="PUB", help="refuse all but bundles signed by this key: PEM or fingerprint")
    parser.add_argument("--min-version", type=int, metavar="N", help="refuse an older bundle")


def open_perceiver(args: argparse.Namespace, color: str = "bgr") -> Perceiver:
    perceiver = Perceiver.open(
        args.bundle,
        engine=args.engine,
        threads=args.threads,
        color=color,
        variant=args.variant,
        trusted_key=args.key,
        min_version=args.min_version,
    )
    if perceiver.bundle.benchmark_ms:
        times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in perceiver.bundle.benchmark_ms.items())
        say(f"fastest: {perceiver.variant} (encoder, median: {times})")
    return perceiver


def variant_row(name: str, engine: str, lacks: str, chosen: str | None) -> list[str]:
    """One of a bundle's variants in a table. lacks: as `why_not` says. chosen: the one that runs here."""
    says = "<- runs here" if name == chosen else lacks or "would run here too"
    return [f"  {name}", f"{engine}, {UNPROVEN[engine]}" if engine in UNPROVEN else engine, says]


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
