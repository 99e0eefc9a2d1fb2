"""A databroker for tests: kuksa.val.v2 served from kuksa-client's own stubs, with our signals and their rules.

It refuses as the real one does (types, ranges, allowed values, unknown paths), and stamps and keeps the latest value.
"""

from __future__ import annotations

import queue
import threading
from concurrent import futures

import grpc
import yaml
from kuksa.val.v2 import types_pb2 as types
from kuksa.val.v2 import val_pb2 as val
from kuksa.val.v2 import val_pb2_grpc as services

from codriver.mapping.toml_file import SHIPPED

PERCENT = {"datatype": "float", "min": 0, "max": 100}
STANDARD = {  # of VSS 6.0; `python -m tests.merge_vss` holds them against it
    "Vehicle.Driver.DistractionLevel": PERCENT,
    "Vehicle.Driver.AttentiveProbability": PERCENT,
    "Vehicle.ADAS.DMS.IsWarning": {"datatype": "boolean"},
    "Vehicle.ADAS.DMS.IsError": {"datatype": "boolean"},
}
FIELDS = {"boolean": "bool", "string": "string", "float": "float"}


def overlay():
    """Our leaves, by path."""
    nodes = yaml.safe_load((SHIPPED / "codriver.vspec").read_text())
    return {path: node for path, node in nodes.items() if node["type"] != "branch"}


class Databroker(services.VALServicer):
    def __init__(self, lacking=(), token=None):
        signals = STANDARD | overlay()
        self.signals = {path: node for path, node in signals.items() if path not in lacking}
        self.now = {path: types.Datapoint() for path in self.signals}
        self.published, self.calls = [], 0  # (path, value or None)
        self.token, self.answers = token, threading.Event()
        self.answers.set()
        self._readers, self._lock = [], threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        services.add_VALServicer_to_server(self, self._server)

    def serve(self, port=0, credentials=None):
        address = f"127.0.0.1:{port}"
        opened = self._server.add_secure_port(address, credentials) if credentials else 0
        opened = opened or self._server.add_insecure_port(address)
        self._server.start()
        return f"localhost:{opened}" if credentials else f"127.0.0.1:{opened}"

    def stop(self):
        self.answers.set()
        self._server.stop(0).wait()

    def PublishValue(self, request, context):
        self.calls += 1
        self.answers.wait()
        if self.token and ("authorization", f"Bearer {self.token}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid auth token")
        path, point = request.signal_id.path, request.data_point
        if path not in self.signals:
            context.abort(grpc.StatusCode.NOT_FOUND, "Path not found")
        which = point.value.WhichOneof("typed_value")
        value = getattr(point.value, which) if which else None
        node = self.signals[path]
        if which not in (None, FIELDS[node["datatype"]]):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Wrong Type")
        if which and "allowed" in node and value not in node["allowed"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Value not allowed")
        if which == "float" and not node["min"] <= value <= node["max"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Out of Bounds")
        new = types.Datapoint(value=point.value if which else None)
        new.timestamp.GetCurrentTime()
        with self._lock:
            self.now[path] = new
            self.published.append((path, value))
            for paths, reader in self._readers:
                if path in paths:
                    reader.put({path: new})
        return val.PublishValueResponse()

    def Subscribe(self, request, context):
        reader = queue.Queue()
        with self._lock:
            self._readers.append((set(request.signal_paths), reader))
            first = {path: self.now[path] for path in request.signal_paths}
        context.add_callback(lambda: reader.put(None))
        yield val.SubscribeResponse(entries=first)
        while (entries := reader.get()) is not None:
            yield val.SubscribeResponse(entries=entries)
