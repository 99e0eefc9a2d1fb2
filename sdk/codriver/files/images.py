"""The one reader of JPEG and PNG files, for training and for the device: a picture that is whole, or a reason.

Decoders do not agree on a file that was cut short. Some fill the rest with grey, OpenCV 4.10 leaves in it whatever was
in memory before, 5 refuses. So the end is looked for before anything is decoded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codriver.arrays import Image

SUFFIXES = (".jpg", ".jpeg", ".png")
PNG = b"\x89PNG\r\n\x1a\n"
CUT_OFF = "its end is cut off"


class BadImage(ValueError):
    """What is wrong with a picture, to be put behind its name and a colon."""


def numbered(folder: Path) -> dict[int, Path]:
    """Frame number -> path, ascending. Numbers are numbers: 10.jpg comes after 9.jpg."""
    if not folder.is_dir():
        return {}
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    found = {int(path.stem): path for path in images if path.stem.isdecimal()}
    return dict(sorted(found.items()))


def read_image(path: Path) -> Image:
    """(H, W, 3) uint8 BGR; a BadImage or an OSError otherwise."""
    return decode_image(path.read_bytes())


def decode_image(content: bytes, *, as_it_is: bool = False) -> Image:
    """Decode from bytes: OpenCV's own imread prints warnings that nobody asked for. as_it_is: not turned into BGR."""
    import cv2

    if not content:
        raise BadImage("it is empty")
    if _jpeg_cut_off(content) or _png_cut_off(content):
        raise BadImage(CUT_OFF)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED if as_it_is else cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise BadImage("it is no picture that this OpenCV decodes")
    return np.asarray(image) if as_it_is else np.asarray(image, dtype=np.uint8)


def _jpeg_cut_off(content: bytes) -> bool:
    """Whether the last scan never ends."""
    return content.startswith(b"\xff\xd8") and content.find(b"\xff\xd9", content.rfind(b"\xff\xda")) < 0


def _png_cut_off(content: bytes) -> bool:
    """Whether its chunks end before the one that is called IEND."""
    if not content.startswith(PNG):
        return False
    at, kind = len(PNG), b""
    while kind != b"IEND" and at + 12 <= len(content):  # length, kind, data, checksum
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return kind != b"IEND" or at > len(content)
