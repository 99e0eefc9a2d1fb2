"""Pictures, maps of labels and arrays from disk, checked for their form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from codriver.files.images import BadImage, read_image

NUMBERS = {"f": "an array of floats", "fbu": "an array of floats, bytes or truth values", "fiu": "an array of numbers"}


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
    return of_size(label, size, path)


def colored(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w, 3) BGR of 8 bits, of the picture's size (h, w): numbers, no photograph."""
    picture(path)  # whole
    label = np.asarray(cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED))
    if label.dtype != np.uint8 or label.ndim != 3 or label.shape[2] != 3:
        raise SourceError(f"{path}: got {label.dtype} {label.shape}, expected three colours of uint8 (h, w, 3)")
    return of_size(label, size, path)


def numbers(path: Path, shape: tuple[int, ...] | None, kinds: str) -> NDArray[np.float32]:
    """A .npy file of finite numbers of this shape, or of any. kinds: NumPy's letters of the types that it may hold."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{path} cannot be read: {error}; fetch it anew") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in kinds:
        raise SourceError(f"{path}: got {getattr(found, 'dtype', type(found).__name__)}, expected {NUMBERS[kinds]}")
    if shape is not None and found.shape != tuple(shape):
        raise SourceError(f"{path}: got {found.shape}, expected the picture's {tuple(shape)}")
    values = found.astype(np.float32)
    if not np.isfinite(values).all():
        raise SourceError(f"{path}: {int((~np.isfinite(values)).sum())} numbers are not finite; 0 says unknown")
    return values


def indexed(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A map of labels of the picture's size (h, w): the palette's numbers, never its colours, or grey of 8 bits."""
    from PIL import Image  # OpenCV turns a palette into colours

    picture(path)  # whole
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise SourceError(f"{path}: got a PNG of mode {image.mode}, expected a palette (P) or grey of 8 bits (L)")
        return of_size(np.array(image, dtype=np.uint8), size, path)


def of_size(label: NDArray[Any], size: tuple[int, ...], path: Path) -> NDArray[Any]:
    if label.shape[:2] != tuple(size):
        raise SourceError(f"{path}: got {label.shape}, expected the picture's {tuple(size)}")
    return label


def matlab(path: Path, name: str) -> NDArray[Any]:
    """One variable of a .mat file of MATLAB up to 7.2."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=[name])
    except Exception as error:  # scipy raises what it happens to meet in a damaged file
        raise SourceError(f"{path}: {type(error).__name__}, {error}: no whole .mat file; fetch it anew") from error
    if name not in found:
        raise SourceError(f"{path}: holds no variable {name}")
    return np.asarray(found[name])


def json_file(path: Path) -> Any:
    """Any JSON value."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}; fetch the labels anew") from error
