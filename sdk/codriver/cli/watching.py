"""`codriver run --log` and `--metrics`: what somebody else watches the run by."""

from __future__ import annotations

import argparse
import sys
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
    log = EventLog(logger)

    def not_written(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"--log {path}: cannot be written ({why}); free some room, or give another path") from error

    def close(kind: object, error: BaseException | None, trace: object) -> None:
        try:
            log.close()
            handler.close()
        except (OSError, ConfigError) as fault:
            if error is None:  # else what went wrong first is what is told
                raise ConfigError(f"--log {path}: cannot be written ({fault})") from fault

    handler.handleError = not_written  # type: ignore[method-assign]  # logging prints a traceback for each line
    stack.push(close)
    return log
