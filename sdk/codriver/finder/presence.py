"""Whether something is there, by a belief that flickers: it changes only when it was seen otherwise for a while."""

from __future__ import annotations


class Presence:
    def __init__(self, present_s: float, absent_s: float, present_from: float = 0.5) -> None:
        """present_from: probability from which on it is seen while it is not believed in; while it is, 0.5 will do."""
        self._delay_s, self._present_from = {True: present_s, False: absent_s}, present_from
        self.clear()

    def clear(self) -> None:
        self._state: bool | None = None
        self._since_s: float | None = None  # when it was first seen to be otherwise

    def update(self, probability: float, t: float) -> bool:
        """What is believed at `t`; the first look decides at once."""
        seen = probability >= (0.5 if self._state else self._present_from)
        if self._state is None or seen == self._state:
            self._state, self._since_s = seen, None
            return seen
        if self._since_s is None:
            self._since_s = t
        if t - self._since_s >= self._delay_s[seen] - 1e-6:
            self._state, self._since_s = seen, None
        return self._state
