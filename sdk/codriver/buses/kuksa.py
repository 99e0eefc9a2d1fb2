"""A KUKSA databroker by kuksa.val.v2, as a connection of a Publisher.

One call a signal, with the stubs that kuksa-client brings: 0.5.2 for Python 3.10 and 0.6.0 have them alike. Or the
stream of 0.6.0, if that is wanted. The broker keeps the latest value and lets none expire, so what is not known any
more is published as a datapoint without a value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codriver.buses.config import VssConfig
from codriver.buses.kuksa_stream import ProviderStream, Wire, fault
from codriver.device.imports import load
from codriver.errors import ConfigError
from codriver.mapping.fields import Moment
from codriver.mapping.signals import WHOLE, BusMap

MISSING = "VSS needs the package kuksa-client: pip install 'codriver[vss]'"
CALL_S = 1.0
FIELDS = {"boolean": "bool", "string": "string", "float": "float", "double": "double"}
FIELDS |= {kind: "uint32" if kind.startswith("u") else "int32" for kind in WHOLE}
REFUSALS = ("NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED")  # of a signal; all else is of the broker


class VssBroker:
    """refused: signals that the broker did not take, each told once."""

    def __init__(
        self, config: VssConfig, bus_map: BusMap, near: Path | None, refused: set[str], tell: Callable[[str], object]
    ) -> None:
        self._config, self._map, self._refused, self._tell = config, bus_map, refused, tell
        self._grpc = load("grpc", MISSING, "insecure_channel")
        token = None if config.token is None else _read(near, config.token).decode("utf-8").strip()
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        self._channel = self._opened(near)
        self._wire = Wire(
            load("kuksa.val.v2.val_pb2", MISSING, "PublishValueRequest"),
            load("kuksa.val.v2.types_pb2", MISSING, "Datapoint"),
            load("kuksa.val.v2.val_pb2_grpc", MISSING, "VALStub").VALStub(self._channel),
            {"metadata": metadata, "timeout": CALL_S},
        )
        self._stream: ProviderStream | None = None  # opened by the first `send`
        self._sent: dict[str, tuple[Any, float]] = {}  # by signal: what, and when

    def _opened(self, near: Path | None) -> Any:
        options = [("grpc.enable_http_proxy", 0)]
        if self._config.root_ca is None:
            return self._grpc.insecure_channel(self._config.address, options)
        if self._config.server_name:
            options.append(("grpc.ssl_target_name_override", self._config.server_name))  # type: ignore[arg-type]
        trusted = self._grpc.ssl_channel_credentials(_read(near, self._config.root_ca))
        return self._grpc.secure_channel(self._config.address, trusted, options)

    def send(self, values: Mapping[str, Moment | None]) -> None:
        """What changed since it was sent, or was not sent for a period. No moment: steps have stopped."""
        moment, now_s, due = values["moment"], time.monotonic(), {}
        for path, value in (self._map.invalid if moment is None else self._map.values(moment)).items():
            before, at_s = self._sent.get(path, (None, float("-inf")))
            if before != value or now_s - at_s >= self._map.config.period_s:
                due[path] = value
        if self._config.stream:
            self._stream = self._stream or ProviderStream(self._wire, self._ids(), self._refuse)
            self._stream.publish({path: self._point(path, value) for path, value in due.items()})
        else:
            for path, value in due.items():
                signal = self._wire.types.SignalID(path=path)
                point = self._point(path, value)
                self._answer(path, "PublishValue", signal_id=signal, data_point=point)
        self._sent |= {path: (value, now_s) for path, value in due.items()}

    def _point(self, path: str, value: Any) -> Any:
        field = FIELDS[str(self._map.config.signals[path].type)]
        known = {} if value is None else {"value": self._wire.types.Value(**{field: value})}
        return self._wire.types.Datapoint(**known)

    def _ids(self) -> dict[str, int]:
        """Of the signals that the broker has, by path."""
        found = {path: self._answer(path, "ListMetadata", root=path) for path in self._map.config.signals}
        return {path: answer.metadata[0].id for path, answer in found.items() if answer is not None}

    def _answer(self, path: str, call: str, **request: Any) -> Any:
        """None: the signal is refused, which is told."""
        try:
            asked = getattr(self._wire.val, f"{call}Request")(**request)
            return getattr(self._wire.stub, call)(asked, **self._wire.call)
        except self._grpc.RpcError as error:
            if error.code().name not in REFUSALS:
                raise ConnectionError(fault(error)) from error
            self._refuse(path, fault(error))
            return None

    def _refuse(self, path: str, why: str) -> None:
        if path not in self._refused:
            self._refused.add(path)
            kind = self._map.config.signals[path].type
            self._tell(f"vss {self._config.address} refuses {path} as {kind} ({why})")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._channel.close()


def _read(near: Path | None, name: str) -> bytes:
    path = (near or Path()) / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
