"""Scenes at the network's size, as many in memory as fit; the rest is read anew each time, so memory has an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import numpy as np

from codriver.tasks import TaskSet
from training.dense.geometry import Size
from training.dense.lessons import Lesson, fitted
from training.dense.scene import Scene, SceneRef

HELD_BYTES = 4 * 2**30


class LessonStore(Sequence[Lesson]):
    """Lessons by number. Several threads may ask at once: at worst one is made twice."""

    def __init__(
        self,
        refs: Sequence[SceneRef],
        read: Callable[[SceneRef], Scene],
        task_set: TaskSet,
        size: Size,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.refs, self.read, self.task_set, self.size = refs, read, task_set, size
        self.held_bytes = held_bytes
        self.held: list[Lesson] = []  # the first ones

    def fill(self, progress: Callable[[Iterable[SceneRef]], Iterable[SceneRef]]) -> LessonStore:
        """Read from the first on until no more fits. progress: gives the same refs back."""
        taken = 0
        for ref in progress(self.refs):
            lesson = self._made(ref)
            taken += bytes_of(lesson.image) + sum(bytes_of(truth) for truth in lesson.truth.values())
            if taken > self.held_bytes:
                break
            self.held.append(lesson)
        return self

    def __len__(self) -> int:
        return len(self.refs)

    @overload
    def __getitem__(self, index: int) -> Lesson: ...
    @overload
    def __getitem__(self, index: slice) -> list[Lesson]: ...
    def __getitem__(self, index: int | slice) -> Lesson | list[Lesson]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self.held[index] if index < len(self.held) else self._made(self.refs[index])

    def _made(self, ref: SceneRef) -> Lesson:
        return fitted(self.read(ref), self.task_set, self.size)


def bytes_of(truth: Any) -> int:
    """Of a map, or of the maps that a record holds."""
    return truth.nbytes if isinstance(truth, np.ndarray) else sum(some.nbytes for some in vars(truth).values())
