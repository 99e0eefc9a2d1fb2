"""How cameras and files are named: VIEW=WHERE with commas between them, or a JSON file that leaves nothing to guess.

{"incar": {"pipeline": "nvarguscamerasrc sensor-id=0 ! ... ! appsink drop=1"},
 "front": {"device": "/dev/video0", "size_px": [1280, 720], "rate_hz": 30, "format": "MJPG"},
 "left": {"address": "rtsp://10.0.0.7/main"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codriver.capture.camera import Camera
from codriver.errors import ConfigError
from codriver.tasks import VIEWS

FORMS = (
    "a clip folder (AIDE_Dataset/0001), videos (front=a.mp4,incar=b.mp4), cameras (incar=0,front=1) "
    "or a JSON file that describes them (cameras.json)"
)
KINDS = ("device", "address", "pipeline", "file")
# A comma parts two of them only where another view's name follows: pipelines and the names of files have commas too.
PARTED = re.compile(rf"(?<!\\),(?=\s*(?:{'|'.join(VIEWS)})\s*=)")


def read_views(text: str) -> dict[str, Camera | Path]:
    """What each view comes from. text: as on the command line, or the path of a JSON file."""
    if text.endswith(".json") and Path(text).is_file():
        return _from_json(Path(text))
    return {view: _named(view, where) for view, where in split_views(text).items()}


def split_views(text: str) -> dict[str, str]:
    """'front=a.mp4,incar=b.mp4' -> {'front': 'a.mp4', 'incar': 'b.mp4'}; each view known, and named once.

    A comma that another view follows is written "\\\\,".
    """
    by_view: dict[str, str] = {}
    for part in PARTED.split(text):
        view, equals, where = (piece.strip() for piece in part.partition("="))
        if not equals or not where:
            raise ConfigError(f"source: {part.strip()!r} is not VIEW=WHERE; give {FORMS}")
        _check_view(view)
        if view in by_view:
            raise ConfigError(f"source: view {view!r} came twice; name each view once")
        by_view[view] = where.replace("\\,", ",")
        if "," in where.replace("\\,", "") and not any(mark in where for mark in ("!", "://", "gst:")):
            _check_comma(where)
    return by_view


def _check_view(view: str, what: str = "source") -> None:
    if view not in VIEWS:
        raise ConfigError(f"{what}: {view!r} is not a view; expected one of {', '.join(VIEWS)}")


def _check_comma(where: str) -> None:
    """A comma in a name that is nowhere was meant to part two views."""
    if not Path(where).exists():
        rest = where.partition(",")[2].strip()
        if "=" in rest:
            _check_view(rest.partition("=")[0].strip())
        raise ConfigError(f"source: {rest!r} is not VIEW=WHERE, and there is no file {where!r}; give {FORMS}")


def _named(view: str, where: str) -> Camera | Path:
    if where.startswith("gst:") or ("!" in where and not Path(where).exists()):
        return _pipeline(view, where.removeprefix("gst:").strip())
    if where.isdigit() or where.startswith("/dev/") or "://" in where:
        return Camera(where=int(where) if where.isdigit() else where)
    return Path(where)


def _pipeline(view: str, text: str) -> Camera:
    if not re.search(r"!\s*appsink\b[^!]*$", text):
        raise ConfigError(f"source: the pipeline of {view!r} does not end in '! appsink', where frames are taken from")
    return Camera(where=text, pipeline=True)


def _from_json(path: Path) -> dict[str, Camera | Path]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"source: {path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"source: {path} holds no object with views; expected for example {_EXAMPLE}")
    return described_views(f"source: {path}", content, path.parent)


def described_views(what: str, content: Mapping[str, Any], folder: Path) -> dict[str, Camera | Path]:
    """what: whose they are, for errors. content: view -> its description. folder: names of files are relative to it."""
    for view in content:
        _check_view(view, what)
    return {view: _described(f"{what}, {view}", view, entry, folder) for view, entry in content.items()}


_EXAMPLE = '{"front": {"device": 0, "size_px": [1280, 720], "rate_hz": 30, "format": "MJPG"}}'


def _described(what: str, view: str, entry: Any, folder: Path) -> Camera | Path:
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1:
        raise ConfigError(f"{what}: expected one of {', '.join(KINDS)}; for example {_EXAMPLE}")
    where, asked = entry[kinds[0]], {key: value for key, value in entry.items() if key != kinds[0]}
    numbered = kinds[0] == "device" and isinstance(where, int) and not isinstance(where, bool) and where >= 0
    if not numbered and not (isinstance(where, str) and where):
        raise ConfigError(f"{what}: {kinds[0]} is {where!r}, expected text (or a device's number)")
    if asked and kinds[0] != "device":
        raise ConfigError(f"{what}: {', '.join(asked)} can be asked of a device alone; a pipeline has its own caps")
    if kinds[0] == "file":
        return folder / str(where)
    if kinds[0] == "pipeline":
        return _pipeline(view, where)
    return Camera(where=where, **_asked(what, asked))


def _asked(what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """size_px, rate_hz and format, checked."""
    for key, value in asked.items():
        if key == "size_px":
            fits = isinstance(value, list) and len(value) == 2 and all(isinstance(px, int) and px > 0 for px in value)
        elif key == "rate_hz":
            fits = isinstance(value, int | float) and 0 < value < 1000
        else:
            fits = key == "format" and isinstance(value, str) and len(value) == 4 and value.isascii()
        if not fits:
            raise ConfigError(f"{what}: {key} is {value!r}; expected for example {_EXAMPLE}")
    return {key: tuple(value) if key == "size_px" else value for key, value in asked.items()}
