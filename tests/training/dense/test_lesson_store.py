"""Lessons in memory and lessons on disk are the same lessons, and memory has an end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import BDD100K
from training.dense.lesson_store import LessonStore, bytes_of
from training.dense.scene import Scene, SceneRef, Vehicles

pytestmark = pytest.mark.torch
SIZE, TASKS = (16, 32), BDD100K
REFS = [SceneRef(str(k), Path(f"{k}.jpg"), {}) for k in range(5)]


def read(ref: SceneRef) -> Scene:
    number = int(ref.name)
    truth = {
        "vehicles": Vehicles(np.full((1, 4), number, np.float32), np.zeros(1, bool)),
        "drivable_area": np.full(SIZE, number % 3, np.uint8),
        "lane_lines": np.zeros(SIZE, np.uint8),
    }
    return Scene(ref.name, np.full((*SIZE, 3), number, np.uint8), truth)


def store(held_bytes: int) -> LessonStore:
    return LessonStore(REFS, read, TASKS, SIZE, held_bytes).fill(lambda refs: refs)


def test_what_does_not_fit_is_read_anew_and_is_the_same() -> None:
    each = 5 * 16 * 32 + 17
    some, all_of_them = store(3 * each), store(10**9)
    assert (len(some.held), len(all_of_them.held)) == (3, 5) and len(some) == len(all_of_them) == 5
    for a, b in zip(some, all_of_them, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.truth["drivable_area"], b.truth["drivable_area"])
    assert [int(lesson.image[0, 0, 0]) for lesson in some[1:5:3]] == [1, 4]


def test_boxes_count_with_what_they_hold() -> None:
    assert bytes_of(Vehicles(np.zeros((2, 4), np.float32), np.zeros(2, bool))) == 34
