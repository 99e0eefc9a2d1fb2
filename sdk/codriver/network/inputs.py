"""From what the frames hold, by stream, to the encoder's inputs, in buffers that are made once."""

from __future__ import annotations

from collections.abc import Mapping

from codriver.arrays import Arrays
from codriver.bundle.manifest import Manifest
from codriver.engines.base import Signature
from codriver.network.context import Context, Encoded
from codriver.tasks import VIEW_OF


class EncoderInputs:
    """Buffers by group of streams that share an encoder, a row per stream: frames, features and motions one
    slot earlier."""

    def __init__(self, manifest: Manifest, signature: Signature, color: str) -> None:
        self.arrays: Arrays = signature.zeros()
        self._swap = color != manifest.color
        self._rows = [(g, row, s) for g, members in manifest.groups.items() for row, s in enumerate(members)]
        names = ("{}", "{}_before", "{}_motion_before")
        self._places = [(s, [self.arrays[name.format(g)][row] for name in names]) for g, row, s in self._rows]
        self.pictures = {
            s.name: rows[0] for s, rows in self._places if s.kind == "image"
        }  # where frames come, by stream

    def fill(self, found: Arrays, times_s: Mapping[str, float], context: Context) -> dict[str, bool]:
        """Write what was found, by stream, in the frames of these views and times, and zeros where a stream is absent.

        Pictures that already lie in `pictures` stay there.

        Returns the streams that are present: name -> whether its feature one slot earlier is there too.
        """
        moved = {}
        for stream, (frame_row, *before_rows) in self._places:
            view, values = VIEW_OF[stream.name], found.get(stream.name)
            if values is None or view not in times_s:
                for row in (frame_row, *before_rows):
                    row[...] = 0
                continue
            if self._swap and stream.kind == "image":
                frame_row[...] = values[..., ::-1]
            elif values is not frame_row:
                frame_row[...] = values
            before = context.before(stream.name, times_s[view])
            for row, kept in zip(before_rows, before, strict=True):
                row[...] = 0 if kept is None else kept
            moved[stream.name] = before[0] is not None
        return moved

    def by_stream(self, outputs: Arrays, moved: Mapping[str, bool]) -> Encoded:
        """What the encoder gave for the streams that are present. moved: as `fill` returns it."""
        rows = [(group, row, s.name) for group, row, s in self._rows if s.name in moved]
        features, motions, slots = (
            {name: outputs[f"{group}_{what}"][row] for group, row, name in rows if what == "feature" or moved[name]}
            for what in ("feature", "motion", "slot")
        )
        return Encoded(features, motions, slots)
