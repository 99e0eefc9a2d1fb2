"""A clip in other eyes: the driver's streams cut where somebody else than the annotation sees the driver.

A clip carries its takes beside the annotation's streams. Training draws one of them for each lesson; who measures what
a device gets with frames alone asks for `FOUND`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.frames.preprocess import stream_inputs
from codriver.percept import DRIVER_PARTS, Driver
from codriver.tasks import STREAMS

if TYPE_CHECKING:
    from training.data.clip_files import ClipRecord

FOUND, DISTURBED = "found", "disturbed"
ROWS = [STREAMS.index(stream) for stream in DRIVER_PARTS]  # of a clip's mask


@dataclass(frozen=True)
class Take:
    """The driver's streams in every slot; absent ones are zeros."""

    frames: dict[str, NDArray[Any]]  # face and body (T, H, W, 3) uint8, posture and gesture (T, P, 3) float32
    mask: NDArray[np.float32]  # (4, T), in the order of DRIVER_PARTS


class Lookout(Protocol):
    """Who looks for the driver in a clip's frames: training.finder.lookout."""

    @property
    def id(self) -> str: ...  # of its answers: clips in a cache are told apart by it

    @property
    def parts(self) -> tuple[str, ...]: ...  # of the driver, what they look for

    @property
    def undisturbed(self) -> Lookout: ...  # the same eyes, for clips that nobody learns from

    def drivers(self, record: ClipRecord) -> dict[str, list[Driver | None]]:
        """Take -> where the driver is in each slot."""
        ...


def cut(drivers: Sequence[Driver | None], incar: Sequence[Image | None], empty: Mapping[str, NDArray[Any]]) -> Take:
    """The streams of one take. incar: the frame in each slot. empty: of each stream zeros (T, ...)."""
    frames = {stream: np.zeros_like(empty[stream]) for stream in DRIVER_PARTS}
    mask = np.zeros((len(DRIVER_PARTS), len(incar)), np.float32)
    sizes = {stream: empty[stream].shape[1] for stream in ("face", "body")}
    for slot, (image, driver) in enumerate(zip(incar, drivers, strict=True)):
        if image is not None:
            for stream, value in stream_inputs({"incar": image}, driver, sizes).items():
                frames[stream][slot] = value
                mask[DRIVER_PARTS.index(stream), slot] = 1.0
    return Take(frames, mask)


def to_arrays(takes: Mapping[str, Take]) -> dict[str, NDArray[Any]]:
    """For a cache's file; `from_arrays` reads them."""
    named = {name: {**take.frames, "mask": take.mask} for name, take in takes.items()}
    return {f"{name}.{part}": values for name, parts in named.items() for part, values in parts.items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Take]:
    names = [name for name in (FOUND, DISTURBED) if f"{name}.mask" in arrays]
    return {
        name: Take({stream: arrays[f"{name}.{stream}"] for stream in DRIVER_PARTS}, arrays[f"{name}.mask"])
        for name in names
    }
