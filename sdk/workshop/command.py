"""What every command of the workshop does around its work: one line for an error, one for a stop, and an exit code.

0 done, 1 a check failed, 2 wrong use or a file that cannot be used; 130 stopped with Ctrl-C, 143 with SIGTERM, 129 with
SIGHUP; 141 the reader of our output left. As `codriver` ends on a device.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from codriver.console import say
from codriver.errors import CodriverError
from workshop.artifacts import check_docs_result

DONE, FAILED, WRONG_USE, PIPE_CLOSED = 0, 1, 2, 141
KILLED = 128  # what shells add to the number of the signal that ended a command
START_ANEW = "nothing half-written is left; the same command starts anew"
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Preempted(Exception):
    """Work that can go on was asked to stop, and has written where it is. `signal` is what asked."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class _Ended(KeyboardInterrupt):
    """As Ctrl-C, by another signal. number: which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def command(program: str, stopped: str = START_ANEW) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Wrap a command's main. stopped: what somebody who stopped it should know, and do.

    SIGTERM, which schedulers send, and SIGHUP, of a terminal that goes, end the command as Ctrl-C does, so that it
    clears up after itself. The exit code is 128 + the signal's; so is a Preempted's, which is after a checkpoint.
    """

    def around(main: Callable[..., int]) -> Callable[..., int]:
        @wraps(main)
        def wrapped(*args: Any, **named: Any) -> int:
            try:
                with _ended_as_by_ctrl_c():
                    check_docs_result((args[0] if args else None) or sys.argv[1:])
                    return main(*args, **named)
            except BrokenPipeError:  # an OSError, so it comes first
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain as it closes it
                return PIPE_CLOSED
            except (CodriverError, OSError) as error:
                say(f"{program}: {one_line(error)}")
                return WRONG_USE
            except Preempted as stop:
                say(f"{program}: stopped by {stop}; to go on, give the same command with --resume")
                return KILLED + stop.signal
            except KeyboardInterrupt as stop:
                say(f"{program}: stopped; {stopped}")
                return KILLED + getattr(stop, "number", signal.SIGINT)

        return wrapped

    return around


def one_line(error: BaseException) -> str:
    """What it says, safe for a terminal: names that came from a file may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(error).split()))


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise a KeyboardInterrupt. What is ignored (nohup) or handled stays so."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    ours = os.getpid()

    def end(number: int, _: Any) -> None:
        if os.getpid() == ours:
            raise _Ended(number)
        signal.signal(number, signal.SIG_DFL)  # a forked worker inherits the handler; it ends without a traceback
        os.kill(os.getpid(), number)

    taken = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
