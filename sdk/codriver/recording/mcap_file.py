"""A file of JSON messages as MCAP, each channel with its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from codriver.device.imports import load
from codriver.recording.schemas import schema_of

CHUNK_BYTES = 1 << 14  # a percept has 2 to 4 kB: from five steps a second on, less than a second is in a chunk


class McapFile:
    """One MCAP file, with its channels. In a `with` it is ended, or let go of where something broke off.

    name: of its metadata record. chunk_bytes: of what is lost at most where a file is cut, or fetched at once.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        about: Mapping[str, str],
        since_s: float = 0.0,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        from mcap.writer import CompressionType, IndexType

        self.since_s = since_s
        self._stream = path.open("xb")
        # Pictures are packed already, and no reader need fear what unpacks to gigabytes; attachments there are none.
        self._writer = mcap_writer()(
            self._stream, chunk_bytes, CompressionType.NONE, IndexType.ALL & ~IndexType.ATTACHMENT
        )
        self._writer.start(profile="", library="codriver")
        self._writer.add_metadata(name, dict(about))
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._sequence = 0

    @property
    def size_mb(self) -> float:
        return float(self._stream.tell() / 1e6)

    def write(self, topic: str, content: Any, at_ns: int, schema: Mapping[str, Any] | None = None) -> None:
        """schema: of a topic that recordings do not have."""
        data = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        channel = self._channel(topic, schema or schema_of(topic))
        self._sequence += 1
        self._writer.add_message(channel, at_ns, data, at_ns, self._sequence & 0xFFFFFFFF)

    def _channel(self, topic: str, schema: Mapping[str, Any]) -> int:
        if topic not in self._channels:
            name = schema["title"]
            if name not in self._schemas:
                text = json.dumps(schema).encode()
                self._schemas[name] = self._writer.register_schema(name, "jsonschema", text)
            self._channels[topic] = self._writer.register_channel(topic, "json", self._schemas[name])
        return self._channels[topic]

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        try:
            self._writer.finish()
        except OSError:
            with suppress(OSError):
                self._stream.close()
            raise
        self._stream.close()

    def __enter__(self) -> McapFile:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        with self._stream:
            if kind is None:
                self.close()


def mcap_writer() -> Any:
    return load("mcap.writer", "recording needs the package mcap: pip install 'codriver[record]'", "Writer").Writer
