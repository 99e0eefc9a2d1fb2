"""Answers in a databroker: types, datapoints without a value, what a second client sees, and which faults are told."""

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
from kuksa.val.v2 import val_pb2, val_pb2_grpc

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, VssConfig
from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map
from tests.clips import percept
from tests.kuksa_peer import STANDARD, Databroker, overlay
from tests.sdk.buses.test_publisher import until

STATE, ERROR = "Vehicle.ADAS.Perception.Quality.State", "Vehicle.ADAS.DMS.IsError"
BEHAVIOUR = "Vehicle.Driver.Behaviour.Class"


@pytest.fixture
def broker():
    broker = Databroker()
    yield broker
    broker.stop()


def provider(address, told, stale_s=30.0, **more):
    return Buses(BusesConfig(vss=VssConfig(address=address, stale_s=stale_s, **more)), tell=told.append)


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


def test_a_second_client_sees_three_hundred_updates_staleness_and_recovery(broker):
    address, told = broker.serve(), []
    client = Client(address, ERROR, BEHAVIOUR)
    behaviours = ["SMOKING", "MAKING_PHONE"] * 150
    with provider(address, told, stale_s=3.0) as buses:
        for number, behaviour in enumerate(behaviours):
            buses.add(percept(number, winner=number % 2))
            until(lambda behaviour=behaviour: broker.now[BEHAVIOUR].value.string == behaviour)
        until(lambda: client.seen[BEHAVIOUR][-1] is None)  # steps have stopped
        until(lambda: client.seen[ERROR][-1] is True)
        buses.add(percept(300, winner=2))
        until(lambda: client.seen[ERROR][-1] is False and client.seen[BEHAVIOUR][-1] == "LOOKING_AROUND")
    client.close()
    assert client.seen[BEHAVIOUR] == [None, *behaviours, None, "LOOKING_AROUND"] and told == []


def test_without_an_answer_a_datapoint_has_no_value(broker):
    with provider(broker.serve(), []) as buses:
        buses.add(percept(invalid=tuple(percept().tasks), lost=tuple(percept().views), state="invalid"))
        until(lambda: len(broker.published) == len(broker.signals))
    now = dict(broker.published)
    assert now[ERROR] is True and now[STATE] == "INVALID" and now["Vehicle.ADAS.Perception.Alert.IsAvailable"] is False
    assert {now[path] for path in now if path.endswith((".Class", ".Confidence", "Level", "Probability"))} == {None}


def test_what_does_not_change_is_sent_once_a_period(broker):
    def sent(path):
        return sum(one == path for one, _ in broker.published)

    with provider(broker.serve(), []) as buses:
        for number in range(20):
            buses.add(percept(number, winner=number % 2))
            until(lambda number=number: sent(BEHAVIOUR) > number)
        assert sent(STATE) < 10
        until(lambda: buses.add(percept(20)) and sent(STATE) >= 2)


def test_a_signal_that_the_broker_does_not_know_is_told_once_and_the_others_go_on():
    broker, told = Databroker(lacking=(BEHAVIOUR,)), []
    with provider(broker.serve(), told) as buses:
        for number in range(5):
            buses.add(percept(number, winner=number % 2))
            until(lambda number=number: len(broker.published) >= 10 + number)
    broker.stop()
    assert [line for line in told if BEHAVIOUR in line] == told and len(told) == 1
    assert "refuses" in told[0] and "as string (NOT_FOUND: Path not found)" in told[0]


def test_a_wrong_type_is_refused_by_the_broker_and_told_by_us(broker, tmp_path):
    (tmp_path / "wrong.toml").write_text(f'bus = "vss"\n[signals."{ERROR}"]\nfrom = "state"\ntype = "string"\n')
    told = []
    config = BusesConfig(vss=VssConfig(address=broker.serve(), map="wrong.toml"))
    with Buses(config, near=tmp_path, tell=told.append) as buses:
        buses.add(percept())
        until(lambda: told)
    assert f"refuses {ERROR} as string (INVALID_ARGUMENT: Wrong Type)" in told[0] and broker.published == []


def test_a_broker_that_is_not_there_or_stops_answering_holds_up_nobody_and_is_told_once(broker):
    told, address = [], broker.serve()
    with provider(address, told) as buses:
        buses.add(percept(0))
        until(lambda: broker.published)
        broker.answers.clear()
        for number in range(1, 200):  # would wait here if a step waited for the broker
            buses.add(percept(number, winner=number % 2))
        until(lambda: told)
        broker.answers.set()
        until(lambda: buses.add(percept(200, winner=2)) and len(told) == 2)
    assert told[0].startswith(f"vss {address} is lost (DEADLINE_EXCEEDED") and "is back" in told[1]


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


def test_tls_and_a_token_are_taken_from_files(tmp_path):
    key, pem = certificate(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    broker, told = Databroker(token="secret"), []
    address = broker.serve(credentials=grpc.ssl_server_credentials([(key, pem)]))
    with provider(address, told, root_ca=str(tmp_path / "ca.pem"), token=str(tmp_path / "token")) as buses:
        buses.add(percept())
        until(lambda: len(broker.published) == len(broker.signals))
    with provider(address, told, root_ca=str(tmp_path / "ca.pem")) as buses:
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
