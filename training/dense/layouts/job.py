"""What a layout is handed, and how it writes a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Job:
    """One picture's place in a data set."""

    out: Path
    split: str  # the benchmark's
    clip: int
    moment: int  # frame of the clip
    jpeg_quality: int
    ego_y: float  # metres to the left of the street's middle
    focal_px: float

    @property
    def name(self) -> str:
        return f"{self.clip:04d}-{self.moment:02d}"


def write(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16], quality: int = 95) -> None:
    done, data = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else [])
    assert done, path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
