"""Truth and answers in official forms: random ones, and footage with answers that are a little off; our own scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.dense_tasks import BDD100K, CITYSCAPES, NYUDV2
from tests.measure_edges import picture as outlines
from training.dense.benchmarks import bdd100k, cityscapes
from training.dense.benchmarks.cityscapes import EVALUATED
from training.dense.geometry import IGNORE
from training.dense.kinds import detection, edges, segmentation
from training.dense.layouts.job import write
from training.dense.scene import Scene
from training.synth import main as synth

PICTURES, SIZE = 20, (36, 64)  # of the random ones
OUTLINES, OUTLINED = 4, (106, 140)
NO_LANE, VERTICAL = 255, 32  # bytes of the lanes' masks
NEVER, ONLY_ANSWERED = 31, 28  # labelIds: train, in neither truth nor answers; bus, in answers alone
Scores = dict[str, dict[str, float]]  # set/benchmark/task -> score -> value


def write_random(root: Path, rng: np.random.Generator) -> None:
    """Every pixel and box by chance, with the corner cases of the forms."""
    bdd, city, frames = root / "bdd100k", root / "cityscapes", []
    for number in range(PICTURES):
        name, grey = f"{number:03d}-1", rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        write(bdd / f"images/100k/val/{name}.jpg", grey)
        area = rng.integers(0, 3, SIZE, dtype=np.uint8) if number else np.full(SIZE, 2, np.uint8)
        write(bdd / f"labels/drivable/masks/val/{name}.png", area)
        byte = rng.integers(0, 8, SIZE, dtype=np.uint8) + 16 * rng.integers(0, 2, SIZE, dtype=np.uint8)
        lane = np.where(rng.random(SIZE) < 0.01 * (number % 4), byte, NO_LANE)  # every fourth has none
        write(bdd / f"labels/lane/masks/val/{name}.png", lane.astype(np.uint8))
        frames.append({"name": f"{name}.jpg", "labels": [_car(rng, k) for k in range(int(rng.integers(0, 8)))]})
        stem = f"val/town/town_{number:06d}_000019"
        write(city / f"leftImg8bit/{stem}_leftImg8bit.png", grey)
        ids = rng.integers(0, 34, SIZE, dtype=np.uint8)
        write(city / f"gtFine/{stem}_gtFine_labelIds.png", np.where(np.isin(ids, (NEVER, ONLY_ANSWERED)), 0, ids))
        write(city / f"disparity/{stem}_disparity.png", rng.integers(0, 2**16, SIZE, dtype=np.uint16))
    bdd100k_list(bdd, frames)


def _car(rng: np.random.Generator, number: int) -> dict[str, Any]:
    corner, size = rng.uniform(0, 40, 2), rng.uniform(4, 20, 2)
    corners = [*corner, *(corner + size)]
    kind = "other vehicle" if rng.random() < 0.15 else "car"
    return {
        "id": str(number),
        "category": kind,
        "attributes": {"crowd": bool(rng.random() < 0.15)},
        "box2d": dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
    }


def bdd100k_list(root: Path, frames: list[dict[str, Any]]) -> None:
    path = root / "labels/det_20/det_val.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(frames), encoding="utf-8")


def write_footage(root: Path) -> None:
    """Both benchmarks' layouts from the procedural street; of lanes the parallel ones alone."""
    for layout, size in (("bdd100k", ("320", "180")), ("cityscapes", ("256", "128"))):
        form = ["--width", size[0], "--height", size[1], "--workers", "1"]
        assert synth([str(root / layout), "--layout", layout, "--clips", "12", "--seed", "9", *form]) == 0
    for path in (root / "bdd100k/labels/lane/masks/val").glob("*.png"):
        byte = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        write(path, np.where(byte == NO_LANE, byte, byte & ~np.uint8(VERTICAL)).astype(np.uint8))


def off(truth: NDArray[np.uint8], classes: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A map as a fair network answers it: three pixels to the side, and anything at one pixel in fifty."""
    moved = np.roll(np.where(truth == IGNORE, 0, truth), 3, axis=1)
    by_chance = rng.integers(0, classes, truth.shape)
    return np.where(rng.random(truth.shape) < 0.02, by_chance, moved).astype(np.uint8)


def answer_maps(scene: Scene, kind: str, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
    """Task -> classes."""
    found = {}
    for task in (*BDD100K.tasks, *CITYSCAPES.tasks):
        if task.kind == "segmentation" and task.name in scene.truth:
            truth, classes = scene.truth[task.name], task.classes
            by_chance = rng.integers(0, classes, truth.shape, dtype=np.uint8)
            if task.thin:
                by_chance = (rng.random(truth.shape) < 0.01 * (len(found) + int(rng.integers(0, 3)))).astype(np.uint8)
            found[task.name] = by_chance if kind == "random" else off(truth, classes, rng)
    return found


def answer_boxes(scene: Scene, rng: np.random.Generator) -> detection.Found:
    """Real ones a little off, and others."""
    real = scene.truth["vehicles"].boxes
    near = real + rng.normal(0, 1.0, real.shape)
    corner = rng.uniform(0, 40, (4, 2))
    boxes = np.concatenate([near, np.concatenate([corner, corner + rng.uniform(4, 20, (4, 2))], axis=1)])
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2] + 1).all(axis=1)].astype(np.float32)
    scores = rng.random(len(boxes)).astype(np.float32)
    order = np.argsort(-scores)
    return boxes[order], scores[order]


def scored_bdd100k(root: Path, kind: str, rng: np.random.Generator) -> Scores:
    """Write answers beside the truth, as the benchmark wants them handed in, and score them ourselves."""
    judges: dict[str, Any] = {
        "boxes": detection.Metric(BDD100K["vehicles"]),
        "drivable": segmentation.Metric(BDD100K["drivable_area"]),
        "lanes": segmentation.Metric(BDD100K["lane_lines"]),
    }
    handed = []
    for ref in bdd100k.index(root, "test"):
        scene = bdd100k.read(ref)
        found, boxes = answer_maps(scene, kind, rng), answer_boxes(scene, rng)
        write(root / f"answers/drivable/{ref.name}.png", found["drivable_area"])
        write(root / f"answers/lane/{ref.name}.png", np.where(found["lane_lines"] == 1, 0, NO_LANE).astype(np.uint8))
        labels = [
            {
                "id": str(k),
                "category": "car",
                "score": float(s),
                "box2d": {"x1": x1, "y1": y1, "x2": x2 - 1, "y2": y2 - 1},
            }
            for k, ((x1, y1, x2, y2), s) in enumerate(zip(boxes[0].tolist(), boxes[1].tolist(), strict=True))
        ]
        handed.append({"name": f"{ref.name}.jpg", "labels": labels})
        judges["boxes"].add(boxes, scene.truth["vehicles"])
        judges["drivable"].add(found["drivable_area"], scene.truth["drivable_area"])
        judges["lanes"].add(found["lane_lines"], scene.truth["lane_lines"])
    (root / "answers/boxes.json").write_text(json.dumps(handed), encoding="utf-8")
    return {f"{kind}/bdd100k/{name}": judge.scores() for name, judge in judges.items()}


def scored_cityscapes(root: Path, kind: str, rng: np.random.Generator) -> Scores:
    """Answers are handed in as labelIds."""
    judge = segmentation.Metric(CITYSCAPES["semantics"])
    for ref in cityscapes.index(root, "test"):
        scene = cityscapes.read(ref)
        ids = np.array(EVALUATED, dtype=np.uint8)[answer_maps(scene, kind, rng)["semantics"]]
        ids[ids == NEVER] = EVALUATED[0]
        write(root / f"answers/semantics/{ref.name}_ids.png", ids)
        judge.add(cityscapes.TRAIN_IDS[ids], scene.truth["semantics"])
    known = {name: value for name, value in judge.scores().items() if np.isfinite(value)}
    return {f"{kind}/cityscapes/semantics": known}


def scored_edges(root: Path, rng: np.random.Generator) -> Scores:
    """Likelihoods and thinned truth, which theirs takes as it is."""
    task = NYUDV2["edges"]
    judge = edges.Metric(task)
    (root / "edges").mkdir(parents=True)
    for number in range(OUTLINES):
        answered, truth = (some[: OUTLINED[0], : OUTLINED[1]] for some in outlines(rng))
        answered = np.ascontiguousarray(answered, dtype=np.float32)
        judge.add(answered, truth)
        lines = edges.thinned(truth == 1)
        np.savez(
            root / f"edges/{number}.npz",
            answer=answered,
            suppressed=edges.suppressed(answered),
            truth=lines,
            reach=task.reach,
        )
    return {f"random/nyudv2/edges, {whose}": judge.scores() for whose in ("ours", "theirs")}
