"""Golden pictures without a driver: drives alone would not show a finder that sees one everywhere.

What they are to lead to is full precision's presence, in every dialect: a fake-quantized model may be as wrong as its
runtime, whose ranges come from drives. No place is compared, as there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from codriver.arrays import Image
from codriver.finder.peaks import read_sight
from codriver.finder_graph import HEIGHT_PX, OUTPUTS, PRESENCE, WIDTH_PX
from codriver.resize import resize_to
from codriver.verify.golden import Answers
from training.footage.labels import plan
from training.footage.scenes import StagedCabin
from training.footage.spec import ClipSpec
from workshop.golden_vectors import write_golden

TOLERANCE = 0.25  # of a presence, the gate's; a finder that cannot tell is .5 off
LEVELS = (0, 128)  # of pictures that show nothing
SCENES = ("empty_seat", "passenger_only", "back_seat", "covered_lens")
SEED = 7001  # of the drawn cabins; `make demo` draws those to learn from with 1 and 2


def write_golden_nobody(folder: Path, full: nn.Module, dialects: Sequence[str], *, cabins: bool) -> None:
    """full: the finder in full precision. cabins: whether it has learned what drawn cabins without a driver are."""
    for picture in [*_flat(), *(_cabins() if cabins else ())]:
        present = _presence(full, picture)
        none: dict[str, Answers] = {name: {} for name in dialects}
        write_golden(folder, [({"incar": picture}, 0.0, None)], none, TOLERANCE, dict.fromkeys(dialects, present))


def _flat() -> Iterator[Image]:
    for level in LEVELS:
        yield np.full((HEIGHT_PX, WIDTH_PX, 3), level, np.uint8)


def _cabins() -> Iterator[Image]:
    """(144, 256, 3) BGR, the first frame of one clip of each scene."""
    rows = [row for _, row in plan(len(SCENES), SEED)]
    for number, (name, row) in enumerate(zip(SCENES, rows, strict=True), start=1):
        (image,) = StagedCabin(name, ClipSpec(SEED, number, row)).frames(range(1))
        yield resize_to(image, WIDTH_PX, HEIGHT_PX)


@torch.inference_mode()
def _presence(finder: nn.Module, picture: Image) -> dict[str, float]:
    outputs = dict(zip(OUTPUTS, (some.numpy() for some in finder(torch.from_numpy(picture[None]))), strict=True))
    return dict(zip(PRESENCE, read_sight(outputs).presence.tolist(), strict=True))
