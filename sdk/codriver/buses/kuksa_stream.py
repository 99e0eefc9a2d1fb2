"""The provider's stream of kuksa.val.v2: signals claimed for us alone, and many values in one message.

Brokers since 0.6 have it. They ask whoever claimed a signal for its value on each GetValue of anybody, so what was sent
last is kept here; and they answer a message only if they refuse some of it, so once a second they are asked for more.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codriver.errors import ConfigError

ALIVE_S = 1.0  # between two questions whether the broker is there


@dataclass(frozen=True)
class Wire:
    """kuksa-client's stubs, and what each call carries."""

    val: Any  # messages
    types: Any
    stub: Any
    call: Mapping[str, Any]  # metadata and timeout, seconds


def fault(error: Any) -> str:
    """Of gRPC's errors the code and the words."""
    return f"{error.code().name}: {error.details()}" if hasattr(error, "details") else str(error)


class ProviderStream:
    """ids: of the signals, by path. refuse: told of a path, and why. A ConnectionError says why no value goes out."""

    def __init__(self, wire: Wire, ids: Mapping[str, int], refuse: Callable[[str, str], None]) -> None:
        if not hasattr(wire.val, "ProvideSignalRequest"):
            raise ConfigError("stream = true needs kuksa-client 0.6, which is for Python 3.11 and later; leave it out")
        self._wire, self._ids, self._refuse = wire, ids, refuse
        self._paths = {number: path for path, number in ids.items()}
        self._newest: dict[int, Any] = {}
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._claimed, self._fault, self._asked_s = threading.Event(), "", time.monotonic()
        sent = iter(self._requests.get, None)
        self._stream = wire.stub.OpenProviderStream(sent, metadata=wire.call["metadata"])
        threading.Thread(target=self._read, name="codriver vss stream", daemon=True).start()
        every = {number: wire.types.SampleInterval(interval_ms=0) for number in self._paths}
        self._ask(provide_signal_request=wire.val.ProvideSignalRequest(signals_sample_intervals=every))
        if not self._claimed.wait(wire.call["timeout"]):
            self.close()
            raise ConnectionError("no answer to ProvideSignalRequest; brokers before 0.6 want stream left out")

    def publish(self, points: Mapping[str, Any]) -> None:
        """points: datapoints by path; of those that have an id."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= ALIVE_S:
            self._asked_s = now_s
            try:
                self._wire.stub.GetServerInfo(self._wire.val.GetServerInfoRequest(), **self._wire.call)
            except Exception as error:  # gRPC's
                raise ConnectionError(fault(error)) from error
        if self._fault:
            raise ConnectionError(self._fault)
        known = {self._ids[path]: point for path, point in points.items() if path in self._ids}
        if known:
            self._newest |= known
            self._ask(publish_values_request=self._wire.val.PublishValuesRequest(request_id=1, data_points=known))

    def _ask(self, **action: Any) -> None:
        self._requests.put(self._wire.val.OpenProviderStreamRequest(**action))

    def _read(self) -> None:
        try:
            for response in self._stream:
                action = response.WhichOneof("action")
                if action == "provide_signal_response":
                    self._claimed.set()
                elif action == "publish_values_response":
                    for number, error in response.publish_values_response.status.items():
                        code = self._wire.types.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_")
                        self._refuse(self._paths[number], f"{code}: {error.message}")
                elif action == "get_provider_value_request":
                    of = response.get_provider_value_request
                    entries = {number: self._newest[number] for number in of.signal_ids if number in self._newest}
                    answer = self._wire.val.GetProviderValueResponse(request_id=of.request_id, entries=entries)
                    self._ask(get_provider_value_response=answer)
            self._fault = "the broker ended the stream"
        except Exception as error:  # gRPC's, or a ValueError of a channel that is being closed
            self._fault = fault(error)
        self._claimed.set()  # whoever waits learns of the fault by the first publish

    def close(self) -> None:
        self._requests.put(None)
        self._stream.cancel()
