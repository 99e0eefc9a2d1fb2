"""Peers of all buses but CAN in a process of their own: they take everything, and can be stopped and woken."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kuksa_peer import Databroker
from tests.ros2_peer import free_port, session


class Peers:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        self.broker, self.router = self._pipe.recv()

    def counts(self) -> tuple[int, int]:
        """Values published in the broker, and messages heard from the router."""
        self._pipe.send("count")
        return self._pipe.recv()

    def stop(self) -> None:
        """It reads nothing any more, but its connections stay."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        self._pipe.send("end")
        self._process.join()


@contextmanager
def peers() -> Iterator[Peers]:
    them = Peers()
    try:
        yield them
    finally:
        them.wake()
        them.close()


def _serve(pipe) -> None:
    broker, address, heard = Databroker(), f"tcp/127.0.0.1:{free_port()}", [0]
    router = session("router", **{"listen/endpoints": [address]})
    reader = session("client", **{"connect/endpoints": [address]})

    def count(_) -> None:
        heard[0] += 1

    everything = reader.declare_subscriber("0/**", count)
    pipe.send((broker.serve(), address))
    while pipe.recv() == "count":
        pipe.send((len(broker.published), heard[0]))
    everything.undeclare()
    reader.close()
    router.close()
    broker.stop()
