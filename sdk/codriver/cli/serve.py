"""`codriver serve`: as a service, by a file that describes all of it."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from codriver.bundle.folder import Bundle
from codriver.buses.buses import Buses, told
from codriver.buses.publisher import Publisher
from codriver.cli.shared import Commands, add_command
from codriver.cli.steps import steps
from codriver.console import put, say
from codriver.live.feed import Feed
from codriver.live.server import LivePage
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.serve.config import Service, read_service
from codriver.serve.lines import PerceptLines
from codriver.serve.notify import Notify
from codriver.serve.reload import Reload, open_bundle
from codriver.serve.ring import Ring
from codriver.sources import Cameras, FrameSet

EXAMPLE = """examples:
  codriver serve /etc/codriver/service.toml --check      is the file right, and the bundle the one that it trusts?
  codriver serve /etc/codriver/service.toml              until SIGTERM; SIGHUP takes a new bundle: docs/service.md"""
Sink = Callable[[FrameSet, Percept], object]


def add(commands: Commands) -> None:
    parser = add_command(commands, "serve", "run as a service that a TOML file describes", EXAMPLE, run)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="TOML: docs/service.md")
    parser.add_argument("--check", action="store_true", help="check the file and the bundle, open nothing else")


def run(args: argparse.Namespace) -> int:
    service = read_service(args.config)
    of = service.config.bundle
    if args.check:
        bundle = Bundle.open(service.within(of.path), trusted_key=service.trusted_key, min_version=of.min_version)
        if service.config.buses:
            Buses(service.config.buses, args.config.parent).close()  # its maps are right
        put(f"{args.config}: right; {bundle.manifest.id}, {len(service.cameras)} cameras")
        return 0
    with ExitStack() as stack:
        notify = Notify()
        stack.callback(notify.close)
        notify.tell("STATUS=opening the bundle")
        perceiver = stack.enter_context(open_bundle(service))
        notify.tell("STATUS=opening the cameras")
        source = stack.enter_context(Cameras(service.cameras, rate_hz=service.config.steps.rate_hz))
        reload = Reload(service, notify)
        stack.callback(reload.close)
        signal.signal(signal.SIGHUP, lambda *_: reload.ask())  # the end of `main` puts the old handler back
        sinks = list(_sinks(service, source, perceiver, stack))
        stack.callback(notify.tell, "STOPPING=1")  # before anything of it ends
        with args.stop.finishing(True):
            problems: set[str] = set()
            for at, percept in steps(source, perceiver, deadline_ms=service.config.steps.deadline_ms):
                if args.stop.asked:
                    break
                if percept is not None:
                    for sink in sinks:
                        sink(at, percept)
                    notify.step(percept)
                lines = {line for line in (reload.go_on(perceiver), *source.problems) if line} - problems
                problems |= lines
                for line in sorted(lines):
                    say(f"codriver: {line}")
    return 0


def _sinks(service: Service, source: Cameras, perceiver: Perceiver, stack: ExitStack) -> Iterator[Sink]:
    config, also = service.config, None
    if config.percepts:
        lines = PerceptLines(service.within(config.percepts.path), config.percepts.limit_mb)
        stack.callback(lines.close)
        publisher = Publisher("percepts", lambda: lines, told)
        stack.callback(publisher.close)
        also = publisher.add
    if config.recording:
        ring = Ring(service.within(config.recording.path), config.recording, perceiver)
        stack.callback(ring.close)
        yield lambda at, percept: _told(ring, lambda: ring.add(at, percept))
    if live := config.live:
        feed = Feed.of(perceiver, source.name)
        page = stack.enter_context(LivePage(feed, address=live.address, port=live.port, token=live.token))
        say(f"live page: {page.url.partition('#')[0]}")  # the token is no matter for a journal
        views = perceiver.manifest.views
        yield lambda at, percept: feed.publish({v: f for v, f in at.frames.items() if v in views}, percept, live=True)
    if config.buses:
        buses = stack.enter_context(Buses(config.buses, service.path.parent, also=also))  # one thread woken for both
        yield lambda at, percept: buses.add(percept, frames=at.frames)
    elif also:
        yield lambda at, percept: publisher.add(percept)
    if config.metrics:
        from codriver.monitoring.prometheus import PrometheusMetrics

        metrics = PrometheusMetrics(perceiver.stats)
        stack.callback(metrics.serve(config.metrics.port).close)
        yield lambda at, percept: metrics(percept)


def _told(sink: Ring, add: Callable[[], None]) -> None:
    """Say what is lost, when it begins."""
    before = sink.problem
    add()
    if sink.problem and sink.problem != before:
        say(f"codriver: {sink.problem}")
