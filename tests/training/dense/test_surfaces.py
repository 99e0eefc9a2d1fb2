"""Depth and normals: what their labels mean at another size and in a mirror, and metrics against plain references."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import Task  # noqa: E402
from training.dense.geometry import LabelLetterbox, unit_normals  # noqa: E402
from training.dense.kinds import depth, normals  # noqa: E402

pytestmark = pytest.mark.torch
DEPTH = Task(name="depth", labels=(), title="Depth, m", needs_any=("front",), kind="depth")
NORMALS = Task(name="normals", labels=(), title="Normals", needs_any=("front",), kind="normals")
BOX = LabelLetterbox((48, 64), (32, 32))


def random_normals(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    found = rng.normal(size=(*size, 3))
    return (found / np.linalg.norm(found, axis=-1, keepdims=True)).astype(np.float32)


def test_a_picture_at_another_size_shows_the_same_metres() -> None:
    small = depth.fitted(DEPTH, np.full((48, 64), 3.5, np.float32), BOX)
    assert np.unique(small[BOX.window]).tolist() == [3.5] and small[0].tolist() == [0.0] * 32
    assert np.unique(depth.answer(np.full((1, 8, 8), 3.5, np.float32), BOX)).tolist() == [3.5]


def test_depth_scores_are_pooled_over_known_pixels() -> None:
    rng = np.random.default_rng(0)
    metric, pairs, roots = depth.Metric(DEPTH), [], []
    for _ in range(3):
        truth = rng.uniform(0.5, 9, (6, 7)).astype(np.float32)
        truth[rng.random((6, 7)) < 0.3] = 0
        answered = (truth + rng.normal(0, 1, (6, 7))).astype(np.float32)
        metric.add(answered, truth)
        own = [(max(float(a), 1e-3), float(t)) for a, t in zip(answered.flat, truth.flat, strict=True) if t > 0]
        roots.append(math.sqrt(sum((a - t) ** 2 for a, t in own) / len(own)))
        pairs += own
    metric.add(np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32))  # knows nothing, changes nothing
    scores = metric.scores()
    assert scores["rmse_m"] == pytest.approx(math.sqrt(sum((a - t) ** 2 for a, t in pairs) / len(pairs)))
    assert scores["rmse_mean_over_pictures_m"] == pytest.approx(sum(roots) / 3)
    assert scores["abs_rel"] == pytest.approx(sum(abs(a - t) / t for a, t in pairs) / len(pairs))
    assert scores["close"] == pytest.approx(sum(max(a / t, t / a) < 1.25 for a, t in pairs) / len(pairs))


def test_a_mirror_turns_normals_from_right_to_left() -> None:
    truth = np.zeros((2, 3, 3), np.float32)
    truth[0, 0] = (0.6, 0.0, 0.8)
    found = normals.mirrored(truth, 3)
    assert found[0, 2].tolist() == pytest.approx([-0.6, 0.0, 0.8]) and not found[0, 0].any()


def test_a_normal_of_eight_bits_that_means_none_is_none_and_others_have_length_one() -> None:
    stored = np.array([[127, 128, 127], [128, 128, 128], [255, 128, 128], [200, 210, 30]], np.float32)
    found = unit_normals(2 * stored / 255 - 1)
    assert found[:2].tolist() == [[0, 0, 0]] * 2
    assert np.linalg.norm(found[2:], axis=1) == pytest.approx([1, 1])


def test_normals_are_unknown_in_bars_and_keep_their_three_numbers_in_order() -> None:
    truth = np.tile(np.array([0.0, 0.6, 0.8], np.float32), (48, 64, 1))
    small = normals.fitted(NORMALS, truth, BOX)
    assert not small[0].any() and small[16, 16].tolist() == pytest.approx([0, 0.6, 0.8])
    raw = np.tile(np.array([0, 3, 4], np.float32)[:, None, None], (1, 8, 8))
    assert normals.answer(raw, BOX)[20, 30].tolist() == pytest.approx([0, 0.6, 0.8])


def test_angles_are_pooled_over_known_normals() -> None:
    rng = np.random.default_rng(1)
    metric, angles = normals.Metric(NORMALS), []
    for _ in range(3):
        truth, answered = random_normals(rng, (5, 6)), random_normals(rng, (5, 6))
        answered[:3] = unit_normals(truth[:3] + 0.2 * answered[:3])
        truth[rng.random((5, 6)) < 0.3] = 0
        metric.add(answered, truth)
        for a, t in zip(answered.reshape(-1, 3).tolist(), truth.reshape(-1, 3).tolist(), strict=True):
            if any(t):
                cosine = sum(x * y for x, y in zip(a, t, strict=True))
                angles.append(math.degrees(math.acos(min(max(cosine, -1), 1))))
    scores = metric.scores()
    assert scores["mean_deg"] == pytest.approx(sum(angles) / len(angles), abs=1e-4)
    assert scores["rmse_deg"] == pytest.approx(math.sqrt(sum(a * a for a in angles) / len(angles)), abs=1e-4)
    assert [scores[f"under_{n}"] for n in (11, 22, 30)] == pytest.approx(
        [sum(a < limit for a in angles) / len(angles) for limit in (11.25, 22.5, 30)]
    )


def test_a_normal_that_is_not_answered_is_off_by_a_right_angle_and_small_angles_are_exact() -> None:
    one = np.array([[0, 0, 1]], np.float32)
    assert normals.angles_deg(np.zeros((1, 3), np.float32), one)[0] == pytest.approx(90)
    near = np.array([[math.sin(1e-4), 0, math.cos(1e-4)]], np.float32)
    assert normals.angles_deg(near, one)[0] == pytest.approx(math.degrees(1e-4), rel=1e-4)


def test_the_mean_direction_is_what_the_loss_of_normals_is_measured_by() -> None:
    truth = unit_normals(random_normals(np.random.default_rng(2), (16, 16)) + np.float32([0, 0, 2]))
    mean = truth.reshape(-1, 3).mean(axis=0)
    everywhere = torch.from_numpy(5 * mean)[None, :, None, None].expand(1, 3, 4, 4)
    coarse = np.ascontiguousarray(truth[2::4, 2::4])
    whole = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
    found = float(normals.loss(NORMALS, everywhere, normals.stacked([whole])))
    direction = mean / np.linalg.norm(mean)
    assert found == pytest.approx(float(np.abs(coarse - direction).sum(axis=2).mean()), rel=1e-5)
    assert normals.constant_loss(NORMALS, [truth]) == pytest.approx(
        float(np.abs(truth - direction).sum(axis=2).mean()), rel=1e-5
    )


def test_unknown_normals_cost_nothing() -> None:
    truth = torch.zeros(1, 3, 16, 16)
    assert float(normals.loss(NORMALS, torch.ones(1, 3, 4, 4), truth)) == 0.0
