"""Where frames come from: a clip folder of AIDE, video files, or live cameras. All give frame sets.

with open_source("AIDE_Dataset/0001") as source:
    for at in source:
        percept = perceiver.step(at.frames, t=at.t, driver=at.driver)
source.problems                       # what was left out on the way, one sentence each
"""

from __future__ import annotations

from pathlib import Path

from codriver.device.imports import opencv
from codriver.errors import ConfigError, SourceError
from codriver.sources.aide import Annotation, read_annotation
from codriver.sources.base import FrameSet, Source
from codriver.sources.cameras import Cameras
from codriver.sources.clip import Clip
from codriver.sources.videos import Videos
from codriver.tasks import VIEWS

__all__ = [
    "Annotation",
    "Cameras",
    "Clip",
    "FrameSet",
    "Source",
    "Videos",
    "open_source",
    "read_annotation",
    "split_views",
]

FORMS = "a clip folder (AIDE_Dataset/0001), videos (front=a.mp4,incar=b.mp4) or cameras (incar=0,front=1)"


def open_source(text: str, *, strict: bool = False) -> Source:
    """Open what a `--source` says. strict: an unreadable frame of a clip raises instead of being left out."""
    if not text.strip():
        raise ConfigError(f"source: got nothing; give {FORMS}")
    opencv()
    if "=" not in text or Path(text).is_dir():
        return _open_folder(Path(text), strict)
    by_view = split_views(text)
    live = {view: _is_live(where) for view, where in by_view.items()}
    if all(live.values()):
        return Cameras({view: int(where) if where.isdigit() else where for view, where in by_view.items()})
    if any(live.values()):
        raise ConfigError(
            f"source: {text!r} mixes cameras and files, whose clocks have nothing to do with each other; "
            "give either only cameras or only files"
        )
    return Videos({view: Path(where) for view, where in by_view.items()})


def split_views(text: str) -> dict[str, str]:
    """'front=a.mp4,incar=b.mp4' -> {'front': 'a.mp4', 'incar': 'b.mp4'}; each view known, and named once."""
    by_view: dict[str, str] = {}
    for part in text.split(","):
        view, equals, where = (piece.strip() for piece in part.partition("="))
        if not equals or not where:
            raise ConfigError(f"source: {part.strip()!r} is not VIEW=WHERE; give {FORMS}")
        if view not in VIEWS:
            raise ConfigError(f"source: {view!r} is not a view; expected one of {', '.join(VIEWS)}")
        if view in by_view:
            raise ConfigError(f"source: view {view!r} came twice; name each view once")
        by_view[view] = where
    return by_view


def _is_live(where: str) -> bool:
    return where.isdigit() or where.startswith("/dev/") or "://" in where


def _open_folder(folder: Path, strict: bool) -> Source:
    if folder.is_file():
        raise SourceError(f"source: {folder} is one file; say which view it is, as in incar={folder}")
    if not folder.is_dir():
        raise SourceError(f"source: there is nothing at {folder}; give {FORMS}")
    return Clip(folder, strict=strict)
