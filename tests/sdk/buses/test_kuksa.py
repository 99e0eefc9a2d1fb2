"""Answers in a databroker: types, datapoints without a value, what a second client sees, and which faults are told.

By single calls and by the provider's stream, which kuksa-client has since 0.6: the same tests.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kuksa.val.v2 import types_pb2, val_pb2, val_pb2_grpc

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, VssConfig
from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map
from tests.clips import percept
from tests.kuksa_peer import STANDARD, Databroker, overlay
from tests.sdk.buses.test_publisher import until

with_stream = pytest.mark.skipif(
    not hasattr(val_pb2, "ProvideSignalRequest"), reason="kuksa-client before 0.6 has no stream of a provider's"
)
STATE, ERROR = "Vehicle.ADAS.Perception.Quality.State", "Vehicle.ADAS.DMS.IsError"
BEHAVIOUR = "Vehicle.Driver.Behaviour.Class"


@pytest.fixture
def broker():
    broker = Databroker()
    yield broker
    broker.stop()


@pytest.fixture(params=[False, pytest.param(True, marks=with_stream)], ids=["calls", "stream"])
def stream(request):
    return request.param


def provider(address, told, stream, stale_s=30.0, **more):
    return Buses(BusesConfig(vss=VssConfig(address=address, stream=stream, stale_s=stale_s, **more)), tell=told.append)


class Client:
    """Another program that reads signals."""

    def __init__(self, address, *paths):
        self.seen = {path: [] for path in paths}
        self._channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
        request = val_pb2.SubscribeRequest(signal_paths=paths)
        self._stream = val_pb2_grpc.VALStub(self._channel).Subscribe(request)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for response in self._stream:
                for path, point in response.entries.items():
                    which = point.value.WhichOneof("typed_value")
                    self.seen[path].append(getattr(point.value, which) if which else None)
        except grpc.RpcError:
            return

    def close(self):
        self._stream.cancel()
        self._channel.close()
        self._thread.join()


def test_a_second_client_sees_three_hundred_updates_staleness_and_recovery(broker, stream):
    address, told = broker.serve(), []
    client = Client(address, ERROR, BEHAVIOUR)
    behaviours = ["SMOKING", "MAKING_PHONE"] * 150
    with provider(address, told, stream, stale_s=3.0) as buses:
        for number, behaviour in enumerate(behaviours):
            buses.add(percept(number, winner=number % 2))
            until(lambda behaviour=behaviour: broker.now[BEHAVIOUR].value.string == behaviour)
        until(lambda: client.seen[BEHAVIOUR][-1] is None)  # steps have stopped
        until(lambda: client.seen[ERROR][-1] is True)
        buses.add(percept(300, winner=2))
        until(lambda: client.seen[ERROR][-1] is False and client.seen[BEHAVIOUR][-1] == "LOOKING_AROUND")
    client.close()
    assert client.seen[BEHAVIOUR] == [None, *behaviours, None, "LOOKING_AROUND"] and told == []


def test_without_an_answer_a_datapoint_has_no_value(broker, stream):
    with provider(broker.serve(), [], stream) as buses:
        buses.add(percept(invalid=tuple(percept().tasks), lost=tuple(percept().views), state="invalid"))
        until(lambda: len(broker.published) == len(broker.signals))
    now = dict(broker.published)
    assert now[ERROR] is True and now[STATE] == "INVALID" and now["Vehicle.ADAS.Perception.Alert.IsAvailable"] is False
    assert {now[path] for path in now if path.endswith((".Class", ".Confidence", "Level", "Probability"))} == {None}


def test_what_does_not_change_is_sent_once_a_period(broker, stream):
    def sent(path):
        return sum(one == path for one, _ in broker.published)

    with provider(broker.serve(), [], stream) as buses:
        for number in range(20):
            buses.add(percept(number, winner=number % 2))
            until(lambda number=number: sent(BEHAVIOUR) > number)
        assert sent(STATE) < 10
        until(lambda: buses.add(percept(20)) and sent(STATE) >= 2)


def test_a_signal_that_the_broker_does_not_know_is_told_once_and_the_others_go_on(stream):
    broker, told = Databroker(lacking=(BEHAVIOUR,)), []
    with provider(broker.serve(), told, stream) as buses:
        for number in range(5):
            buses.add(percept(number, winner=number % 2))
            until(lambda number=number: len(broker.published) >= 10 + number)
    broker.stop()
    assert [line for line in told if BEHAVIOUR in line] == told and len(told) == 1
    assert f"refuses {BEHAVIOUR} as string (NOT_FOUND: " in told[0]


def test_a_wrong_type_is_refused_by_the_broker_and_told_by_us(broker, stream, tmp_path):
    (tmp_path / "wrong.toml").write_text(f'bus = "vss"\n[signals."{ERROR}"]\nfrom = "state"\ntype = "string"\n')
    told = []
    config = BusesConfig(vss=VssConfig(address=broker.serve(), map="wrong.toml", stream=stream))
    with Buses(config, near=tmp_path, tell=told.append) as buses:
        buses.add(percept())
        until(lambda: told)
    assert f"refuses {ERROR} as string (INVALID_ARGUMENT: Wrong Type)" in told[0] and broker.published == []


def test_a_broker_that_is_not_there_or_stops_answering_holds_up_nobody_and_is_told_once(broker, stream):
    told, address = [], broker.serve()
    with provider(address, told, stream) as buses:
        buses.add(percept(0))
        until(lambda: broker.published)
        broker.answers.clear()
        for number in range(1, 200):  # would wait here if a step waited for the broker
            buses.add(percept(number, winner=number % 2))
        until(lambda: buses.add(percept(200, winner=1)) and told)
        broker.answers.set()
        until(lambda: buses.add(percept(200, winner=2)) and len(told) == 2)
    assert told[0].startswith(f"vss {address} is lost (DEADLINE_EXCEEDED") and "is back" in told[1]


@with_stream
def test_by_a_stream_values_need_one_call_and_by_calls_each_needs_its_own(broker):
    address = broker.serve()
    for stream in (True, False):
        before = broker.calls
        with provider(address, [], stream) as buses:
            for number in range(50):
                buses.add(percept(number, winner=number % 2))
                until(
                    lambda number=number: broker.now[BEHAVIOUR].value.string == ("SMOKING", "MAKING_PHONE")[number % 2]
                )
        made = broker.calls - before
        assert made == len(broker.signals) + 1 if stream else made > 100  # a question for each id, and the stream


@with_stream
def test_whoever_asks_for_a_value_that_a_stream_provides_gets_the_newest(broker):
    address = broker.serve()
    with (
        grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel,
        provider(address, [], True) as buses,
    ):
        ask = val_pb2_grpc.VALStub(channel).GetValue
        for winner, behaviour in enumerate(("SMOKING", "MAKING_PHONE")):
            buses.add(percept(winner, winner=winner))
            until(lambda behaviour=behaviour: broker.now[BEHAVIOUR].value.string == behaviour)
            answer = ask(val_pb2.GetValueRequest(signal_id=types_pb2.SignalID(path=BEHAVIOUR)))
            assert answer.data_point.value.string == behaviour and broker.claimed


@with_stream
def test_a_second_provider_is_told_that_the_signals_are_taken_and_has_them_once_the_first_is_gone(broker):
    told, address = [], broker.serve()
    with provider(address, [], True) as first:
        first.add(percept(0))
        until(lambda: broker.published)
        with provider(address, told, True) as second:
            second.add(percept(1))
            until(lambda: told)
            first.close()
            until(lambda: second.add(percept(2)) and len(told) == 2)
    assert "is lost (ALREADY_EXISTS: Providers already registered" in told[0] and "is back" in told[1]


@with_stream
def test_a_broker_before_its_stream_is_told_what_to_leave_out():
    broker, told = Databroker(claims=False), []
    with provider(broker.serve(), told, True) as buses:
        buses.add(percept(0))
        until(lambda: told)
    broker.stop()
    assert "no answer to ProvideSignalRequest; brokers before 0.6 want stream left out" in told[0]


def test_a_client_without_the_stream_is_told_what_to_leave_out(broker, monkeypatch):
    monkeypatch.delattr(val_pb2, "ProvideSignalRequest", raising=False)  # as in kuksa-client 0.5.2
    told = []
    with provider(broker.serve(), told, True) as buses:
        buses.add(percept(0))
        until(lambda: told)
    assert "stream = true needs kuksa-client 0.6" in told[0] and "leave it out" in told[0]


def certificate(folder):
    """A key, and a certificate of localhost that signed itself, as PEM."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(timezone.utc)
    draft = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    draft = draft.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    pem = draft.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), pem


def test_tls_and_a_token_are_taken_from_files(tmp_path, stream):
    key, pem = certificate(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    broker, told = Databroker(token="secret"), []
    address = broker.serve(credentials=grpc.ssl_server_credentials([(key, pem)]))
    with provider(address, told, stream, root_ca=str(tmp_path / "ca.pem"), token=str(tmp_path / "token")) as buses:
        buses.add(percept())
        until(lambda: len(broker.published) == len(broker.signals))
    with provider(address, told, stream, root_ca=str(tmp_path / "ca.pem")) as buses:
        buses.add(percept())
        until(lambda: told)
    broker.stop()
    assert "UNAUTHENTICATED" in told[0]


def test_the_map_and_the_overlay_say_the_same():
    signals = read_map("vss", read_alerts()).config.signals
    ours = overlay()
    assert signals.keys() == STANDARD.keys() | ours.keys()
    for path, node in ours.items():
        signal = signals[path]
        assert (signal.type, signal.unit, signal.low, signal.high) == (
            node["datatype"], node.get("unit"), node.get("min"), node.get("max"),
        ), path  # fmt: skip
        if "allowed" in node:
            assert set(signal.values.values()) == set(node["allowed"]), path
