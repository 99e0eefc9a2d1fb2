"""Where frames come from: a clip folder of AIDE, video files, or live cameras. All give frame sets.

with open_source("AIDE_Dataset/0001") as source:
    for at in source:
        percept = perceiver.step(at.frames, t=at.t, driver=at.driver)
source.problems                       # what was left out on the way, one sentence each
"""

from __future__ import annotations

from pathlib import Path

from codriver.capture.camera import Camera
from codriver.device.imports import opencv
from codriver.errors import ConfigError, SourceError
from codriver.sources.base import FrameSet as FrameSet
from codriver.sources.base import Source as Source
from codriver.sources.cameras import Cameras as Cameras
from codriver.sources.clip import ClipFolder as ClipFolder
from codriver.sources.spelling import FORMS as FORMS
from codriver.sources.spelling import read_views
from codriver.sources.videos import Videos as Videos


def open_source(text: str, *, strict: bool = False) -> Source:
    """Open what a `--source` says. strict: an unreadable frame of a clip raises instead of being left out."""
    if not text.strip():
        raise ConfigError(f"source: got nothing; give {FORMS}")
    opencv()
    described = text.endswith(".json") and Path(text).is_file()
    if not described and ("=" not in text or Path(text).is_dir()):
        return _open_folder(Path(text), strict)
    by_view = read_views(text)
    cameras = {view: where for view, where in by_view.items() if isinstance(where, Camera)}
    files = {view: where for view, where in by_view.items() if isinstance(where, Path)}
    if cameras and files:
        raise ConfigError(
            f"source: {text!r} mixes cameras and files, whose clocks have nothing to do with each other; "
            "give either only cameras or only files"
        )
    return Cameras(cameras) if cameras else Videos(files)


def _open_folder(folder: Path, strict: bool) -> Source:
    if folder.is_file():
        raise SourceError(f"source: {folder} is one file; say which view it is, as in incar={folder}")
    if not folder.is_dir():
        raise SourceError(f"source: there is nothing at {folder}; give {FORMS}")
    return ClipFolder(folder, strict=strict)
