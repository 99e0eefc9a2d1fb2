"""End-to-end protection of a message as AUTOSAR's profiles 11C and 2 have it: a checksum, a counter, an identity.

Byte 0 is the CRC, the low half of byte 1 the counter. Profile 11C starts and ends its CRC with 0, unlike the usual
parameters of SAE J1850, which libraries default to.
"""

from __future__ import annotations

from dataclasses import dataclass

from codriver.errors import ConfigError

PROFILES = ("P11C", "P02")


def _table(polynomial: int) -> bytes:
    table = bytearray()
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ polynomial) & 0xFF if value & 0x80 else value << 1
        table.append(value)
    return bytes(table)


J1850, H2F = _table(0x1D), _table(0x2F)


def crc8(table: bytes, data: bytes, start: int) -> int:
    crc = start
    for byte in data:
        crc = table[crc ^ byte]
    return crc


@dataclass(frozen=True)
class Protection:
    """data_id: of profile 11C a number of 12 bits in two bytes, of profile 2 sixteen bytes, one for each counter."""

    profile: str
    data_id: bytes

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError(f"E2EProfile is {self.profile!r}, expected one of {', '.join(PROFILES)}")
        right = len(self.data_id) == 16 if self.profile == "P02" else len(self.data_id) == 2 and self.data_id[0] < 16
        if not right:
            wanted = "sixteen bytes" if self.profile == "P02" else "three digits"
            raise ConfigError(
                f"E2EDataID is {self.data_id.hex()!r}, expected {wanted} in hexadecimal for {self.profile}"
            )

    def protected(self, data: bytes, count: int) -> bytes:
        """The message with its two first bytes filled in; count: of the messages before it."""
        if self.profile == "P02":
            counter = count % 16
            rest = bytes((data[1] & 0xF0 | counter,)) + data[2:]
            return bytes((crc8(H2F, rest + self.data_id[counter : counter + 1], 0xFF) ^ 0xFF,)) + rest
        rest = bytes((self.data_id[0] << 4 | count % 15,)) + data[2:]  # 15 is not a counter in profile 11
        return bytes((crc8(J1850, bytes((self.data_id[1], 0)) + rest, 0),)) + rest
