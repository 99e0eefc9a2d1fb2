"""Quantizers switched off and on, and what that does to each task's loss on validation clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.sources.aide import read_annotation
from codriver.tasks import AIDE
from quantize.graphs.graphs import ModulePair
from quantize.precision.layers import FUSER, only
from quantize.ptq.calibration import choose
from quantize.ptq.quantizers import quantizers
from quantize.qat.clip_model import Tunable
from training.data.batches import predict
from training.data.clips import Clip, found, labels_of, load_clips, read_labels
from training.data.takes import Lookout
from training.model.uvm3tl import ModelConfig
from workshop.aide_splits import read_split, split_digest

Probabilities = Mapping[str, NDArray[np.float64]]


def losses(found: Probabilities, wanted: Probabilities, labels: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Task -> what INT8 costs: mean absolute difference, KL divergence in nats, and accuracy lost (a share)."""
    rows = {}
    for k, (task, p) in enumerate(wanted.items()):
        q, truth = np.clip(found[task], 1e-12, 1.0), labels[:, k]
        right, was_right = (some.argmax(axis=1) == truth for some in (q, p))
        rows[task] = {
            "mean_abs": float(np.abs(q - p).mean()),
            "kl": float((p * (np.log(np.clip(p, 1e-12, 1.0)) - np.log(q))).sum(axis=1).mean()),
            "accuracy": float(was_right.mean() - right.mean()),
        }
    return rows


class Bench:
    """Fake-quantized graphs on clips: lose what with which quantizers? The fuser's names begin with FUSER."""

    def __init__(self, pair: ModulePair, clips: Sequence[Clip], batch: int) -> None:
        self.pair = pair
        self.names = [*quantizers(pair.encoder), *(FUSER + name for name in quantizers(pair.fuser))]
        self._model: Any = Tunable(pair)  # called as UVM3TL is; each frame is encoded once, in one call for all slots
        self._clips, self._batch = clips, batch
        self.labels = labels_of(clips)
        self.whole = self._probabilities(())

    def losses(self, enabled: Any) -> dict[str, dict[str, float]]:
        return losses(self._probabilities(enabled), self.whole, self.labels)

    def _probabilities(self, enabled: Any) -> Probabilities:
        enabled = set(enabled)
        of_fuser = {name.removeprefix(FUSER) for name in enabled if name.startswith(FUSER)}
        with only(self.pair.encoder, enabled), only(self.pair.fuser, of_fuser):
            probabilities: Probabilities = predict(self._model, self._clips, self._batch)
            return probabilities


def validation_clips(
    data: Path, config: ModelConfig, count: int, seed: int, lookout: Lookout | None = None
) -> tuple[list[Clip], str]:
    """Stratified clips of the validation split, as the lookout sees them, and the digest of which they are."""
    refs = read_split(data, "val")
    labels = np.stack([read_labels(ref, read_annotation(ref.annotation), AIDE) for ref in refs])
    chosen = [refs[i] for i in sorted(choose(labels, min(count, len(refs)), seed))]
    return list(found(load_clips(chosen, config, AIDE, lookout=lookout))), split_digest(chosen)
