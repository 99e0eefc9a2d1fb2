"""`codriver run --log` and `--metrics`: what somebody else watches the run by."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from codriver.console import say
from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Percept


def add_watching(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", type=Path, metavar="FILE", help="faults and changes as JSON lines; no answers")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="counts for Prometheus on 127.0.0.1:PORT")


def watchers(args: argparse.Namespace, perceiver: Perceiver, stack: ExitStack) -> Iterator[Callable[[Percept], None]]:
    """Each wants every percept; the stack closes the file and the endpoint."""
    if args.log:
        yield _event_log(args.log, stack)
    if args.metrics is not None:
        from codriver.monitoring.prometheus import PrometheusMetrics

        metrics = PrometheusMetrics(perceiver.stats)
        server = metrics.serve(args.metrics)
        stack.callback(server.close)
        say(f"metrics: http://127.0.0.1:{server.port}/metrics")
        yield metrics


def _event_log(path: Path, stack: ExitStack) -> Callable[[Percept], None]:
    import logging

    from codriver.monitoring.event_log import EventLog, log_file

    try:
        handler = log_file(path)
    except OSError as error:
        raise ConfigError(f"--log {path}: cannot be written ({error.strerror}); give another path") from error
    logger = logging.Logger("codriver")  # of this run alone, whatever the program around it logs
    logger.addHandler(handler)
    stack.callback(handler.close)
    log = EventLog(logger)
    stack.callback(log.close)
    return log
