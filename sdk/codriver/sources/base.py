"""What every source gives: the frames of one instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from codriver.arrays import Image
from codriver.percept import Driver, Frame


@dataclass(frozen=True)
class FrameSet:
    """The frames of one instant, as `Perceiver.step` takes them."""

    # View -> (H, W, 3) uint8 BGR, with its own time and clock where a source knows; absent ones are left out.
    frames: Mapping[str, Image | Frame]
    t: float  # of the set, seconds, ascending within a source
    driver: Driver | None = None
    absent: Mapping[str, str] = field(default_factory=dict)  # view -> why the source has no frame of it
    unusable: Mapping[str, str] = field(default_factory=dict)  # those of them whose frame came, and was no good
    news: tuple[str, ...] = ()  # what happened to live cameras since the last set, one sentence each

    @property
    def images(self) -> dict[str, Image]:
        return {view: frame.image if isinstance(frame, Frame) else frame for view, frame in self.frames.items()}


class Source(Protocol):
    """Footage, read once from its start. A context manager; closing it twice is harmless."""

    name: str  # for people: a clip's number, a file's name
    views: tuple[str, ...]  # the views it may give
    rate_hz: float  # frame sets per second; nominal for files, wished for cameras
    length: int | None  # frame sets in all; None if nobody knows
    live: bool  # it ends when somebody stops it
    truth: Mapping[str, str]  # task -> true label; empty if nobody labelled it
    problems: list[str]  # what was left out so far, one sentence each

    def __iter__(self) -> Iterator[FrameSet]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Source: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...
