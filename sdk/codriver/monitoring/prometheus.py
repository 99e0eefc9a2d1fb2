"""Counts and times for Prometheus: pip install 'codriver[metrics]'. Never what a task answered.

metrics = PrometheusMetrics(perceiver.stats)
server = metrics.serve(9464)  # http://127.0.0.1:9464/metrics, until server.close()
metrics(perceiver.step(frames))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from codriver.device.imports import load
from codriver.errors import ConfigError
from codriver.percept import STATES, Percept, Stats

BUCKETS_S = (0.005, 0.01, 0.02, 0.033, 0.05, 0.067, 0.1, 0.2, 0.5, 1.0)


class PrometheusMetrics:
    """A collector over `stats()`, read when somebody asks, and a histogram of the steps that it is called with.

    stats: of a Perceiver or a PerceiverWorker.
    """

    def __init__(self, stats: Callable[[], Stats]) -> None:
        missing = "prometheus_client is not installed: pip install 'codriver[metrics]'"
        prometheus_client = load("prometheus_client", missing)
        self._client, self._core = prometheus_client, load("prometheus_client.core", missing)
        self._stats = stats
        self._last: Percept | None = None
        self.registry = prometheus_client.CollectorRegistry()
        self._step_s = prometheus_client.Histogram(
            "codriver_step_seconds", "Time of a step", buckets=BUCKETS_S, registry=self.registry
        )
        self.registry.register(self)

    def __call__(self, percept: Percept) -> None:
        self._last = percept
        if "total" in percept.latency_ms:
            self._step_s.observe(percept.latency_ms["total"] / 1e3)

    def collect(self) -> Iterator[Any]:
        """What prometheus_client asks its collectors for."""
        core, stats, last = self._core, self._stats(), self._last
        frames = core.CounterMetricFamily("codriver_frames", "What became of each frame", labels=["view", "result"])
        for view, counts in stats.views.items():
            for result, count in asdict(counts).items():
                frames.add_metric([view, result], count)
        yield frames
        for name, value, text in (
            ("steps", stats.steps, "Steps that gave a percept"),
            ("deadline_misses", stats.misses, "Steps that took longer than their deadline"),
            ("context_resets", stats.resets, "New contexts, after a jump of time or another encoder"),
            ("swaps", stats.swaps, "Times that another bundle, variant or engine took over"),
        ):
            yield core.CounterMetricFamily(f"codriver_{name}", text, value=value)
        info = core.InfoMetricFamily("codriver_model", "What answers now")
        info.add_metric([], {"bundle": stats.model, "variant": stats.variant, "engine": stats.engine})
        yield info
        if last is not None:
            yield _state(core, last.state)
            ok = core.GaugeMetricFamily("codriver_view_ok", "Whether a camera is trusted", labels=["view"])
            for view, status in last.views.items():
                ok.add_metric([view], float(status.status == "ok"))
            yield ok

    def serve(self, port: int, address: str = "127.0.0.1") -> Server:
        """Answer on http://address:port/metrics in a thread of its own. port 0: any that is free."""
        try:
            server, thread = self._client.start_http_server(port, address, self.registry)
        except OSError as error:
            what = f"metrics cannot be served on {address}:{port} ({error.strerror}); give another port"
            raise ConfigError(what) from error
        return Server(server, thread)


class Server:
    """The endpoint, until it is closed."""

    def __init__(self, server: Any, thread: Any) -> None:
        self._server, self._thread = server, thread
        self.port: int = server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _state(core: Any, now: str) -> Any:
    family = core.GaugeMetricFamily("codriver_state", "1 for the last step's state, 0 for the others", labels=["state"])
    for state in STATES:
        family.add_metric([state], float(state == now))
    return family
