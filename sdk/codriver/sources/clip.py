"""A clip folder as AIDE ships it: incarframes/0.jpg ..., and the annotation two steps away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from codriver.device.closing import Closing
from codriver.errors import SourceError
from codriver.files.images import BadImage, numbered, read_image
from codriver.percept import Frame
from codriver.sources.aide import Annotation, read_annotation
from codriver.sources.base import FrameSet
from codriver.tasks import VIEWS

RATE_HZ = 15.0  # 45 frames in 3 s


class ClipFolder(Closing):
    """Frames by number, t = number / 15 Hz. The driver is matched by image name, never by position.

    every: read each so manieth alone, counted from the last, and the first: 3 reads what slots of 0.2 s will hold.

    A frame that cannot be read is left out and named in `problems`: one bad JPEG must not end a run on a
    device, and the perceiver is made for views that come and go. strict=True raises a SourceError instead.
    """

    live = False

    def __init__(self, folder: str | Path, *, strict: bool = False, every: int = 1) -> None:
        self.rate_hz = RATE_HZ / every
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.strict = strict
        self.problems: list[str] = []
        self._paths = {view: numbered(self.folder / f"{view}frames") for view in VIEWS}  # by number
        self.views = tuple(view for view in VIEWS if self._paths[view])
        if not self.views:
            raise SourceError(_not_a_clip(self.folder))
        numbers = sorted({number for paths in self._paths.values() for number in paths})
        self._numbers = [*numbers[:1], *numbers[1:][::-every][::-1]]
        self.length: int | None = len(self._numbers)
        self._annotation = self._find_annotation()
        self.truth: Mapping[str, str] = self._annotation.truth

    def __iter__(self) -> Iterator[FrameSet]:
        for number in self._numbers:
            frames: dict[str, Frame] = {}
            t = number / RATE_HZ
            missing, unusable = {}, {}
            for view in self.views:
                path = self._paths[view].get(number)
                if path is None:
                    missing[view] = f"frame {number} is missing"
                    continue
                try:
                    frames[view] = Frame(read_image(path), t, "nominal")
                except (BadImage, OSError) as error:
                    why = error.strerror if isinstance(error, OSError) else error
                    unusable[view] = f"{path} is not a readable image: {why}"
            absent = missing | unusable
            self._report(absent)
            incar = self._paths["incar"][number].name if "incar" in frames else ""
            driver = self._annotation.drivers.get(incar)
            yield FrameSet(frames, t, driver, absent, unusable)

    def _report(self, absent: Mapping[str, str]) -> None:
        said = [f"{view}: {why}" for view, why in absent.items()]
        if said and self.strict:
            raise SourceError(f"{'; '.join(said)}; copy the clip again, or read it without strict")
        self.problems.extend(said)

    def _find_annotation(self) -> Annotation:
        path = self.folder.resolve().parent / "annotation" / f"{self.name}.json"
        if not path.is_file():
            return Annotation()
        try:
            annotation = read_annotation(path)
        except SourceError as error:
            if self.strict:
                raise
            self.problems.append(str(error))
            return Annotation()
        self.problems.extend(annotation.problems)
        return annotation

    def close(self) -> None:
        """Nothing stays open between frames."""


def _not_a_clip(folder: Path) -> str:
    expected = ", ".join(f"{view}frames/" for view in VIEWS)
    inside = sorted(path.parent for path in folder.glob("*/incarframes"))
    if inside:
        return f"{folder} holds {len(inside)} clips; give one of them, for example {inside[0]}"
    return f"{folder}: found no frames; expected at least one of {expected} with 0.jpg, 1.jpg, ... in it"
