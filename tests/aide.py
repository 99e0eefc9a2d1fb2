"""A data set in AIDE's layout, small enough for a test: noise for frames, one clip a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from codriver.tasks import AIDE, VIEWS

WIDTH, HEIGHT = 64, 36


def write_dataset(root: Path, clips: int = 6, frames: int = 45) -> Path:
    """Clips 0001.., the last two of them for validation and test; labels run through all classes."""
    rng = np.random.default_rng(0)
    names = [f"{number:04}" for number in range(1, clips + 1)]
    for index, name in enumerate(names):
        write_clip(root, name, index, rng, frames)
    splits = {"training": names[:-2], "validation": names[-2:-1], "testing": names[-1:]}
    for split, members in splits.items():
        rows = [f"AIDE_Dataset/{name}/,AIDE_Dataset/annotation/{name}.json" for name in members]
        (root / f"{split}.csv").write_text("\n".join(["0,1", *rows]) + "\n")
    return root


def write_clip(root: Path, name: str, index: int, rng: np.random.Generator, frames: int = 45) -> None:
    for view in VIEWS:
        folder = root / "AIDE_Dataset" / name / f"{view}frames"
        folder.mkdir(parents=True)
        for number in range(frames):
            noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{number}.jpg"), noise)
    path = root / "AIDE_Dataset" / "annotation" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(annotation(index, rng, frames)))


def annotation(index: int, rng: np.random.Generator, frames: int = 45) -> dict[str, object]:
    poses = []
    for number in range(frames):
        points = np.column_stack([rng.uniform(0, WIDTH, 136), rng.uniform(0, HEIGHT, 136), rng.uniform(0, 1, 136)])
        person = {"keypoints": points.ravel().tolist(), "bbox": [8, 2, 40, 32], "face_bbox": [20, 4, 14, 14]}
        poses.append({"imgname": f"{number}.jpg", "result": [person]})
    labels = {task.annotation_key: task.labels[index % task.classes] for task in AIDE.tasks}
    labels["emotion_label"] = labels["emotion_label"].lower()
    return {"pose_list": poses, **labels}


def edit_annotation(root: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a clip's JSON in place."""
    path = root / "AIDE_Dataset" / "annotation" / f"{name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
