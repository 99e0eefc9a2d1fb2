"""Clips as the network takes them, from AIDE's layout (reference: model.md 2). Synthetic footage uses the same layout.

Whatever cannot be used is an error that names the file. Nothing is replaced by a black image or a guess: what a clip
lacks by nature (no face box in a frame, a short clip) is absent, and masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from codriver.preprocess import stream_inputs
from codriver.sources.annotation import Annotation, read_annotation
from codriver.sources.clip import RATE_HZ
from codriver.sources.split import ClipRef
from codriver.tasks import JOINTS, STREAMS, VIEWS, TaskSet
from codriver.window import ContextConfig, pick_slots
from training.model import ModelConfig

CONTEXT = ContextConfig()


@dataclass(frozen=True)
class Clip:
    """One clip as the network takes it. Absent slots are zeros."""

    frames: dict[str, NDArray[Any]]  # stream -> (T, H, W, 3) uint8 or (T, P, 3) float32
    mask: NDArray[np.float32]  # (S, T), 1 where present
    labels: NDArray[np.int64]  # (tasks,)


def read_labels(ref: ClipRef, annotation: Annotation, task_set: TaskSet) -> NDArray[np.int64]:
    """(tasks,) class indices. A label that is missing or is no class is an error: nobody should learn from a guess."""
    for task in task_set.tasks:
        if task.name not in annotation.truth:
            said = "; ".join(annotation.problems) or f"{task.annotation_key} is missing"
            raise SourceError(f"{ref.annotation}: no label for {task.name}: {said}; expected {', '.join(task.labels)}")
    return np.array([task.index(annotation.truth[task.name]) for task in task_set.tasks], dtype=np.int64)


def frame_numbers(folder: Path) -> list[int]:
    """Numbers of the in-car frames, ascending (as numbers, not as text)."""
    numbers = sorted(int(path.stem) for path in (folder / "incarframes").glob("*.jpg") if path.stem.isdigit())
    if not numbers:
        raise SourceError(f"{folder}/incarframes holds no frames named 0.jpg, 1.jpg, ...")
    return numbers


def read_frame(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR."""
    data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data is not None and len(data) else None
    if image is None:
        problem = "is missing" if data is None else "cannot be decoded as an image"
        raise SourceError(f"frame {path} {problem}; restore it or take the clip out of the CSV")
    return np.asarray(image, dtype=np.uint8)


def frame_set(folder: Path, number: int) -> dict[str, NDArray[np.uint8]]:
    """The four views at one instant."""
    return {view: read_frame(folder / f"{view}frames" / f"{number}.jpg") for view in VIEWS}


def load_clip(ref: ClipRef, config: ModelConfig, task_set: TaskSet) -> Clip:
    """Decode the frames that fill the context at the clip's end, picked by time as the runtime picks them."""
    annotation = read_annotation(ref.annotation)
    labels = read_labels(ref, annotation, task_set)
    numbers = frame_numbers(ref.folder)
    times_s = np.array(numbers) / RATE_HZ
    picked = pick_slots(times_s, float(times_s[-1]), CONTEXT)
    frames, mask = empty_context(config)
    for slot, index in enumerate(picked):
        if index >= 0:
            driver = annotation.drivers.get(f"{numbers[index]}.jpg")
            put_slot(
                frames,
                mask,
                slot,
                stream_inputs(frame_set(ref.folder, numbers[index]), driver, sizes_px(config)),
            )
    return Clip(frames, mask, labels)


def sizes_px(config: ModelConfig) -> dict[str, int]:
    return {stream: config.size_px(stream) for stream in STREAMS if stream not in JOINTS}


def empty_context(config: ModelConfig) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Zeros for every stream and slot, and a mask (S, T) that calls all of them absent."""
    frames: dict[str, NDArray[Any]] = {
        s: np.zeros((config.slots, *config.input_shape(s)), np.float32 if s in JOINTS else np.uint8) for s in STREAMS
    }
    return frames, np.zeros((len(STREAMS), config.slots), np.float32)


def put_slot(
    frames: dict[str, NDArray[Any]], mask: NDArray[np.float32], slot: int, inputs: dict[str, NDArray[Any]]
) -> None:
    """Write the streams that are there into one slot."""
    for stream, value in inputs.items():
        frames[stream][slot] = value
        mask[STREAMS.index(stream), slot] = 1.0


def load_clips(
    refs: Sequence[ClipRef],
    config: ModelConfig,
    task_set: TaskSet,
    progress: Callable[[Any], Any] = iter,
    workers: int = 2,
) -> list[Clip]:
    """Decode many clips into memory, in order; OpenCV decodes outside the interpreter's lock, so threads do."""
    with ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(lambda ref: load_clip(ref, config, task_set), refs)))


def class_counts(clips: Sequence[Clip], task_set: TaskSet) -> dict[str, list[int]]:
    """How often each class occurs, by task."""
    labels = np.stack([clip.labels for clip in clips])
    return {
        task.name: np.bincount(labels[:, k], minlength=task.classes).tolist() for k, task in enumerate(task_set.tasks)
    }
