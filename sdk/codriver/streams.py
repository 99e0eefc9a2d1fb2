"""From a checked step to the encoder's inputs, in buffers that are made once."""

from __future__ import annotations

from codriver.door import Request
from codriver.engines import Arrays
from codriver.manifest import Manifest
from codriver.preprocess import stream_inputs


class EncoderInputs:
    """One buffer per stream: uint8 (1, H, W, 3) in the bundle's colour order, or float32 (1, P, 3)."""

    def __init__(self, manifest: Manifest, color: str) -> None:
        self.arrays: Arrays = manifest.encoder_signature.zeros()
        self._streams = manifest.streams
        self._size_px = {stream.name: stream.size for stream in manifest.streams if stream.kind == "image"}
        self._swap = color != manifest.color

    def fill(self, request: Request) -> tuple[str, ...]:
        """Write the newest frames, and zeros where a stream is absent; return the names of those present."""
        values = stream_inputs(request.frames, request.driver, self._size_px)
        present = []
        for stream in self._streams:
            buffer = self.arrays[stream.name]
            if stream.name not in values:
                buffer.fill(0)
                continue
            newest = values[stream.name]                                     # (H, W, 3) or (P, 3)
            buffer[0] = newest[..., ::-1] if self._swap and stream.kind == "image" else newest
            present.append(stream.name)
        return tuple(present)
