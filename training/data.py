"""AIDE's layout, read with all its quirks (reference: model.md 2). The synthetic footage uses the same layout.

Whatever cannot be used is an error that names the file. Nothing is replaced by a black image or a guess: what a clip
lacks by nature (no face box in a frame, a short clip) is absent, and masked.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.errors import ConfigError, SourceError
from codriver.percept import Driver
from codriver.preprocess import stream_inputs
from codriver.tasks import JOINTS, STREAMS, VIEWS, TaskSet
from codriver.window import ContextConfig, pick_slots
from training.model import ModelConfig

SPLITS = {"train": "training.csv", "val": "validation.csv", "test": "testing.csv"}
RATE_HZ = 15.0
ALIASES = {"Forward": "Forward Moving"}                   # quirk 2: written so in some of AIDE's files
CONTEXT = ContextConfig()


@dataclass(frozen=True)
class ClipRef:
    """Where a clip lies."""

    id: str
    folder: Path
    annotation: Path


@dataclass(frozen=True)
class Annotation:
    """What is known about a clip."""

    labels: NDArray[np.int64]                             # (tasks,)
    drivers: dict[int, Driver]                            # frame number -> boxes and keypoints in pixels


@dataclass(frozen=True)
class Clip:
    """One clip as the network takes it. Absent slots are zeros."""

    frames: dict[str, NDArray[Any]]                       # stream -> (T, H, W, 3) uint8 or (T, P, 3) float32
    mask: NDArray[np.float32]                             # (S, T), 1 where present
    labels: NDArray[np.int64]                             # (tasks,)


def read_split(root: Path, split: str) -> list[ClipRef]:
    """Clips of one split, in the order of its CSV. Every row's clip and annotation must exist."""
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    path = root / SPLITS[split]
    if not path.is_file():
        raise SourceError(f"{path} is missing; a data set holds {', '.join(SPLITS.values())} beside AIDE_Dataset/")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    refs = [_clip_ref(root, path, number, row) for number, row in enumerate(rows[1:], start=2) if row]
    if not refs:
        raise SourceError(f"{path} lists no clip; expected the header row 0,1 and a row for each clip")
    return refs


def _clip_ref(root: Path, csv_path: Path, number: int, row: list[str]) -> ClipRef:
    where = f"{csv_path}, row {number}"
    if len(row) != 2:
        raise SourceError(f"{where}: {len(row)} columns, expected 2: clip folder, annotation")
    folder, annotation = (root / part.strip() for part in row)
    if not folder.is_dir():
        raise SourceError(f"{where}: clip folder {folder} does not exist; mend the row or restore the clip")
    if not annotation.is_file():
        raise SourceError(f"{where}: annotation {annotation} does not exist; mend the row or restore the file")
    return ClipRef(folder.name, folder, annotation)


def read_annotation(path: Path, task_set: TaskSet) -> Annotation:
    """Labels and, matched by image name and never by position, the driver's boxes and keypoints."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        poses = content["pose_list"]
        names = [content[task.annotation_key] for task in task_set.tasks]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise SourceError(f"{path} lacks {error}; expected AIDE's keys pose_list and one label for each task") from error
    labels = [_label_index(path, task, name) for task, name in zip(task_set.tasks, names, strict=True)]
    drivers = dict(_driver(path, pose) for pose in poses if pose.get("result"))
    return Annotation(np.array(labels, dtype=np.int64), drivers)


def _label_index(path: Path, task: Any, name: Any) -> int:
    label = ALIASES.get(str(name), str(name))
    if label not in task.labels:
        label = label.capitalize()                        # quirk 1: emotions are lower case
    try:
        return int(task.index(label))
    except ConfigError as error:
        raise SourceError(f"{path}: {task.annotation_key} is {name!r}; {error}") from error


def _driver(path: Path, pose: dict[str, Any]) -> tuple[int, Driver]:
    try:
        number = int(re.sub(r"\.\w+$", "", pose["imgname"]))
        person = pose["result"][0]                        # quirk 10: the first person is the driver
        keypoints = np.array(person["keypoints"], dtype=np.float32).reshape(-1, 3)
        return number, Driver(face_px=person.get("face_bbox"), body_px=person.get("bbox"), keypoints=keypoints)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SourceError(f"{path}: entry {pose.get('imgname')!r} of pose_list cannot be read: {error!r}") from error


def frame_numbers(folder: Path) -> list[int]:
    """Numbers of the in-car frames, ascending (as numbers, not as text)."""
    numbers = sorted(int(path.stem) for path in (folder / "incarframes").glob("*.jpg") if path.stem.isdigit())
    if not numbers:
        raise SourceError(f"{folder}/incarframes holds no frames named 0.jpg, 1.jpg, ...")
    return numbers


def read_frame(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if image is None:
        problem = "cannot be decoded as an image" if path.is_file() else "is missing"
        raise SourceError(f"frame {path} {problem}; restore it or take the clip out of the CSV")
    return np.asarray(image, dtype=np.uint8)


def frame_set(folder: Path, number: int) -> dict[str, NDArray[np.uint8]]:
    """The four views at one instant."""
    return {view: read_frame(folder / f"{view}frames" / f"{number}.jpg") for view in VIEWS}


def load_clip(ref: ClipRef, config: ModelConfig, task_set: TaskSet) -> Clip:
    """Decode the frames that fill the context at the clip's end, picked by time as the runtime picks them."""
    annotation = read_annotation(ref.annotation, task_set)
    numbers = frame_numbers(ref.folder)
    times_s = np.array(numbers) / RATE_HZ
    picked = pick_slots(times_s, float(times_s[-1]), CONTEXT)
    frames = {s: np.zeros((CONTEXT.slots, *config.input_shape(s)), _dtype(s)) for s in STREAMS}
    mask = np.zeros((len(STREAMS), CONTEXT.slots), np.float32)
    sizes = {stream: config.size_px(stream) for stream in STREAMS if stream not in JOINTS}
    for slot, index in enumerate(picked):
        if index >= 0:
            number = numbers[index]
            for stream, value in stream_inputs(frame_set(ref.folder, number), annotation.drivers.get(number), sizes).items():
                frames[stream][slot] = value
                mask[STREAMS.index(stream), slot] = 1.0
    return Clip(frames, mask, annotation.labels)


def _dtype(stream: str) -> type[np.generic]:
    return np.float32 if stream in JOINTS else np.uint8


def load_clips(
    refs: Sequence[ClipRef], config: ModelConfig, task_set: TaskSet, progress: Callable[[Any], Any] = iter, workers: int = 2
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
