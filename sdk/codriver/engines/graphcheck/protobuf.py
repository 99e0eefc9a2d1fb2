"""Protocol buffers, read field by field in plain Python, by a table of what may be there. Nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from codriver.errors import EngineError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups, 3 and 4, are of another age


class Field(NamedTuple):
    """What a message may hold under one number."""

    name: str
    wires: tuple[int, ...]
    many: bool = False


class FieldReader:
    """Walks messages. One reader is for one file: it counts all fields, so that time is bounded."""

    def __init__(self, what: str, max_fields: int) -> None:
        self._what = what
        self._left = max_fields

    def fault(self, message: str, code: str = "graph-malformed") -> EngineError:
        return EngineError(f"{self._what}: {message}; build the bundle anew", code=code)

    def fields(self, data: memoryview, known: Mapping[int, Field], where: str) -> Iterator[tuple[str, int, memoryview]]:
        """Each field's name, its number if it is a varint (else -1), and its bytes (else empty).

        A field that is not known, of another wire type, or there twice though it may not be, is refused.
        """
        seen: set[str] = set()
        place, end = 0, len(data)
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise self.fault("more parts than any graph of ours", "graph-too-big")
            key, place = self.varint(data, place)
            number, wire = key >> 3, key & 7
            field = known.get(number)
            if field is None or wire not in field.wires:
                what = f"{where} holds field {number} of wire type {wire}, which is not known here"
                raise self.fault(what, "graph-unknown-part")
            if field.name in seen and not field.many:
                raise self.fault(f"{where} holds {field.name} more than once")
            seen.add(field.name)
            value, start, place = self._span(data, place, wire, where)
            yield field.name, value, data[start:place]

    def _span(self, data: memoryview, place: int, wire: int, where: str) -> tuple[int, int, int]:
        """A varint's value, and where the bytes of the field begin and end."""
        if wire == VARINT:
            value, place = self.varint(data, place)
            return value, place, place
        length = {FIXED64: 8, FIXED32: 4}.get(wire, 0)
        if wire == BYTES:
            length, place = self.varint(data, place)
        if length > len(data) - place:
            raise self.fault(f"{where} ends in the middle of a field")
        return -1, place, place + length

    def varint(self, data: memoryview, place: int) -> tuple[int, int]:
        """The number at a place, unsigned, and the place behind it."""
        value = shift = 0
        while place < len(data) and shift < 70:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, place
            shift += 7
        raise self.fault("a number that does not end")

    def varints(self, data: memoryview, where: str, limit: int) -> list[int]:
        """A packed list of numbers, no longer than `limit`."""
        values: list[int] = []
        place = 0
        while place < len(data):
            if len(values) == limit:
                raise self.fault(f"{where} holds more than {limit} numbers", "graph-too-big")
            value, place = self.varint(data, place)
            values.append(value)
        return values

    def text(self, data: memoryview, where: str) -> str:
        if len(data) > 4096:
            raise self.fault(f"{where} holds a name of {len(data)} bytes", "graph-too-big")
        try:
            return bytes(data).decode()
        except UnicodeDecodeError as error:
            raise self.fault(f"{where} holds a name that is not UTF-8") from error
