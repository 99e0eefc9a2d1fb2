"""Golden vectors: raw frames of held-out clips, and the answers that each dialect's reference gives on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from codriver.errors import SourceError
from codriver.finder.peaks import read_sight
from codriver.finder_graph import HEIGHT_PX, OUTPUTS, WIDTH_PX
from codriver.frames.preprocess import stream_inputs
from codriver.network.memory import pick_slots
from codriver.percept import Driver
from codriver.resize import resize_to
from codriver.sources.aide import read_annotation
from codriver.sources.clip import RATE_HZ
from codriver.verify.golden import Step, told_of
from quantize.export.temperature import tempered
from quantize.graphs.reference import stepped_probabilities
from training.data.clips import CONTEXT, Clip, empty_context, frame_numbers, frame_set, put_slot, sizes_px
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.golden_vectors import write_golden

STEPS = 9  # the first gives no slot; eight slots are half of the context: enough for valid answers
MAX_WIDTH_PX = 320  # raw frames are kept at most this wide
TOLERANCE = (
    0.05  # of a probability, parity's for the same codes; runtimes round differently, a wrong graph is off by more
)


def golden_steps(ref: ClipRef) -> list[Step]:
    """The last steps of a clip: frames, times, and the driver in pixels of the frames kept."""
    annotation = read_annotation(ref.annotation)
    numbers = frame_numbers(ref.folder)
    times_s = [number / RATE_HZ for number in numbers]
    picked = [i for i in pick_slots(times_s, times_s[-1], CONTEXT) if i >= 0][-STEPS:]
    if len(picked) < STEPS:
        raise SourceError(f"{ref.folder} fills {len(picked)} slots, golden vectors need {STEPS}; use a longer clip")
    steps: list[Step] = []
    for index in picked:
        frames = frame_set(ref.folder, numbers[index])
        scale = min(1.0, MAX_WIDTH_PX / frames["incar"].shape[1])
        driver = annotation.drivers.get(f"{numbers[index]}.jpg")
        steps.append(
            (
                {view: _scaled(f, scale) for view, f in frames.items()},
                float(times_s[index]),
                _moved(driver, scale),
            )
        )
    return steps


def _scaled(frame: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1.0:
        return frame
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _moved(driver: Driver | None, scale: float) -> Driver | None:
    if driver is None:
        return None
    boxes = {
        name: None if box is None else [float(x) * scale for x in box]
        for name, box in (("face_px", driver.face_px), ("body_px", driver.body_px))
    }
    points = None if driver.keypoints is None else driver.keypoints * np.array([scale, scale, 1.0], np.float32)
    return Driver(**boxes, keypoints=points)


def clip_of_steps(steps: list[Step], model: UVM3TL) -> Clip:
    """The steps as the network's context: they fill its last slots."""
    frames, mask = empty_context(model.config)
    for slot, (views, _, driver) in enumerate(steps, start=model.config.slots - len(steps)):
        put_slot(frames, mask, slot, stream_inputs(views, driver, sizes_px(model.config)))
    return Clip(frames, mask, np.full(len(model.task_set.tasks), -1))


def write_golden_clips(
    folder: Path,
    refs: Sequence[ClipRef],
    model: UVM3TL,
    graphs: Mapping[str, tuple[nn.Module, nn.Module]],
    temperatures: Mapping[str, float],
    finders: Mapping[str, nn.Module],
) -> None:
    """graphs: dialect -> encoder and fuser as exported. temperatures: by task, as the manifest will have them.

    finders: by dialect, as exported; none if the bundle is to have none.
    """
    for ref in refs:
        steps = golden_steps(ref)
        clip = clip_of_steps(steps, model)
        expected, made = {}, dict[int, dict[str, list[float]]]()
        for dialect, (encoder, fuser) in graphs.items():
            if id(encoder) not in made:  # dialects that differ in emission alone share their modules
                made[id(encoder)] = stepped_probabilities(encoder, fuser, clip, model.config, model.task_set.names)
            answers = made[id(encoder)]
            honest = {task: tempered(np.array(some), temperatures[task]).tolist() for task, some in answers.items()}
            expected[dialect] = {
                task.name: dict(zip(task.labels, honest[task.name], strict=True)) for task in model.task_set.tasks
            }
        found = {dialect: _found(finder, steps[-1][0]["incar"]) for dialect, finder in finders.items()}
        write_golden(folder, steps, expected, TOLERANCE, found)


@torch.inference_mode()
def _found(finder: nn.Module, incar: NDArray[np.uint8]) -> dict[str, float]:
    pixels = torch.from_numpy(resize_to(incar, WIDTH_PX, HEIGHT_PX)[None])
    outputs = dict(zip(OUTPUTS, (some.numpy() for some in finder(pixels)), strict=True))
    return told_of(read_sight(outputs))
