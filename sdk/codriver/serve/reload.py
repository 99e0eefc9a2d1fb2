"""Another bundle while the service runs: opened and checked beside it, and exchanged between two steps."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from codriver.errors import CodriverError
from codriver.perceiver import Perceiver
from codriver.serve.config import Service, read_service
from codriver.serve.notify import Notify


def open_bundle(service: Service) -> Perceiver:
    """As its file says."""
    of = service.config.bundle
    return Perceiver.open(
        service.within(of.path),
        engine=of.engine,
        variant=of.variant,
        threads=of.threads,
        trusted_key=service.trusted_key,
        min_version=of.min_version,
    )


class Reload:
    """`ask` from a signal's handler; `go_on` between steps. Whatever is wrong with the new one, the old one goes on."""

    def __init__(self, service: Service, notify: Notify) -> None:
        self._service, self._notify = service, notify
        self._asked = False
        self._thread: threading.Thread | None = None
        self._fresh: Perceiver | None = None
        self._told = ""

    def ask(self) -> None:
        self._asked = True

    def go_on(self, perceiver: Perceiver) -> str:
        """What came of it, once something did."""
        if self._thread is None and self._asked:
            self._asked = False
            self._notify.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._thread = threading.Thread(target=self._open, args=[self._service.path], daemon=True)
            self._thread.start()
        if self._thread is None or self._thread.is_alive():
            return ""
        self._thread = None
        if self._fresh is not None:
            self._swap(perceiver, self._fresh)
            self._fresh = None
        self._notify.reloaded(self._told)
        return self._told

    def _open(self, path: Path) -> None:
        try:
            new = read_service(path)
            self._fresh = open_bundle(new)
            old = self._service.config
            self._service = new
            names = ("sources", "percepts", "recording", "live", "metrics", "buses", "steps")
            others = [name for name in names if getattr(old, name) != getattr(new.config, name)]
            self._told = f"; {', '.join(others)} changed too: restart to take that" if others else ""
        except Exception as error:  # of a runtime that is new to this machine: anything
            why = error if isinstance(error, CodriverError) else repr(error)
            self._told = f"not reloaded, the bundle of before goes on: {why}"

    def _swap(self, perceiver: Perceiver, fresh: Perceiver) -> None:
        try:
            perceiver.swap(fresh)
            self._told = f"reloaded: {perceiver.manifest.id}{self._told}"
        except CodriverError as error:
            fresh.close()
            self._told = f"not reloaded, the bundle of before goes on: {error}"

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join(0.5)
        if self._fresh is not None:
            self._fresh.close()
