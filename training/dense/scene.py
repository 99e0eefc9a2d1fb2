"""One picture and what is known of it, as a benchmark's files say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dense.geometry import Boxes


@dataclass(frozen=True)
class Vehicles:
    """Truth of a detection."""

    boxes: Boxes  # (n, 4) x1, y1, x2, y2
    ignored: NDArray[np.bool_]  # (n,) crowds and things that only look alike: finding them is neither right nor wrong


@dataclass(frozen=True)
class SceneRef:
    """Where a picture and its labels lie. files: task -> its file; a file that holds many pictures stands there too."""

    name: str
    image: Path
    files: Mapping[str, Path]
    record: Any = None  # what a file of many pictures says of this one


@dataclass(frozen=True)
class Scene:
    """A picture in its own size."""

    name: str
    image: NDArray[np.uint8]  # (h, w, 3) BGR
    truth: Mapping[str, Any]  # task -> (h, w) classes, or Vehicles
