"""What all streams remember together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from codriver.arrays import Feature
from codriver.bundle.manifest import Manifest
from codriver.network.memory import Memory
from codriver.tasks import VIEW_OF


class Encoded(NamedTuple):
    """What the encoder made of the newest frames, by stream and without batch.

    A motion and a slot tell what changed: only streams that had a feature one slot before have them.
    """

    features: Mapping[str, Feature]
    motions: Mapping[str, Feature]
    slots: Mapping[str, Feature]


class Context:
    """Per stream, features and motions for one slot's time, and slots for the whole context."""

    def __init__(self, manifest: Manifest, kept: str = "float32") -> None:
        """kept: the type of all that is remembered."""
        config = manifest.context
        before = replace(config, slots=2)  # reaches one slot back
        self._slot_s, self._span_s, self._span_before_s = config.slot_s, config.span_s, before.span_s
        self._features = {s.name: Memory(before, s.feature, kept) for s in manifest.streams}
        self._motions = {s.name: Memory(before, s.slot, kept) for s in manifest.streams}
        self._slots = {s.name: Memory(config, s.slot, kept) for s in manifest.streams}

    def before(self, stream: str, t: float) -> tuple[Feature | None, Feature | None]:
        """The stream's feature and its motion one slot before `t`, None where none is near enough."""
        return self._features[stream].near(t - self._slot_s), self._motions[stream].near(t - self._slot_s)

    def remember(self, seen: Encoded, times_s: Mapping[str, float]) -> None:
        """Keep what the encoder made of the newest frames.

        times_s: view -> when its frame was taken, later than all before of that view.
        """
        for name, feature in seen.features.items():
            t = times_s[VIEW_OF[name]]
            self._slots[name].push(seen.slots.get(name), t)
            self._motions[name].push(seen.motions.get(name), t)
            self._features[name].push(feature, t)

    def forget_from(self, view: str, t: float) -> None:
        """Forget what was seen by one camera at `t` and later: it was not the world."""
        for name in self._slots:
            if VIEW_OF[name] == view:
                for memories in (self._slots, self._motions, self._features):
                    memories[name].forget_from(t)

    def until(self, t: float) -> Mapping[str, Memory]:
        """By stream, the slots, without what the context that ends at `t` has no use for."""
        oldest_s = t - self._span_before_s
        for memory in (*self._features.values(), *self._motions.values()):  # of a stream that stays away too
            memory.forget_before(oldest_s)
        for memory in self._slots.values():
            memory.forget_before(t - self._span_s)
        return self._slots

    def clear(self) -> None:
        for memory in (*self._features.values(), *self._motions.values(), *self._slots.values()):
            memory.clear()
