"""`codriver sign`: vouch for a bundle with a private key."""

from __future__ import annotations

import argparse
from pathlib import Path

from codriver.bundle.signature import SIGNATURE_NAME
from codriver.bundle.signing import sign_bundle
from codriver.cli.shared import Commands, add_bundle, add_command
from codriver.console import put, put_json

EXAMPLE = """example:
  codriver keygen team.key && codriver sign demo.bundle --key team.key
  codriver verify demo.bundle --key team.key.pub
the signature covers manifest.json, which holds the hash of every other file"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "sign", "sign a bundle with a private key", EXAMPLE, run)
    add_bundle(parser, runs=False)
    parser.add_argument("--key", type=Path, required=True, help="private Ed25519 key, PEM without a password")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    signed_by = sign_bundle(args.bundle, args.key)
    if args.json:
        put_json({"bundle": str(args.bundle), "signed_by": signed_by})
    else:
        put(f"{args.bundle / SIGNATURE_NAME}: signed by {signed_by}")
    return 0
