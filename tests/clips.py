"""Small footage in AIDE's layout, and percepts to draw, for tests."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from codriver.percept import Driver, DriverSight, Frame, Percept, TaskResult, ViewStatus
from codriver.sources import FrameSet
from codriver.tasks import AIDE, VIEWS

SIZE_PX = (96, 54)
TRUTH = {
    "driver_emotion": "Peace",
    "driver_behavior": "Normal Driving",
    "traffic_context": "Smooth Traffic",
    "vehicle_behavior": "Forward Moving",
}


def frame(number: int, view: str = "incar", size_px: tuple[int, int] = SIZE_PX) -> np.ndarray:
    """(H, W, 3) uint8: a grey that says which frame it is, under a stripe that says which view."""
    image = np.full((size_px[1], size_px[0], 3), 20 + 4 * (number % 50), np.uint8)
    image[: size_px[1] // 4] = 50 * (1 + VIEWS.index(view))
    return image


def make_clip(root: Path, frames: int = 6, views: tuple[str, ...] = VIEWS, annotated: bool = True) -> Path:
    """A clip `root`/0001, and its annotation in which the face's x is the number of the frame."""
    clip = root / "0001"
    for view in views:
        (clip / f"{view}frames").mkdir(parents=True)
        for number in range(frames):
            jpeg = cv2.imencode(".jpg", frame(number, view))[1].tobytes()
            (clip / f"{view}frames" / f"{number}.jpg").write_bytes(jpeg)
    if annotated:
        write_annotation(root, [pose(number) for number in range(frames)])
    return clip


def pose(number: int) -> dict[str, object]:
    person = {"keypoints": [float(number)] * 408, "bbox": [5, 2, 60, 50], "face_bbox": [number, 5, 20, 20]}
    return {"imgname": f"{number}.jpg", "result": [person]}


def write_annotation(root: Path, poses: list[object], **changes: object) -> None:
    labels = {
        "emotion_label": "peace",
        "driver_behavior_label": "Normal Driving",
        "scene_centric_context_label": "Smooth Traffic",
        "vehicle_based_context_label": "Forward",
    }
    (root / "annotation").mkdir(exist_ok=True)
    (root / "annotation" / "0001.json").write_text(json.dumps({"pose_list": poses, **labels, **changes}))


def make_video(path: Path, frames: int, rate_hz: float = 15.0, view: str = "incar") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate_hz, SIZE_PX)
    for number in range(frames):
        writer.write(frame(number, view))
    writer.release()
    return path


class FakeCamera:
    """A capture device of 100 Hz. Clear `plugged`, or set `stuck`: read() then hangs as some drivers do.

    driver_s: gives the time that its driver tells of the newest frame, as V4L2's do; None: it tells none.
    """

    def __init__(self, opens=True, driver_s=None):
        self.opens, self.plugged, self.stuck, self.count = opens, True, threading.Event(), 0
        self.driver_s = driver_s

    def getBackendName(self):
        return "V4L2" if self.driver_s else "FAKE"

    def get(self, number):
        assert number == cv2.CAP_PROP_POS_MSEC
        return 1e3 * self.driver_s()

    def isOpened(self):
        return self.opens and self.plugged

    def read(self):
        while self.stuck.is_set():
            time.sleep(0.005)
        time.sleep(0.01)
        self.count += 1
        return self.plugged, frame(self.count)

    def release(self):
        pass


def instant(number: int = 0, views: tuple[str, ...] = VIEWS, driver: Driver | None = None) -> FrameSet:
    return FrameSet({view: Frame(frame(number, view)) for view in views}, number / 15, driver)


def percept(
    number: int = 0,
    *,
    winner: int = 1,
    invalid: tuple[str, ...] = (),
    lost: tuple[str, ...] = (),
    late: tuple[str, ...] = (),
    state: str = "ok",
    driver: DriverSight | None = None,
) -> Percept:
    """What a step may answer: class `winner` of every task with 70 %, except of the invalid ones."""
    views = {view: ViewStatus(status="ok", age_s=0.0, reason="") for view in VIEWS}
    views |= {view: ViewStatus(status="lost", age_s=2.0, reason="no frame for 2.0 s") for view in lost}
    views |= {view: ViewStatus(status="late", age_s=0.4, reason="no frame in this step") for view in late}
    return Percept(
        t=number / 15,
        sequence=number,
        state=state,
        reasons=tuple(f"{view}: {status.reason}" for view, status in views.items() if status.reason),
        deadline_missed=False,
        views=views,
        context=1.0,
        model="tiny-0123456789ab",
        driver=driver or DriverSight(),
        tasks={task.name: _result(task.labels, winner, task.name in invalid) for task in AIDE.tasks},
        latency_ms={
            "health": 0.2,
            "preprocess": 1.0,
            "encode": 5.0 + number % 3,
            "fuse": 2.0,
            "total": 8.0 + number % 3,
        },
    )


def _result(labels: tuple[str, ...], winner: int, invalid: bool) -> TaskResult:
    if invalid:
        return TaskResult(
            label=None, index=None, probability=None, probabilities={}, valid=False, reason="no frame to trust"
        )
    rest = 0.3 / (len(labels) - 1)
    shares = {label: 0.7 if index == winner else rest for index, label in enumerate(labels)}
    label = labels[winner]
    return TaskResult(label=label, index=winner, probability=0.7, probabilities=shares, valid=True, reason="")
