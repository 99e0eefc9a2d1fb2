"""What codriver answers, and what it looks at: tasks, classes, views and streams in their one true order.

Training, quantization and the runtime all read this file, so that an index means the same class everywhere.
Class order is AIDE's (github.com/ydk122024/AIDE, dataset.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from codriver.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question. `kind` says what shape an answer has: a class, a map of classes, boxes."""

    name: str
    labels: tuple[str, ...]
    title: str  # for people
    needs_any: tuple[str, ...]  # an answer is valid only while at least one of these views is fresh
    kind: str = "classification"  # or one of training/dense/kinds, which codriver.dense answers
    annotation_key: str = ""  # where AIDE's JSON keeps the label
    thin: bool = False  # a segmentation whose foreground is a few pixels wide: shrinking must not lose it
    reach: float = 0.0  # of edges: how far apart an answered and a true pixel may lie, as a share of the diagonal

    @property
    def classes(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """Index of a class by its exact name; a ConfigError lists the classes otherwise."""
        if label not in self.labels:
            raise ConfigError(f"task {self.name}: got {label!r}, expected one of {', '.join(self.labels)}")
        return self.labels.index(label)


@dataclass(frozen=True)
class TaskSet:
    """Tasks that one model answers together."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def __getitem__(self, name: str) -> Task:
        for task in self.tasks:
            if task.name == name:
                return task
        raise ConfigError(f"task set {self.name} has no task {name!r}; it has {', '.join(self.names)}")


def _aide(name: str, title: str, annotation_key: str, needs_any: tuple[str, ...], labels: tuple[str, ...]) -> Task:
    return Task(name=name, title=title, annotation_key=annotation_key, needs_any=needs_any, labels=labels)


VIEWS = ("incar", "front", "left", "right")
OUTSIDE = VIEWS[1:]
EMOTIONS = ("Anxiety", "Peace", "Weariness", "Happiness", "Anger")
BEHAVIORS = ("Smoking", "Making Phone", "Looking Around", "Dozing Off", "Normal Driving", "Talking", "Body Movement")
TRAFFIC = ("Traffic Jam", "Waiting", "Smooth Traffic")
MANEUVERS = ("Parking", "Turning", "Backward Moving", "Changing Lane", "Forward Moving")
AIDE = TaskSet(
    "aide",
    (
        _aide("driver_emotion", "Driver emotion", "emotion_label", ("incar",), EMOTIONS),
        _aide("driver_behavior", "Driver behaviour", "driver_behavior_label", ("incar",), BEHAVIORS),
        _aide("traffic_context", "Traffic context", "scene_centric_context_label", OUTSIDE, TRAFFIC),
        _aide("vehicle_behavior", "Vehicle behaviour", "vehicle_based_context_label", OUTSIDE, MANEUVERS),
    ),
)
TASK_SETS = {AIDE.name: AIDE}  # of the four-camera model

CROPS = ("face", "body")  # cut out of the in-car view
JOINTS = ("posture", "gesture")  # 26 body points and 42 hand points of Halpe-136
STREAMS = (*VIEWS, *CROPS, *JOINTS)  # F_1..F_8

# Streams that share an encoder run as one batch, in this order. The outside views look at the same world.
GROUPS = {
    "incar": ("incar",),
    "outside": OUTSIDE,
    "face": ("face",),
    "body": ("body",),
    "posture": ("posture",),
    "gesture": ("gesture",),
}
VIEW_OF = {stream: stream if stream in VIEWS else "incar" for stream in STREAMS}  # where a stream is cut from
GROUP_OF = {stream: group for group, members in GROUPS.items() for stream in members}

KEYPOINTS = 136  # Halpe-136: x, y in pixels of the in-car frame, score
POSTURE_POINTS = tuple(range(26))
GESTURE_POINTS = tuple(range(94, 136))
