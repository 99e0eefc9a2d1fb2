"""A databroker for tests: kuksa.val.v2 served from kuksa-client's own stubs, with our signals and their rules.

It refuses as the real one does (types, ranges, allowed values, unknown paths), and stamps and keeps the latest value.
Its stream, as read in databroker 0.7.0: signals are claimed by one provider; a message is answered only if some of it
is refused; and whoever claimed a signal is asked for its value on a GetValue of anybody, for at most a second.
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


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Databroker(services.VALServicer):
    def __init__(self, lacking=(), token=None, claims=True):
        signals = STANDARD | overlay()
        self.signals = {path: node for path, node in signals.items() if path not in lacking}
        self.now = {path: types.Datapoint() for path in self.signals}
        self.published, self.calls = [], 0  # (path, value or None)
        self.token, self.answers = token, threading.Event()
        self.answers.set()
        self.ids = {path: number for number, path in enumerate(signals, 1)}
        self.claimed, self.claims, self.streams, self.provided = {}, claims, 0, queue.SimpleQueue()
        self._readers, self._lock = [], threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
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
        self._admit(context)
        try:
            self._put(request.signal_id.path, request.data_point)
        except Refused as refused:
            context.abort(getattr(grpc.StatusCode, refused.code), refused.text)
        return val.PublishValueResponse()

    def _admit(self, context):
        self.calls += 1
        self.answers.wait()
        if self.token and ("authorization", f"Bearer {self.token}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid auth token")

    def _put(self, path, point):
        if path not in self.signals:
            raise Refused("NOT_FOUND", "Path not found")
        which = point.value.WhichOneof("typed_value")
        value = getattr(point.value, which) if which else None
        node = self.signals[path]
        if which not in (None, FIELDS[node["datatype"]]):
            raise Refused("INVALID_ARGUMENT", "Wrong Type")
        if which and "allowed" in node and value not in node["allowed"]:
            raise Refused("INVALID_ARGUMENT", "Value not allowed")
        if which == "float" and not node["min"] <= value <= node["max"]:
            raise Refused("INVALID_ARGUMENT", "Out of Bounds")
        new = types.Datapoint(value=point.value if which else None)
        new.timestamp.GetCurrentTime()
        with self._lock:
            self.now[path] = new
            self.published.append((path, value))
            for paths, reader in self._readers:
                if path in paths:
                    reader.put({path: new})

    def GetServerInfo(self, request, context):
        self.answers.wait()
        return val.GetServerInfoResponse(name="databroker", version="0.7.0")

    def ListMetadata(self, request, context):
        self._admit(context)
        if request.root not in self.signals:
            context.abort(grpc.StatusCode.NOT_FOUND, "Specified root branch does not exist")
        return val.ListMetadataResponse(metadata=[types.Metadata(path=request.root, id=self.ids[request.root])])

    def GetValue(self, request, context):
        number = self.ids[request.signal_id.path]
        if number in self.claimed:
            provider = self.claimed[number]
            provider.put({"get_provider_value_request": val.GetProviderValueRequest(signal_ids=[number])})
            return val.GetValueResponse(data_point=self.provided.get(timeout=1.0)[number])
        return val.GetValueResponse(data_point=self.now[request.signal_id.path])

    def OpenProviderStream(self, requests, context):
        self._admit(context)
        answers, self.streams = queue.SimpleQueue(), self.streams + 1
        threading.Thread(target=self._provided, args=(requests, answers), daemon=True).start()
        try:
            while isinstance(answer := answers.get(), dict):
                yield val.OpenProviderStreamResponse(**answer)
            if isinstance(answer, Refused):
                context.abort(getattr(grpc.StatusCode, answer.code), answer.text)
        finally:
            self.claimed = {number: by for number, by in self.claimed.items() if by is not answers}

    def _provided(self, requests, answers):
        """What a provider says on its stream."""
        paths = {number: path for path, number in self.ids.items()}
        try:
            for request in requests:
                action = request.WhichOneof("action")
                of = getattr(request, action)
                if action == "provide_signal_request" and not self.claims:
                    continue  # a broker before 0.6 does not know the word
                if action == "provide_signal_request":
                    if self.claimed.keys() & of.signals_sample_intervals.keys():
                        raise Refused("ALREADY_EXISTS", "Providers already registered")
                    self.claimed |= dict.fromkeys(of.signals_sample_intervals, answers)
                    answers.put({"provide_signal_response": val.ProvideSignalResponse()})
                elif action == "publish_values_request":
                    self.answers.wait()
                    refused = {}
                    for number, point in of.data_points.items():
                        try:
                            self._put(paths[number], point)
                        except Refused as error:
                            code = types.ErrorCode.Value(f"ERROR_CODE_{error.code}")
                            refused[number] = types.Error(code=code, message=error.text)
                    if refused:
                        told = val.PublishValuesResponse(request_id=of.request_id, status=refused)
                        answers.put({"publish_values_response": told})
                elif action == "get_provider_value_response":
                    self.provided.put(dict(of.entries))
        except Refused as refused:
            answers.put(refused)
        except grpc.RpcError:
            pass  # it is gone
        answers.put(None)

    def Subscribe(self, request, context):
        reader = queue.Queue()
        with self._lock:
            self._readers.append((set(request.signal_paths), reader))
            first = {path: self.now[path] for path in request.signal_paths}
        context.add_callback(lambda: reader.put(None))
        yield val.SubscribeResponse(entries=first)
        while (entries := reader.get()) is not None:
            yield val.SubscribeResponse(entries=entries)
