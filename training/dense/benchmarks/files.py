"""Pictures and maps of labels from disk, checked for their form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from codriver.files.images import BadImage, read_image


def picture(path: Path) -> NDArray[np.uint8]:
    """(h, w, 3) BGR; a file that was cut off is refused."""
    try:
        return read_image(path)
    except (BadImage, OSError) as error:
        raise SourceError(f"{path}: {error}; fetch it anew") from error


def labelled(path: Path, size: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
    """A grey map of labels of the picture's size (h, w), in its own depth."""
    picture(path)  # whole, whatever its depth
    label = np.asarray(cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED))
    if label.dtype != dtype or label.ndim != 2:
        raise SourceError(f"{path}: got {label.dtype} {label.shape}, expected grey {np.dtype(dtype)} (h, w)")
    if label.shape != tuple(size):
        raise SourceError(f"{path}: got {label.shape}, expected the picture's {tuple(size)}")
    return label
