"""Write golden pictures: one picture and the maps and boxes it must lead to, as codriver.dense.golden reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.dense.golden import FULL
from codriver.dense.results import Boxes, DenseResult, Map
from codriver.verify.golden import GOLDEN_NAME, SCHEMA
from workshop.golden_vectors import write_png

Expected = Mapping[str, Mapping[str, DenseResult]]  # by variant and task


def write_golden_picture(folder: Path, picture: NDArray[np.uint8], expected: Expected) -> None:
    """Add one picture, (H, W, 3) BGR, to `folder`/golden.json, which is made if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / GOLDEN_NAME
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"schema": SCHEMA, "clips": []}
    answers = {
        variant: {task: _recorded(folder, result) for task, result in results.items()}
        for variant, results in expected.items()
    }
    content.setdefault("pictures", []).append({"picture": write_png(folder, picture), "expected": answers})
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def _recorded(folder: Path, result: DenseResult) -> dict[str, Any]:
    if isinstance(result, Boxes):
        rows = np.column_stack([result.boxes_px, result.scores]).astype(float)
        return {"boxes": rows.round(5).tolist()}
    assert isinstance(result, Map)
    if result.values.dtype == np.uint8:
        return {"map": write_png(folder, result.values)}
    low, high = float(result.values.min()), float(result.values.max())
    high = max(high, low + 1e-6)
    codes = np.round((result.values - low) * (FULL / (high - low))).astype(np.uint16)
    return {"map": write_png(folder, codes), "low": low, "high": high}
