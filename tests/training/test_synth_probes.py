"""No shortcut: colours and single frames of the outside views do not tell what the car or the traffic does.

360 clips, classes balanced, five-fold cross-validated logistic regression. A blind guess has a balanced
accuracy of 1/K with a standard error of sqrt(1/K (1 - 1/K) / 360), that is 0.200 +- 0.021 and 0.333 +- 0.025.
A probe may reach 1/K + 0.08, for it may find a little; the same probe must find motion in two frames.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from codriver.tasks import AIDE, VIEWS
from training.footage.camera import draw_camera, draw_light
from training.footage.motion import MIDDLE
from training.footage.road import Road
from training.footage.spec import ClipSpec

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CLIPS, SLACK = 360, 0.08
OUTSIDE = [view for view in VIEWS if view != "incar"]
TASKS = ["vehicle_behavior", "traffic_context"]


def pictures(spec: ClipSpec) -> NDArray[np.float32]:
    """(3 views, 2 instants 0.2 s apart, 9, 16, 3)"""
    lenses = spec.rng("cameras")
    cameras = {view: draw_camera(lenses, spec.width, spec.height) for view in VIEWS}
    road = Road(spec, draw_light(spec.rng("light")), cameras)
    shrunk = [
        [cv2.resize(frame, (16, 9), interpolation=cv2.INTER_AREA) for frame in road.frames(view, [MIDDLE, MIDDLE + 3])]
        for view in OUTSIDE
    ]
    return np.array(shrunk, dtype=np.float32)


@pytest.fixture(scope="module")
def sample() -> tuple[NDArray[np.float32], dict[str, list[str]]]:
    rng = np.random.default_rng(20)
    columns = {t.name: rng.permutation([t.labels[k % t.classes] for k in range(CLIPS)]).tolist() for t in AIDE.tasks}
    rows = [{name: column[k] for name, column in columns.items()} for k in range(CLIPS)]
    return np.stack([pictures(ClipSpec(20, k, row, 160, 90)) for k, row in enumerate(rows)]), columns


def balanced_accuracy(features: NDArray[np.float32], labels: list[str], strength: float) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    guesses = cross_val_predict(probe, features.reshape(len(features), -1), labels, cv=folds)
    return float(balanced_accuracy_score(labels, guesses))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("views", [[0], [1], [2], [0, 1, 2]])
def test_mean_colours_of_a_frame_do_not_tell(sample: tuple, task: str, views: list[int]) -> None:
    frames, labels = sample
    means = frames[:, views, 0].mean(axis=(2, 3))
    assert balanced_accuracy(means, labels[task], 1.0) < 1 / AIDE[task].classes + SLACK


@pytest.mark.parametrize("task", TASKS)
def test_pixels_of_a_single_frame_do_not_tell(sample: tuple, task: str) -> None:
    frames, labels = sample
    assert balanced_accuracy(frames[:, :, 0], labels[task], 1e-3) < 1 / AIDE[task].classes + SLACK


@pytest.mark.parametrize("task", TASKS)
def test_change_between_two_frames_does_tell(sample: tuple, task: str) -> None:
    frames, labels = sample
    change = np.abs(frames[:, :, 1] - frames[:, :, 0]).mean(axis=-1)
    assert balanced_accuracy(change, labels[task], 1e-3) > 1 / AIDE[task].classes + 2 * SLACK
