"""Names for the arrays that pass between rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]  # by name of a graph's input or output
Feature = NDArray[np.float32 | np.uint8]  # (C,) of one stream and moment; codes where a variant keeps codes
Rows = Mapping[str, Sequence[bool]]  # stream or view -> which of the T slots it fills, oldest first
Image = NDArray[np.uint8]  # (H, W, 3)
Box = Sequence[float]  # x, y, width, height in pixels of the in-car frame
