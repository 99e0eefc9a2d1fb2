"""Protection of a message: AUTOSAR's by its vectors, by others' implementation, and as a control unit checks it."""

from __future__ import annotations

import random
from itertools import combinations

import cantools
import e2e
import pytest

from codriver.buses.e2e import Protection
from codriver.errors import ConfigError
from codriver.mapping.toml_file import SHIPPED
from samples.can_receiver import Receiver

P11 = Protection("P11C", b"\x01\x23")
P02 = Protection("P02", bytes(range(0x10, 0x20)))
STATE = Protection("P11C", b"\x03\xa0")
MESSAGE = cantools.database.load_file(SHIPPED / "codriver.dbc").get_message_by_name("DMS_DriverState")


def test_profile_11_has_autosars_vectors():
    assert P11.protected(bytes(8), 0).hex(" ") == "2a 10 00 00 00 00 00 00"
    assert P11.protected(bytes(8), 1).hex(" ") == "77 11 00 00 00 00 00 00"


def test_the_referee_makes_the_same_bytes_of_both_profiles():
    chance = random.Random(3)
    for number in range(400):
        data = bytes(chance.randrange(256) for _ in range(chance.choice((8, 8, 16, 24))))
        theirs = bytearray(data[:1] + bytes((data[1] % 15,)) + data[2:])
        e2e.p11.e2e_p11_protect(theirs, 0x123, data_id_mode=e2e.p11.E2E_P11_DATAID_NIBBLE, increment_counter=False)
        assert P11.protected(data, data[1] % 15) == theirs, number
        theirs = bytearray(data)
        e2e.p02.e2e_p02_protect(theirs, P02.data_id, increment_counter=False)
        assert P02.protected(data, data[1] & 0x0F) == theirs, number


def test_every_error_of_one_and_of_two_bits_is_caught_by_the_control_unit():
    sent = int.from_bytes(STATE.protected(bytes.fromhex("0000a55a13ff0001"), 7), "big")
    assert Receiver(MESSAGE).take(sent.to_bytes(8, "big"), 0.0) == "ok"
    for many in (1, 2):
        for bits in combinations(range(64), many):
            wrong = sent ^ sum(1 << bit for bit in bits)
            assert Receiver(MESSAGE).take(wrong.to_bytes(8, "big"), 0.0) == "corrupted", bits


def test_a_message_of_another_identity_or_with_a_counter_that_cannot_be_is_not_believed():
    other = Protection("P11C", b"\x03\xa1").protected(bytes(8), 3)
    assert Receiver(MESSAGE).take(other, 0.0) == "corrupted"
    forbidden = bytearray(b"\x00\x3f" + bytes(6))  # 15, with the checksum that belongs to it
    e2e.p11.e2e_p11_protect(forbidden, 0x3A0, data_id_mode=e2e.p11.E2E_P11_DATAID_NIBBLE, increment_counter=False)
    assert Receiver(MESSAGE).take(bytes(forbidden), 0.0) == "corrupted"


def test_lost_repeated_late_and_corrupted_messages_are_each_told():
    receiver = Receiver(MESSAGE)
    says = [
        (0, "ok"), (1, "ok"), (1, "repeated"), (2, "ok"), (4, "some lost"), (9, "out of order"), (10, "ok"),
        (14, "out of order"), (15, "ok"), (16, "ok"),
    ]  # fmt: skip
    for at, (counter, expected) in enumerate(says):
        assert receiver.take(STATE.protected(bytes(8), counter), at / 10) == expected, (at, counter)
    assert receiver.take(bytes(8), 2.0) == "corrupted" and receiver.take(b"", 2.0) == "corrupted"


def test_trust_ends_after_three_cycles_of_silence_or_five_bad_messages_and_comes_back():
    receiver = Receiver(MESSAGE)
    assert not receiver.trusted(0.0)
    receiver.take(STATE.protected(bytes(8), 0), 0.0)
    assert receiver.trusted(0.3) and not receiver.trusted(0.31)
    for _ in range(5):
        receiver.take(bytes(8), 0.35)
    assert not receiver.trusted(0.35)
    receiver.take(STATE.protected(bytes(8), 1), 0.4)
    assert receiver.trusted(0.4)


@pytest.mark.parametrize(
    ("profile", "data_id", "says"),
    [("P01", "0123", "expected one of P11C, P02"), ("P11C", "1234", "three digits"), ("P02", "0123", "sixteen bytes")],
)
def test_an_identity_that_cannot_be_is_refused(profile, data_id, says):
    with pytest.raises(ConfigError, match=says):
        Protection(profile, bytes.fromhex(data_id))
