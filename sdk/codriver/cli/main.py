"""The command `codriver`.

Exit codes: 0 done, 1 a check failed, 2 wrong use, 130 stopped with Ctrl-C, 143 with SIGTERM, 129 with SIGHUP.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from codriver.cli.stopping import KILLED, PIPE, Stop, leave
from codriver.console import leave_stdout, say
from codriver.device.imports import numpy
from codriver.errors import CodriverError
from codriver.version import VERSION

COMMANDS = ("run", "live", "serve", "replay", "export", "map", "bench", "info", "doctor", "verify")
DONE, FAILED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. An error on purpose is one line on stderr, no traceback."""
    try:
        numpy()
    except CodriverError as error:
        return _refused(error)
    args = _parser().parse_args(arguments)
    warnings.formatwarning = lambda message, *_, **__: f"codriver: {message}\n"  # where in our source helps nobody
    for name, level in (("OPENCV_LOG_LEVEL", "ERROR"), ("OPENCV_FFMPEG_LOGLEVEL", "-8")):
        os.environ.setdefault(name, level)  # their warnings say less than our own messages do
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be text
    args.stop = Stop()
    try:
        with args.stop.listening():
            return int(args.run(args))
    except CodriverError as error:
        return _refused(error)
    except KeyboardInterrupt as stopped:
        say("codriver: stopped")
        return KILLED + getattr(stopped, "number", signal.SIGINT)
    except BrokenPipeError:
        leave_stdout()  # whoever read our output has enough
        return KILLED + PIPE
    except ImportError as error:  # of a package that nobody asked about before
        return _refused(ImportError(f"{error.name or 'a package'} cannot be imported: {error}; see `codriver doctor`"))
    except OSError as error:  # of a disk or a folder that nobody asked about before
        return _refused(error)


def command() -> NoReturn:
    """`main` as a process of its own."""
    leave(main())


def _refused(error: Exception) -> int:
    say(f"codriver: {' '.join(str(error).split())}")
    return WRONG_USE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codriver",
        description="Four cameras in, four answers out: the driver and the road, understood on the device.",
        epilog="example: codriver run demo.bundle --source AIDE_Dataset/0001 --view 0001.mp4",
    )
    parser.add_argument("--version", action="version", version=f"codriver {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        import_module(f"codriver.cli.{command}").add(commands)  # all of them import NumPy
    return parser
