"""A key pair to sign bundles with. Where bundles are made: no device needs a private key.

python -m targets.keygen team.key
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codriver.console import put, put_json
from workshop.command import command
from workshop.signing import new_key


@command("targets.keygen")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.keygen",
        description="Write KEY, which stays in the workshop, and KEY.pub, which goes onto devices.",
        epilog="example: python -m targets.keygen team.key",
    )
    parser.add_argument("key", type=Path, metavar="KEY", help="file of the private key; the public one is KEY.pub")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    args = parser.parse_args(argv)
    made = new_key(args.key)
    if args.json:
        put_json({"key": str(args.key), "public_key": f"{args.key}.pub", "fingerprint": made})
    else:
        put(f"{args.key} and {args.key}.pub: {made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
