"""The command `codriver`. Exit codes: 0 done, 1 a check failed, 2 wrong use, 130 stopped with Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from codriver.cli import bench, doctor, info, keygen, replay, run, sign, verify
from codriver.console import say
from codriver.errors import CodriverError
from codriver.version import VERSION

COMMANDS = (run, replay, bench, info, doctor, verify, sign, keygen)
DONE, FAILED, WRONG_USE, STOPPED, PIPE_CLOSED = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. An error on purpose is one line on stderr, no traceback."""
    args = _parser().parse_args(arguments)
    warnings.formatwarning = lambda message, *_, **__: f"codriver: {message}\n"  # where in our source helps nobody
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # its warnings say less than our own messages do
    try:
        return int(args.run(args))
    except CodriverError as error:
        say(f"codriver: {' '.join(str(error).split())}")
        return WRONG_USE
    except KeyboardInterrupt:
        say("codriver: stopped")
        return STOPPED
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codriver",
        description="Four cameras in, four answers out: the driver and the road, understood on the device.",
        epilog="example: codriver run demo.bundle --source AIDE_Dataset/0001 --view 0001.mp4",
    )
    parser.add_argument("--version", action="version", version=f"codriver {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
