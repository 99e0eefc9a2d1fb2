"""A clean stream of four cameras on a clock of its own, and an injector that spoils some of them for a while.

Everything follows from the seed. Pictures are small noise, a new one each time, as a sensor gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codriver.arrays import Arrays
from codriver.bundle.manifest import Manifest
from codriver.config import ContextConfig, Policy
from codriver.engines.base import Signature
from codriver.errors import FrameError
from codriver.perceiver import Perceiver
from codriver.percept import Frame, Percept
from codriver.tasks import VIEWS
from tests.tiny import finder_logits, loaded, tiny_manifest

SIZE_PX = (48, 32)  # width, height
PERIOD_S = 0.05  # 20 Hz
SHORT = ContextConfig(slots=6)  # reaches one second back
Frames = dict[str, Any]


class Idle:
    """An engine that answers at once, always the same."""

    def __init__(self, signature: Signature) -> None:
        self._outputs = {name: np.ones(tensor.shape, tensor.dtype) for name, tensor in signature.outputs.items()}

    def infer(self, inputs: Arrays) -> Arrays:
        return {name: values.copy() for name, values in self._outputs.items()}

    def close(self) -> None:
        pass


class Finds:
    """A finder's engine that sees what it is told to; a driver, surely, unless it is told otherwise."""

    def __init__(self, **sees: Any) -> None:
        self.sees(**sees)
        self.looks = 0

    def sees(self, **what: Any) -> None:
        self._logits = finder_logits(**what)

    def infer(self, inputs: Arrays) -> Arrays:
        self.looks += 1
        return {name: values.copy() for name, values in self._logits.items()}

    def close(self) -> None:
        pass


def perceiver_with(engine: Any = Idle, policy: Policy | None = None, **changes: object) -> Perceiver:
    """A perceiver of a tiny bundle whose graphs are not run. engine: made from a signature, Idle or FakeEngine."""
    manifest: Manifest = tiny_manifest(**{"context": SHORT, **changes})
    encoder, fuser = engine(manifest.encoder_signature), engine(manifest.fuser_signature)
    finder = Finds() if manifest.finder else None
    return Perceiver(loaded(manifest, encoder, fuser, policy=policy or manifest.policy, finder=finder))


class Cameras:
    """Endless sets of frames: step `number` was taken at `number` periods."""

    def __init__(self, seed: int = 0, views: tuple[str, ...] = VIEWS, period_s: float = PERIOD_S) -> None:
        random = np.random.default_rng(seed)
        self.period_s, self.views = period_s, views
        self._pictures = random.integers(0, 256, (61, SIZE_PX[1], SIZE_PX[0], 3), np.uint8)

    def t(self, number: int) -> float:
        return round(number * self.period_s, 6)

    def frames(self, number: int) -> dict[str, Frame]:
        """No camera shows a picture that another one shows, nor the same twice in a row."""
        pictures = self._pictures
        return {v: Frame(pictures[(number * 7 + 13 * k) % len(pictures)], self.t(number)) for k, v in enumerate(VIEWS)}


@dataclass(frozen=True)
class FaultInjector:
    """One kind of fault on some cameras, from step `first` on for `count` steps."""

    kind: str  # one of KINDS
    cameras: tuple[str, ...]
    first: int
    count: int

    def on(self, number: int) -> bool:
        return self.first <= number < self.first + self.count

    def spoil(self, number: int, clean: Cameras) -> Frames:
        """The set of this step as it reaches the perceiver."""
        frames: Frames = dict(clean.frames(number))
        if self.on(number):
            before = clean.frames(self.first - 1)
            for camera in self.cameras:
                spoilt = KINDS[self.kind](frames[camera], before[camera], number)
                if spoilt is ABSENT:
                    del frames[camera]
                else:
                    frames[camera] = spoilt
        return frames


ABSENT = object()
RAMP = np.add.outer(np.arange(SIZE_PX[1]), np.arange(SIZE_PX[0]))[..., None].repeat(3, axis=2).astype(np.uint8)


def _grain(number: int, low: int) -> np.ndarray:
    """Nearly flat: levels low..low + 2."""
    return np.random.default_rng(number).integers(low, low + 3, (SIZE_PX[1], SIZE_PX[0], 3), np.uint8)


# (frame of this step, the camera's last good frame, number) -> what is handed in instead
KINDS = {
    "absent": lambda frame, before, number: ABSENT,
    "black": lambda frame, before, number: replace(frame, image=_grain(number, 0)),
    "saturated": lambda frame, before, number: replace(frame, image=_grain(number, 253)),
    "frozen": lambda frame, before, number: replace(frame, image=before.image),
    "covered": lambda frame, before, number: replace(frame, image=RAMP + np.uint8(40 + number % 9)),
    "none": lambda frame, before, number: None,
    "float": lambda frame, before, number: frame.image.astype(np.float32),
    "grey": lambda frame, before, number: frame.image[..., 0],
    "late": lambda frame, before, number: replace(frame, t=frame.t - 0.04),
    "early": lambda frame, before, number: replace(frame, t=frame.t + 0.04),
    "duplicate": lambda frame, before, number: before,
    "out_of_order": lambda frame, before, number: replace(frame, t=before.t - 0.01),
}


def drive(
    perceiver: Perceiver, clean: Cameras, fault: FaultInjector, steps: int
) -> Iterator[tuple[int, Percept, list[FrameError]]]:
    """Step through a spoilt stream. A set that is refused is handed in again without the view that it names."""
    for number in range(steps):
        frames, errors = fault.spoil(number, clean), []
        while True:
            try:
                percept = perceiver.step(frames, clean.t(number))
                break
            except FrameError as error:
                errors.append(error)
                del frames[error.view]
        yield number, percept, errors
