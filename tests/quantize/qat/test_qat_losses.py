"""The newer parts of AFD-Loss in QAT: they go on from a run's record, on features that come out of quantizers."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from codriver.files.decode import decode, encode  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from quantize.qat.clip_model import Tunable  # noqa: E402
from tests.quantize.qat.tuning import trainer  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.batches import collate  # noqa: E402
from training.data.clips import Clip  # noqa: E402
from training.losses.afd import AFDLoss, LossConfig  # noqa: E402
from training.trainer.checkpoint import Run  # noqa: E402
from training.trainer.record import RunRecord  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


def test_weights_on_dynamics_and_decoupling_of_summands_go_on_from_the_runs_record(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip]
) -> None:
    config = LossConfig(weighting="dynamics", dynamics_steps=4, decoupling="summands", share=0.1)
    loss, full = AFDLoss(AIDE, config, run.record.class_counts), copy.deepcopy(run.model).train()
    frames, mask, labels = collate(clips)
    for _ in range(5):
        loss(full(frames, mask), labels, mask)
    kept = json.loads(json.dumps(encode(replace(run.record, loss=config, loss_state=loss.state_for_meta()))))
    whole = trainer(Tunable(copy.deepcopy(calibrated)), Run(run.model, decode(RunRecord, kept)), clips)
    assert loss.summands is not None and whole.loss.summands is not None
    start, strength = whole.loss.weights, float(whole.loss.summands.strength)
    assert start == pytest.approx(loss.weights) and max(start) - min(start) > 0.01
    assert strength == pytest.approx(float(loss.summands.strength)) and strength > 0
    records: list[dict[str, Any]] = []
    whole.run(AugmentConfig(), lambda *_: None, records.append, workers=0)
    assert whole.loss.weights != pytest.approx(start) and float(whole.loss.summands.strength) != strength
    assert all(record["decoupling"] > 0 for record in records)
    shares = records[-1]["gradients_at_encoders"]["share"]
    assert shares.keys() == {"cross_entropy", "decoupling", "auxiliary", "teacher"} and shares["decoupling"] > 0
