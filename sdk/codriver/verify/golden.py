"""Golden vectors: recorded steps and the answers they must lead to, so that a device first proves itself.

golden.json lists clips. A clip is steps (time, lossless PNG per view, the driver's boxes and keypoints) and, for
each variant of the graphs, the probabilities expected after the last step: variants round their weights differently.
A bundle with a finder adds what that is to find in the last step's in-car frame by itself; and clips of one in-car
picture without a driver, which have no answers, but what full precision's finder says is present, for every variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from codriver.bundle.folder import Bundle
from codriver.dense.golden import GoldenAnswer, GoldenPicture, differences
from codriver.errors import BundleError, EngineError
from codriver.files.decode import Fault, FieldRule, decode, from_json, rule, take_schema
from codriver.files.images import BadImage, decode_image
from codriver.finder.peaks import Sight, read_sight
from codriver.finder_graph import HEIGHT_PX, PIXELS, PRESENCE, WIDTH_PX
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept
from codriver.resize import resize_to

SCHEMA = 1
FINDER_TOLERANCE = 0.02  # of the frame, 5 px of 256, and of a presence; a wrong graph is off by far more
T = TypeVar("T")
GOLDEN_NAME = "golden.json"

Frames = Mapping[str, NDArray[np.uint8]]
Step = tuple[Frames, float, "Driver | None"]  # as Perceiver.step takes: (H, W, 3) BGR, seconds, driver
Answers = Mapping[str, Mapping[str, float]]  # task -> label -> probability
Expected = Mapping[str, Answers]  # by variant
FINDER, NOBODY = "finder", "presence without a driver"  # among the tasks of the differences


@dataclass(frozen=True, kw_only=True)
class GoldenDifference:
    """How far one task strays from its golden answers, over all clips."""

    task: str
    max_abs: float  # largest difference of any class's probability
    tolerance: float
    same_label: bool = True  # whether the likeliest class is always the expected one

    @property
    def ok(self) -> bool:
        return self.max_abs <= self.tolerance


def check_golden(perceiver: Perceiver) -> list[GoldenDifference]:
    """Step through every golden clip of the perceiver's bundle and compare with its variant's answers, by task.

    The perceiver's state does not change. A BundleError says if there is no golden vector, or no answer to one.
    """
    worst: dict[str, GoldenDifference] = {}
    for found in _found(perceiver):
        worst[found.task] = _worse(worst.get(found.task, found), found)
    return list(worst.values())


def _found(perceiver: Perceiver) -> Iterator[GoldenDifference]:
    """Of each picture and each clip by itself."""
    trial, bundle = on_trial(perceiver), perceiver.bundle.folder
    for step, by_variant in _pictures(bundle):
        dense, recorded = _last_step(trial, [step]).dense, _of_variant(by_variant, perceiver.variant, 0)
        (size,) = (frame.shape[:2] for frame in step[0].values())
        read = partial(_read_png, bundle, as_it_is=True)
        for task, apart, most in differences(bundle.manifest.dense, size, dense, recorded, read):
            yield GoldenDifference(task=task, max_abs=apart, tolerance=most)
    for number, (steps, expected, tolerance, found_by) in enumerate(read_golden(bundle)):
        answers = _of_variant(expected, perceiver.variant, number)
        tasks = _last_step(trial, steps).tasks
        for task, answer in answers.items():
            result = tasks.get(task)
            if result is None or not result.valid:
                reason = "the bundle has no such task" if result is None else result.reason
                raise BundleError(f"golden clip {number}: no {task} ({reason}); build the bundle anew")
            yield _difference(task, answer, result.probabilities, tolerance)
        if perceiver.bundle.finder is not None and "incar" in steps[-1][0]:
            told = _of_variant(found_by, perceiver.variant, number)
            name, most = (FINDER, FINDER_TOLERANCE) if answers else (NOBODY, tolerance)
            yield GoldenDifference(
                task=name, max_abs=_finder_off(perceiver, steps[-1][0]["incar"], told), tolerance=most
            )


def told_of(sight: Sight) -> dict[str, float]:
    """What a finder's golden answer holds: the corners of face and body as shares of the frame, and what is present."""
    corners = [f"{box}_{side}" for box in ("face", "body") for side in ("left", "top", "right", "bottom")]
    boxes = dict(zip(corners, sight.boxes.ravel().tolist(), strict=True))
    return boxes | dict(zip(PRESENCE, sight.presence.tolist(), strict=True))


def _finder_off(perceiver: Perceiver, incar: NDArray[np.uint8], told: Mapping[str, float]) -> float:
    assert perceiver.bundle.finder is not None
    pixels = resize_to(incar, WIDTH_PX, HEIGHT_PX)[None]
    found = told_of(read_sight(perceiver.bundle.finder.infer({PIXELS: pixels})))
    return max(abs(found[name] - value) for name, value in told.items())


def on_trial(perceiver: Perceiver) -> Perceiver:
    """Another one on the same graphs, which masks no view: its graphs are on trial, not the cameras of a recording.

    It has a state and counts of its own. The graphs are the first one's to close, so leave this one open.
    """
    bundle = perceiver.bundle
    return Perceiver(replace(bundle, policy=replace(bundle.policy, masked=())))


def said_wrong(differences: Iterable[GoldenDifference]) -> str:
    """Which tasks are too far off, for a message; empty if none is."""
    wrong = [found for found in differences if not found.ok]
    return "; ".join(f"{d.task} is off by {d.max_abs:.4f}, at most {d.tolerance:g} is allowed" for d in wrong)


def prove(perceiver: Perceiver) -> None:
    """Raise an EngineError unless the perceiver gives its bundle's golden answers."""
    text = said_wrong(check_golden(perceiver))
    if text:
        raise EngineError(f"{perceiver.variant} in {perceiver.engine} does not prove itself on golden vectors: {text}")


def _last_step(perceiver: Perceiver, steps: list[Step]) -> Percept:
    perceiver.reset()
    for frames, t, driver in steps:
        if perceiver.bundle.color != "bgr":
            frames = {view: np.ascontiguousarray(frame[..., ::-1]) for view, frame in frames.items()}
        percept = perceiver.step(frames, t, driver)
    return percept


def _of_variant(expected: Mapping[str, T], variant: str, number: int) -> T:
    if variant not in expected:
        there = f"no answers of variant {variant}, only of {', '.join(expected)}"
        raise BundleError(f"golden clip {number}: {there}; build the bundle anew")
    return expected[variant]


def _difference(
    task: str, expected: Mapping[str, float], found: Mapping[str, float], tolerance: float
) -> GoldenDifference:
    if set(expected) != set(found):
        raise BundleError(f"golden answer for {task} has other labels than the bundle; build the bundle anew")
    apart = max(abs(expected[label] - found[label]) for label in expected)
    alike = max(expected, key=expected.__getitem__) == max(found, key=found.__getitem__)
    return GoldenDifference(task=task, max_abs=apart, tolerance=tolerance, same_label=alike)


def _worse(a: GoldenDifference, b: GoldenDifference) -> GoldenDifference:
    alike, most = a.same_label and b.same_label, min(a.tolerance, b.tolerance)
    return replace(a, max_abs=max(a.max_abs, b.max_abs), tolerance=most, same_label=alike)


@dataclass(frozen=True, kw_only=True)
class GoldenStep:
    """One of a clip's steps as golden.json has it."""

    t: float
    frames: Mapping[str, str]  # view -> its picture, beside golden.json
    face_px: tuple[float, ...] | None
    body_px: tuple[float, ...] | None
    keypoints: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, kw_only=True)
class GoldenClip:
    tolerance: float
    steps: tuple[GoldenStep, ...] = rule(filled=True)
    expected: Mapping[str, Mapping[str, Mapping[str, float]]]  # by variant
    found: Mapping[str, Mapping[str, float]] = field(default_factory=dict, metadata={"rule": FieldRule(absent=True)})


@dataclass(frozen=True, kw_only=True)
class GoldenFile:
    clips: tuple[GoldenClip, ...]  # none: of a bundle with maps and boxes alone
    pictures: tuple[GoldenPicture, ...] = rule((), absent=True)  # with the maps and boxes that they lead to


def read_golden(bundle: Bundle) -> Iterator[tuple[list[Step], Expected, float, Mapping[str, Mapping[str, float]]]]:
    """Each clip's steps, expected probabilities, tolerance, and what finders find; read through the bundle's checks."""
    for clip in golden_file(bundle).clips:
        if not clip.expected or not (all(clip.expected.values()) or clip.found):
            raise BundleError(f"{bundle.path}: a golden clip without expected answers; build the bundle anew")
        yield [_read_step(bundle, step) for step in clip.steps], clip.expected, clip.tolerance, clip.found


def golden_steps(bundle: Bundle) -> list[Step]:
    """Everything that golden vectors with answers show, to step through."""
    steps = [step for clip, expected, *_ in read_golden(bundle) if any(expected.values()) for step in clip]
    return steps or [step for step, _ in _pictures(bundle)]


def _pictures(bundle: Bundle) -> list[tuple[Step, Mapping[str, Mapping[str, GoldenAnswer]]]]:
    """Of a bundle with maps and boxes: a step with one picture, and by variant and task what it leads to."""
    spec = bundle.manifest.dense
    pictures = golden_file(bundle).pictures if spec else ()
    return [(({spec.view: _read_png(bundle, some.picture)}, 0.0, None), some.expected) for some in pictures if spec]


def golden_file(bundle: Bundle) -> GoldenFile:
    path = bundle.manifest.golden
    if path is None:
        raise BundleError(f"{bundle.path}: carries no golden vectors; build the bundle with some")
    try:
        content = from_json(bundle.read(path))
        schema = take_schema(content)
        if schema != SCHEMA:
            raise BundleError(f"{bundle.path / path}: schema {schema}, expected {SCHEMA}; update codriver")
        golden = decode(GoldenFile, content)
        if not golden.clips and not (bundle.manifest.dense and golden.pictures):
            raise Fault("clips", "is a list that is empty")
        return golden
    except Fault as fault:
        raise BundleError(f"{bundle.path / path}: {fault}; build the bundle anew", code="manifest-invalid") from fault


def _read_step(bundle: Bundle, step: GoldenStep) -> Step:
    frames = {v: _read_png(bundle, name) for v, name in step.frames.items()}
    keypoints = None if step.keypoints is None else np.asarray(step.keypoints, dtype=np.float32)
    return frames, step.t, Driver(face_px=step.face_px, body_px=step.body_px, keypoints=keypoints)


def _read_png(bundle: Bundle, name: str, *, as_it_is: bool = False) -> NDArray[Any]:
    """name: beside golden.json."""
    name = "".join((bundle.manifest.golden or "").rpartition("/")[:2]) + name
    try:
        return decode_image(bundle.read(name), as_it_is=as_it_is)
    except BadImage as error:
        raise BundleError(f"{bundle.path / name}: not a PNG; build the bundle anew") from error
