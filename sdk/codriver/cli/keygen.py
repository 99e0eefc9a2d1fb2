"""`codriver keygen`: a key pair to sign bundles with."""

from __future__ import annotations

import argparse
from pathlib import Path

from codriver.bundle.signing import new_key
from codriver.cli.shared import Commands, add_command
from codriver.console import put, put_json

EXAMPLE = """example:
  codriver keygen team.key
writes team.key, which stays in the workshop, and team.key.pub, which goes onto devices; nothing is overwritten"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "keygen", "make a key pair to sign bundles with", EXAMPLE, run)
    parser.add_argument("key", type=Path, metavar="KEY", help="file of the private key; the public one is KEY.pub")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    made = new_key(args.key)
    if args.json:
        put_json({"key": str(args.key), "public_key": f"{args.key}.pub", "fingerprint": made})
    else:
        put(f"{args.key} and {args.key}.pub: {made}")
    return 0
