"""From what the frames hold, by stream, to the encoder's inputs, in buffers that are made once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from codriver.arrays import Arrays, Feature
from codriver.bundle.manifest import Manifest
from codriver.network.context import Context
from codriver.tasks import VIEW_OF


class EncoderInputs:
    """Buffers by group of streams that share an encoder, a row per stream: frames, and features one slot earlier."""

    def __init__(self, manifest: Manifest, color: str) -> None:
        self.arrays: Arrays = manifest.encoder_signature.zeros()
        self._swap = color != manifest.color
        self._rows = [(g, row, s) for g, members in manifest.groups.items() for row, s in enumerate(members)]
        self._places = [(s, self.arrays[g][row], self.arrays[f"{g}_before"][row]) for g, row, s in self._rows]

    def fill(self, found: Arrays, times_s: Mapping[str, float], context: Context) -> dict[str, bool]:
        """Write what was found, by stream, in the frames of these views and times, and zeros where a stream is absent.

        Returns the streams that are present: name -> whether its feature one slot earlier is there too.
        """
        moved = {}
        for stream, frame_row, before_row in self._places:
            view, values = VIEW_OF[stream.name], found.get(stream.name)
            if values is None or view not in times_s:
                frame_row[...] = 0
                before_row[...] = 0
                continue
            frame_row[...] = values[..., ::-1] if self._swap and stream.kind == "image" else values
            before = context.before(stream.name, times_s[view])
            before_row[...] = 0 if before is None else before
            moved[stream.name] = before is not None
        return moved

    def by_stream(self, outputs: Arrays, what: str, wanted: Collection[str]) -> dict[str, Feature]:
        """Rows of `<group>_<what>`, by the streams that are wanted."""
        return {s.name: outputs[f"{group}_{what}"][row] for group, row, s in self._rows if s.name in wanted}
