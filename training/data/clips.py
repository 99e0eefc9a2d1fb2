"""Clips as the network takes them, from AIDE's layout (reference/model.md 2). Synthetic footage uses the same layout.

Whatever cannot be used is an error that names the file. Nothing is replaced by a black image or a guess: what a clip
lacks by nature (no face box in a frame, a short clip) is absent, and masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from codriver.files.images import numbered
from codriver.frames.preprocess import stream_inputs
from codriver.sources.aide import Annotation
from codriver.tasks import JOINTS, STREAMS, VIEWS, TaskSet
from training.data import cache as caches
from training.data.clip_files import ClipRecord, class_labels, count_classes, decode, read_record
from training.data.sampling import CONTEXT as CONTEXT
from training.data.sampling import UNIFORM, Sampling
from training.data.takes import FOUND, ROWS, Lookout, Take, cut, from_arrays, to_arrays
from training.model.uvm3tl import ModelConfig
from workshop.aide_splits import ClipRef, Problem, first_of


@dataclass(frozen=True)
class Clip:
    """One clip as the network takes it. Absent slots are zeros."""

    frames: dict[str, NDArray[Any]]  # stream -> (T, H, W, 3) uint8 BGR or (T, P, 3) float32
    mask: NDArray[np.float32]  # (S, T), 1 where present
    labels: NDArray[np.int64]  # (tasks,)
    id: str = ""  # the clip's folder, for messages and lists of predictions
    takes: Mapping[str, Take] = field(default_factory=dict)  # the driver's streams in other eyes: takes.py


def read_labels(ref: ClipRef, annotation: Annotation, task_set: TaskSet) -> NDArray[np.int64]:
    """(tasks,) class indices. A label that is missing or is no class is an error: nobody should learn from a guess."""
    labels, problems = class_labels(ref.annotation, annotation, task_set)
    if problems:
        raise SourceError(first_of(problems))
    return labels


def frame_numbers(folder: Path) -> list[int]:
    """Numbers of the in-car frames, ascending (as numbers, not as text)."""
    numbers = list(numbered(folder / "incarframes"))
    if not numbers:
        raise SourceError(f"{folder}/incarframes holds no frames named 0.jpg, 1.jpg, ...")
    return numbers


def read_frame(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR."""
    image = decode(path)
    if isinstance(image, Problem):
        raise SourceError(str(image))
    return image


def frame_set(folder: Path, number: int) -> dict[str, NDArray[np.uint8]]:
    """The four views at one instant."""
    folders = {view: folder / f"{view}frames" for view in VIEWS}
    return {view: read_frame(numbered(there).get(number, there / f"{number}.jpg")) for view, there in folders.items()}


def load_clip(
    ref: ClipRef,
    config: ModelConfig,
    task_set: TaskSet,
    sampling: Sampling = UNIFORM,
    lookout: Lookout | None = None,
) -> Clip:
    """Decode the frames that fill the context at the clip's end, picked by time as the runtime picks them.

    No chance, no mirror, no normalisation: those belong to augment.py and to the graph. A SourceError says the first
    of the clip's problems, in the words of the check command.
    """
    return _decoded(_sound(read_record(ref, task_set, sampling)), config, lookout)


def _sound(record: ClipRecord) -> ClipRecord:
    if record.problems:
        raise SourceError(first_of(record.problems))
    return record


def _decoded(record: ClipRecord, config: ModelConfig, lookout: Lookout | None) -> Clip:
    frames, mask = empty_context(config)
    sizes = sizes_px(config)
    incar: list[NDArray[np.uint8] | None] = [None] * config.slots
    for slot, number in enumerate(record.picked):
        if number >= 0:
            images = {view: read_frame(record.paths[view][number]) for view in VIEWS}
            incar[slot] = images["incar"]
            put_slot(frames, mask, slot, stream_inputs(images, record.driver(number), sizes))
    seen = lookout.drivers(record) if lookout else {}
    takes = {name: cut(drivers, incar, frames) for name, drivers in seen.items()}
    return Clip(frames, mask, record.labels, record.ref.id, takes)


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


@dataclass(frozen=True, eq=False)
class ClipSet(Sequence[Clip]):
    """Clips that are decoded, or read from a cache, when they are asked for. Small to send to another process."""

    refs: tuple[ClipRef, ...]
    config: ModelConfig
    task_set: TaskSet
    labels: NDArray[np.int64]  # (clips, tasks); counting them decodes nothing
    sampling: Sampling = UNIFORM
    files: tuple[Path, ...] = field(default=(), repr=False)  # of the cache, one a clip; none: decode
    lookout: Lookout | None = field(default=None, repr=False)
    take: str = ""  # of each clip, the one to see it by

    def __len__(self) -> int:
        return len(self.refs)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        kept = caches.read(self.files[index]) if self.files else None
        if kept is None:
            clip = load_clip(self.refs[index], self.config, self.task_set, self.sampling, self.lookout)
        else:
            clip = _clip_from(kept, self.refs[index].id)
        return with_take(clip, self.take)

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    def without_cache(self) -> ClipSet:
        return replace(self, files=())


def open_clips(
    refs: Sequence[ClipRef],
    config: ModelConfig,
    task_set: TaskSet,
    cache: Path | None = None,
    *,
    sampling: Sampling = UNIFORM,
    progress: Callable[[Any], Any] = iter,
    workers: int = 2,
    lookout: Lookout | None = None,
) -> ClipSet:
    """Clips that need not fit into memory. With a cache, whatever it lacks is decoded and written here, once.

    `progress` sees one item a clip. Every annotation is read and every frame looked for at once, so a clip that
    cannot be used is refused here; without a cache a frame that cannot be decoded shows when it is asked for.
    """
    labels = np.full((len(refs), len(task_set.tasks)), -1, dtype=np.int64)
    if cache is None:
        caches.run_all(
            lambda index: _look(refs[index], task_set, sampling, labels[index]), len(refs), progress, workers
        )
        return ClipSet(tuple(refs), config, task_set, labels, sampling, lookout=lookout)
    folder = caches.folder_for(cache, _settings(config, task_set, sampling, lookout))

    def keep(index: int) -> Path:
        record = _look(refs[index], task_set, sampling, labels[index])
        file = caches.file_for(folder, record)
        if not file.is_file():
            caches.write(file, _arrays_of(_decoded(record, config, lookout)))
        return file

    caches.check_room(folder, len(refs), _clip_bytes(config))
    files = caches.run_all(keep, len(refs), progress, workers)
    return ClipSet(tuple(refs), config, task_set, labels, sampling, tuple(files), lookout)


def _look(ref: ClipRef, task_set: TaskSet, sampling: Sampling, labels: NDArray[np.int64]) -> ClipRecord:
    """Read a clip's record, and write its labels where they are wanted."""
    record = _sound(read_record(ref, task_set, sampling))
    labels[:] = record.labels
    return record


def _settings(config: ModelConfig, task_set: TaskSet, sampling: Sampling, lookout: Lookout | None) -> dict[str, Any]:
    return caches.settings(
        **({"lookout": lookout.id} if lookout else {}),
        inputs={stream: list(config.input_shape(stream)) for stream in STREAMS},
        slots=config.slots,
        task_set=task_set.name,
        sampling=asdict(sampling),
    )


def _arrays_of(clip: Clip) -> dict[str, NDArray[Any]]:
    return {**clip.frames, "mask": clip.mask, "labels": clip.labels, **to_arrays(clip.takes)}


def _clip_from(arrays: dict[str, NDArray[Any]], clip_id: str) -> Clip:
    streams = {stream: arrays[stream] for stream in STREAMS}
    return Clip(streams, arrays["mask"], arrays["labels"], clip_id, from_arrays(arrays))


def _clip_bytes(config: ModelConfig) -> int:
    frames, _ = empty_context(config)
    return sum(values.nbytes for values in frames.values())


def load_clips(
    refs: Sequence[ClipRef],
    config: ModelConfig,
    task_set: TaskSet,
    progress: Callable[[Any], Any] = iter,
    workers: int = 2,
    cache: Path | None = None,
    sampling: Sampling = UNIFORM,
    lookout: Lookout | None = None,
) -> list[Clip]:
    """All clips in memory, in order: decoded, or read from a cache, which gets what it lacks."""
    if cache is not None:
        ways: dict[str, Any] = {"sampling": sampling, "progress": progress, "workers": workers, "lookout": lookout}
        return list(open_clips(refs, config, task_set, cache, **ways))
    return caches.run_all(
        lambda i: load_clip(refs[i], config, task_set, sampling, lookout), len(refs), progress, workers
    )


def with_take(clip: Clip, name: str) -> Clip:
    """The clip as this take sees the driver; as the annotation does, if the clip has no such take."""
    if name not in clip.takes:
        return clip
    take, mask = clip.takes[name], clip.mask.copy()
    mask[ROWS] = take.mask
    return replace(clip, frames=clip.frames | take.frames, mask=mask)


def found(clips: Sequence[Clip]) -> Sequence[Clip]:
    """The clips as a device gets them that is given frames alone; as annotated where nobody has looked."""
    return replace(clips, take=FOUND) if isinstance(clips, ClipSet) else [with_take(clip, FOUND) for clip in clips]


def footage_kind(data: Path) -> str:
    """What a data set is, for reports: synthetic footage says so itself."""
    described = data / "dataset.json"
    generator = json.loads(described.read_text(encoding="utf-8")).get("generator") if described.is_file() else None
    return f"synthetic footage ({generator})" if generator else "footage in AIDE's layout"


def labels_of(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """(clips, tasks); of a ClipSet without decoding a frame."""
    return clips.labels if isinstance(clips, ClipSet) else np.stack([clip.labels for clip in clips])


def class_counts(clips: Sequence[Clip], task_set: TaskSet) -> dict[str, list[int]]:
    """How often each class occurs, by task."""
    return count_classes(labels_of(clips), task_set)
