"""What varies while training: mirroring, light, framing, and what is absent. Never at evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.files.decode import rule
from codriver.finder_graph import GESTURE_MIRROR, POSTURE_MIRROR
from codriver.percept import DRIVER_PARTS
from codriver.tasks import CROPS, JOINTS, STREAMS, VIEWS
from training.data.clips import Clip, with_take
from training.data.takes import DISTURBED, FOUND

VIEW_MIRROR = {"left": "right", "right": "left"}


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    mirror: float = 0.5  # share of clips seen in a mirror, left and right views and joints swapped with it
    gain: float = 0.25  # brightness factor varies by up to this, one draw per view and clip
    shift: float = 0.06  # framing moves by up to this share of the image, one draw per stream and clip
    drop_view: float = 0.08  # each camera is absent from a whole clip this often; the driver's streams go with incar
    found: float = 0.4  # share of clips whose driver is where the finder sees one, if somebody has looked
    disturbed: float = 0.3  # and of clips whose annotation is off as the finder is; the rest is as annotated
    drop_driver: float = 0.08  # no face, body or keypoints: what is left of the driver is the view
    drop_part: float = 0.06  # each of these four alone, beside the two pairs below
    drop_crops: float = 0.06  # no face and body boxes
    drop_joints: float = 0.08  # no keypoints
    drop_slot: float = 0.05  # each slot is absent this often (dropped frames)
    short_context: float = 0.4  # share of clips that begin late, as after start-up
    min_slots: int = 6
    half: bool = rule(False, absent=True)  # images at half their side, for cheap lessons
    runs: int = 0  # keep only this many random runs of three neighbouring slots, for cheap lessons; 0 keeps all slots


def augment(clip: Clip, rng: np.random.Generator, config: AugmentConfig) -> Clip:
    """A varied copy of the clip; what it shares with the original is not written to.

    The same rng gives the same copy. For lessons that do not depend on the number of workers, give each clip its own:
    np.random.default_rng([seed, epoch, index]).
    """
    clip = with_take(clip, drawn_take(rng, config))
    frames, mask = dict(clip.frames), clip.mask.copy()
    if rng.random() < config.mirror:
        frames, mask = mirror(frames, mask)
    kept_slots = drop(mask, rng, config)
    if config.runs:
        frames, mask = close_up(frames, mask, kept_slots, config.runs)
    for stream in (*VIEWS, *CROPS):
        kept = mask[STREAMS.index(stream)] > 0
        slots, height, width, channels = frames[stream].shape
        smaller = 2 if config.half else 1
        varied = np.zeros((slots, height // smaller, width // smaller, channels), np.uint8)
        if kept.any():  # lessons on a few slots need no pixels in the others
            images = vary_pixels(frames[stream][kept], rng, config)
            varied[kept] = halved(images) if config.half else images
        frames[stream] = varied
    return replace(clip, frames=frames, mask=mask)


def drawn_take(rng: np.random.Generator, config: AugmentConfig) -> str:
    """In whose eyes a lesson is seen; "" is the annotation's."""
    at = rng.random()
    return FOUND if at < config.found else DISTURBED if at < config.found + config.disturbed else ""


def mirror(
    frames: dict[str, NDArray[Any]], mask: NDArray[np.float32]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """The same scene in a mirror: pixels flipped, left and right views swapped, left and right joints swapped."""
    source = {stream: VIEW_MIRROR.get(stream, stream) for stream in STREAMS}
    flipped = {stream: frames[source[stream]][:, :, ::-1] for stream in (*VIEWS, *CROPS)}
    for stream, order in (("posture", list(POSTURE_MIRROR)), ("gesture", list(GESTURE_MIRROR))):
        joints = frames[stream][:, order].copy()
        known = joints.any(axis=2)
        joints[..., 0] = np.where(known, 1.0 - joints[..., 0], 0.0)
        flipped[stream] = joints
    return flipped, mask[[STREAMS.index(source[stream]) for stream in STREAMS]]


def vary_pixels(images: NDArray[np.uint8], rng: np.random.Generator, config: AugmentConfig) -> NDArray[np.uint8]:
    """Brightness and framing, constant over the clip so that motion stays what it was. images: (T, H, W, 3)."""
    gain = 1.0 + rng.uniform(-config.gain, config.gain)
    table = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
    size = images.shape[1]
    reach = round(config.shift * size)
    down, right = rng.integers(-reach, reach + 1, size=2)
    varied = cv2.LUT(images.reshape(-1, size, 3), table).reshape(images.shape)
    moved = varied.copy()  # the border that the shift uncovers keeps what was there
    moved[:, max(down, 0) : size + min(down, 0), max(right, 0) : size + min(right, 0)] = varied[
        :, max(-down, 0) : size + min(-down, 0), max(-right, 0) : size + min(-right, 0)
    ]
    return np.asarray(moved)


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) -> (T, H / 2, W / 2, 3): means over two by two pixels."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    smaller = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images]
    return np.asarray(smaller, np.uint8).reshape(len(images), height, width, 3)


def close_up(
    frames: dict[str, NDArray[Any]], mask: NDArray[np.float32], kept: list[int], runs: int
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """The slots kept, next to one another and in order, an absent one between two runs: (S, 4 * runs - 1).

    The network is blind to how long slots are absent; carrying sixteen of which thirteen are empty cost a third of a
    lesson. kept: ascending. Lessons of one batch have equally many slots, the first ones absent where runs overlap.
    """
    slots = 4 * runs - 1
    source = [kept[0]]
    for slot in kept[1:]:
        source += [slot] if slot == source[-1] + 1 else [-1, slot]
    places = range(slots - len(source), slots)
    shorter = {s: np.zeros((slots, *some.shape[1:]), some.dtype) for s, some in frames.items()}
    present = np.zeros((len(mask), slots), mask.dtype)
    for place, slot in zip(places, source, strict=True):
        if slot >= 0:
            present[:, place] = mask[:, slot]
            for stream, some in frames.items():
                shorter[stream][place] = some[slot]
    return shorter, present


def drop(mask: NDArray[np.float32], rng: np.random.Generator, config: AugmentConfig) -> list[int]:
    """Clear streams and slots of the mask (S, T) in place; a view and the newest slot always stay.
    With `runs`, returns the slots of these runs, ascending; else all.

    With `runs`, only these stay: such a lesson is about what each stream shows, not about gaps or lost cameras. Three
    slots are the fewest that show all that a moment knows: it reaches back two. The driver's parts are dropped in
    every lesson, because a device is without them in any moment, whether its finder is unsure of one or sees nobody.
    """
    slots = mask.shape[1]
    absent = dropped_parts(rng, config)
    mask[[STREAMS.index(stream) for stream in absent]] = 0.0
    if config.runs:
        last = rng.choice(np.arange(2, slots), config.runs, replace=False)
        kept = {int(slot) - back for slot in last for back in range(3)}
        mask[:, sorted(set(range(slots)) - kept)] = 0.0
        return sorted(kept)
    absent = {view for view in VIEWS if rng.random() < config.drop_view}
    if len(absent) == len(VIEWS):
        absent.discard(VIEWS[int(rng.integers(len(VIEWS)))])
    if "incar" in absent:
        absent.update(DRIVER_PARTS)
    mask[[STREAMS.index(stream) for stream in absent]] = 0.0
    lost = np.asarray(rng.random(slots) < config.drop_slot)
    lost[-1] = False
    mask[:, lost] = 0.0
    if rng.random() < config.short_context:
        mask[:, : slots - int(rng.integers(config.min_slots, slots))] = 0.0
    return list(range(slots))


def dropped_parts(rng: np.random.Generator, config: AugmentConfig) -> set[str]:
    """The driver's streams that a lesson does without."""
    if rng.random() < config.drop_driver:
        return set(DRIVER_PARTS)
    absent = {part for part in DRIVER_PARTS if rng.random() < config.drop_part}
    for pair, share in ((CROPS, config.drop_crops), (JOINTS, config.drop_joints)):
        if rng.random() < share:
            absent.update(pair)
    return absent
