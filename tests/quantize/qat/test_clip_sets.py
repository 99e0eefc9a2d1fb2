"""What QAT learns from and watches, with a finder: lessons in other eyes, and validation as a device gets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from codriver.tasks import AIDE  # noqa: E402
from quantize.qat.finetune import clip_sets  # noqa: E402
from quantize.qat.losses import QATConfig  # noqa: E402
from tests.untrained import untrained_finder_record, untrained_record  # noqa: E402
from training.data.clips import load_clips  # noqa: E402
from training.data.takes import FOUND  # noqa: E402
from training.finder.lookout import make_lookout  # noqa: E402
from training.finder.model import SIZES as FINDERS  # noqa: E402
from training.finder.model import Finder  # noqa: E402
from training.finder.run import save_finder  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from training.trainer.checkpoint import Run  # noqa: E402
from training.trainer.record import LearnedFrom  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


@pytest.mark.parametrize("cached", [False, True])
def test_lessons_carry_what_the_finder_sees_and_what_is_watched_is_seen_by_it(
    cached: bool, dataset: Path, tmp_path: Path
) -> None:
    record = untrained_record("tiny", LearnedFrom(kind="none", clips={}, clips_sha256={}))
    run, cache = Run(UVM3TL(SIZES["tiny"]).eval(), record), tmp_path / "cache" if cached else None
    (tmp_path / "finder").mkdir()
    save_finder(tmp_path / "finder", Finder(FINDERS["tiny"]), untrained_finder_record())
    lookout = make_lookout(tmp_path / "finder", read_split(dataset, "val"), AIDE)
    plain, seen = (clip_sets(dataset, run, QATConfig(clips=3), cache, some) for some in (None, lookout))
    annotated = load_clips(read_split(dataset, "val"), SIZES["tiny"], AIDE)[0]
    assert len(seen.train) == 3 and set(seen.train[0].takes) == {"found", "disturbed"} and not plain.train[0].takes
    assert np.array_equal(plain.val[0].mask, annotated.mask)
    assert np.array_equal(seen.val[0].mask[4:], seen.val[0].takes[FOUND].mask)
    assert np.array_equal(seen.train[0].frames["face"], plain.train[0].frames["face"])
