"""A plan's footage drawn from its seed straight into memory: nothing is written as JPEG and nothing decoded.

The clips are those of `python -m training.synth OUT --clips N --seed S`, split and labels and drawing alike, but for
what JPEG changes. Only the frames that the context picks are drawn: .17 s a clip instead of .65 s and decoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import ConfigError
from codriver.frames.preprocess import stream_inputs
from codriver.percept import Driver
from codriver.tasks import AIDE, STREAMS, VIEWS
from training.data import cache as caches
from training.data.clips import Clip, empty_context, put_slot, sizes_px
from training.data.sampling import UNIFORM
from training.footage.clip import RenderedClip
from training.footage.labels import plan
from training.footage.motion import FRAMES
from training.footage.spec import ClipSpec
from training.model.uvm3tl import ModelConfig

SPLITS = {"train": "training", "test": "testing", "watch": "validation"}


@dataclass(frozen=True, kw_only=True)
class DrawnConfig:
    """The data set of which a plan takes the first clips of each split."""

    clips: int
    seed: int


class DrawnFootage:
    """Clips by kind, none drawn before it is needed."""

    def __init__(self, drawn: DrawnConfig, counts: dict[str, int], model: ModelConfig) -> None:
        """counts: kind -> clips. A ConfigError if the data set has fewer."""
        self.counts, self._drawn, self._model = counts, drawn, model
        specs = [(split, ClipSpec(drawn.seed, k, said)) for k, (split, said) in enumerate(plan(**asdict(drawn)), 1)]
        self._specs = {kind: [some for split, some in specs if split == SPLITS[kind]][:n] for kind, n in counts.items()}
        lacking = [
            f"{len(self._specs[kind])} of {n} {kind}" for kind, n in counts.items() if len(self._specs[kind]) < n
        ]
        if lacking:
            raise ConfigError(f"footage: {drawn.clips} drawn clips have only {', '.join(lacking)}; raise drawn.clips")
        self._pixels = self._drawing()
        said = [f"{kind} {s.number} {sorted(s.labels.items())}" for kind, some in self._specs.items() for s in some]
        self.digest = digest_of([self._pixels.encode(), "\n".join(said).encode()])

    def _drawing(self) -> str:
        """Of one clip's pixels of each kind: other drawing code shows there."""
        firsts = [drawn_clip(specs[0], self._model).frames for specs in self._specs.values()]
        return digest_of([np.ascontiguousarray(some[stream]).tobytes() for some in firsts for stream in STREAMS])

    def clips(self, cache: Path | None, progress: Callable[[str, Any], Any]) -> dict[str, list[Clip]]:
        """All in memory. cache: folder that keeps them for the next start. progress: of a kind and an iterable."""
        shapes = {stream: list(self._model.input_shape(stream)) for stream in STREAMS}
        about = caches.settings(drawn=asdict(self._drawn), pixels=self._pixels, inputs=shapes, slots=self._model.slots)
        folder = caches.folder_for(cache, about) if cache else None
        return {
            kind: [self._kept(some, folder) for some in progress(kind, specs)] for kind, specs in self._specs.items()
        }

    def _kept(self, spec: ClipSpec, folder: Path | None) -> Clip:
        file = folder / f"{spec.number:04d}.safetensors" if folder else None
        arrays = caches.read(file) if file else None
        if arrays is not None:
            return Clip({stream: arrays[stream] for stream in STREAMS}, arrays["mask"], labels_of(spec), spec_id(spec))
        clip = drawn_clip(spec, self._model)
        if file:
            caches.write(file, {**clip.frames, "mask": clip.mask})
        return clip


def digest_of(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def drawn_clip(spec: ClipSpec, model: ModelConfig) -> Clip:
    """One clip as `load_clip` would give it, had it been written and read."""
    rendered, (frames, mask), sizes = RenderedClip(spec), empty_context(model), sizes_px(model)
    picked = [int(index) for index in UNIFORM.pick(range(FRAMES))]
    wanted = [index for index in picked if index >= 0]
    images = {view: dict(zip(wanted, rendered.frames(view, wanted), strict=True)) for view in VIEWS}
    drivers = drivers_of(rendered.poses())
    for slot, index in enumerate(picked):
        if index >= 0:
            put_slot(
                frames,
                mask,
                slot,
                stream_inputs({view: images[view][index] for view in VIEWS}, drivers[index], sizes),
            )
    return Clip(frames, mask, labels_of(spec), spec_id(spec))


def drivers_of(poses: Sequence[dict[str, Any]]) -> list[Driver]:
    """Of each frame, from AIDE's `pose_list` as the drawing fills it."""
    people = [pose["result"][0] for pose in poses]
    return [
        Driver(
            face_px=tuple(some["face_bbox"]),
            body_px=tuple(some["bbox"]),
            keypoints=np.array(some["keypoints"], np.float32).reshape(-1, 3),
        )
        for some in people
    ]


def labels_of(spec: ClipSpec) -> NDArray[np.int64]:
    """(tasks,) class indices."""
    return np.array([task.index(spec.labels[task.name]) for task in AIDE.tasks], np.int64)


def spec_id(spec: ClipSpec) -> str:
    return f"{spec.number:04d}"
