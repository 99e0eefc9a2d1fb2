"""The threads of a step: the caller's, and helpers that sleep until it has something for them to do.

A step has one budget of threads, set when its bundle is opened: runtimes and these helpers take turns in it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any


class Cores:
    """So many threads, the caller's among them. One thread at a time may call it, as a Perceiver does."""

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._pid, self._helpers = os.getpid(), list[_Helper]()

    def _helpers_for(self, items: int) -> list[_Helper]:
        """As many as are of use; one is started when it is first needed."""
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._pid, self._helpers = os.getpid(), []
        with suppress(RuntimeError):  # the system gives no more threads: those that there are do it all
            while len(self._helpers) < min(items, self._count - 1):
                self._helpers.append(_Helper())
        return self._helpers[:items]

    def each(self, work: Callable[[Any], object], items: Iterable[Any]) -> None:
        """Call `work` for every item, the first one in this thread, and return when all is done.

        What `work` raises is raised here, once nobody is at work any more.
        """
        left = deque(items)

        def go_on() -> None:
            while left:
                try:
                    item = left.popleft()
                except IndexError:  # another thread was faster
                    return
                work(item)

        first = [left.popleft()] if left else []
        helpers = self._helpers_for(len(left))
        for helper in helpers:
            helper.start(go_on)
        try:
            for item in first:
                work(item)
            go_on()
        finally:
            left.clear()  # after an error nobody begins anything new
            pid, self._pid = self._pid, 0  # after an interrupt while waiting, helpers at work are not asked again
            errors = [helper.wait() for helper in helpers]
            self._pid = pid
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the helpers."""
        if self._pid == os.getpid():
            for helper in self._helpers:
                helper.start(None)
        self._helpers = []

    __del__ = close


class _Helper:
    """A thread that waits without spinning, and ends when there is nothing to do."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._job: Callable[[], None] | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="codriver helper", daemon=True).start()

    def start(self, job: Callable[[], None] | None) -> None:
        self._job = job
        self._go.release()

    def wait(self) -> BaseException | None:
        """What the job raised."""
        self._done.acquire()
        error, self._error, self._job = self._error, None, None
        return error

    def _run(self) -> None:
        while self._go.acquire() and self._job is not None:
            try:
                self._job()
            except BaseException as error:  # for whoever waits for it
                self._error = error
            self._done.release()
