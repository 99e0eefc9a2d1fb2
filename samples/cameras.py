"""Watch the answers live: from cameras, or from video files, in a window or into a file.

python samples/cameras.py demo.bundle incar=0,front=1
python samples/cameras.py demo.bundle incar=a.mp4,front=b.mp4 --file answers.mp4

Press q in the window, or Ctrl-C, to stop. An OpenCV without windows (opencv-python-headless) writes a file.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from codriver import CodriverError, LiveView, Perceiver, Source, open_source, video_file

TITLE = "codriver"


class Stop(Exception):
    """Somebody pressed q."""


def show(image: np.ndarray) -> None:
    cv2.imshow(TITLE, image)
    if cv2.waitKey(1) & 0xFF == ord("q"):
        raise Stop


def can_show_windows() -> bool:
    """Whether this OpenCV was built with windows, and there is a screen to put one on."""
    try:
        cv2.namedWindow(TITLE)
    except cv2.error:
        return False
    return True


@contextmanager
def screen(file: Path | None, source: Source) -> Iterator[Callable[[np.ndarray], None]]:
    """Where pictures go: a window, or a file if one is named or there are no windows."""
    if file is None and can_show_windows():
        yield show
        cv2.destroyAllWindows()
        return
    if file is None:
        file = Path("codriver.mp4")
        print(f"this OpenCV has no windows: writing {file}", file=sys.stderr)
    with video_file(file, source.rate_hz) as video:
        yield video.add


def watch(bundle: str, where: str, file: Path | None) -> None:
    with Perceiver.open(bundle) as perceiver, open_source(where) as source, screen(file, source) as show_or_write:
        view = LiveView(views=perceiver.manifest.views)
        try:
            for at in source:
                if at.frames:  # without any frame there is nothing to step on
                    show_or_write(view.render(at, perceiver.step(at.frames, t=at.t, driver=at.driver)))
        except (Stop, KeyboardInterrupt):
            pass  # the file, if any, is finished all the same
        for problem in source.problems:
            print(problem, file=sys.stderr)


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("bundle")
    parser.add_argument("source", help="VIEW=INDEX or VIEW=FILE with commas between; a JSON file; a clip folder")
    parser.add_argument("--file", type=Path, help="write an MP4 instead of opening a window")
    args = parser.parse_args()
    try:
        watch(args.bundle, args.source, args.file)
    except CodriverError as error:
        print(f"cameras.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
