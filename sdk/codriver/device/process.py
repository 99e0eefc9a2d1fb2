"""Threads and forks: a fork copies no thread, and a lock that one of them holds stays shut in the child for ever."""

from __future__ import annotations

import os
import threading

from codriver.errors import CodriverError


class OwnCondition(threading.Condition):
    """A condition whose lock a fork of the process that made it cannot take: it says so instead of waiting for ever."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what, self._process = what, os.getpid()

    @property
    def forked(self) -> bool:
        return os.getpid() != self._process

    def __enter__(self) -> bool:
        if self.forked:
            raise CodriverError(
                f"this {self._what} was made in process {self._process}, and its threads did not come along into this "
                f"fork of it; make a {self._what} in each process, after the fork (gunicorn: without --preload)"
            )
        return super().__enter__()
