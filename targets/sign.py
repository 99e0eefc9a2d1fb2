"""Vouch for a bundle with a private key; `python -m targets.build --sign` does so as it builds.

python -m targets.sign demo.bundle --key team.key
codriver verify demo.bundle --key team.key.pub
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codriver.bundle.signature import SIGNATURE_NAME
from codriver.console import put, put_json
from workshop.command import command
from workshop.signing import sign_bundle


@command("targets.sign")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.sign",
        description="Sign manifest.json, which holds the hash of every other file of the bundle.",
        epilog="example: python -m targets.sign out/demo.bundle --key team.key",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder with a manifest.json")
    parser.add_argument("--key", type=Path, required=True, help="private Ed25519 key, PEM without a password")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    args = parser.parse_args(argv)
    signed_by = sign_bundle(args.bundle, args.key)
    if args.json:
        put_json({"bundle": str(args.bundle), "signed_by": signed_by})
    else:
        put(f"{args.bundle / SIGNATURE_NAME}: signed by {signed_by}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
