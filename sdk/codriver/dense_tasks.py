"""Task sets of one camera, answered by maps and boxes, in their one true order: names, classes, kinds.

The workshop trains them; no device answers them yet.
"""

from __future__ import annotations

from codriver.tasks import Task, TaskSet


def _front(name: str, title: str, kind: str, labels: tuple[str, ...] = (), *, thin: bool = False) -> Task:
    return Task(name=name, title=title, kind=kind, labels=labels, needs_any=("front",), thin=thin)


BDD100K = TaskSet(
    "bdd100k",
    (
        _front("vehicles", "Vehicles", "detection", ("vehicle",)),
        _front("drivable_area", "Drivable area", "segmentation", ("direct", "alternative", "background")),
        _front("lane_lines", "Lane lines", "segmentation", ("background", "lane"), thin=True),
    ),
)
STREET = (  # Cityscapes' train classes
    *(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
    ),
    *("sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
CITYSCAPES = TaskSet(
    "cityscapes",
    (_front("semantics", "Semantics", "segmentation", STREET), _front("disparity", "Disparity, px", "disparity")),
)
OBJECTS = (  # PASCAL VOC's classes
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
PASCAL_CONTEXT = TaskSet(
    "pascal-context",
    (
        _front("semantics", "Semantics", "segmentation", OBJECTS),
        _front("human_parts", "Human parts", "segmentation", PARTS),
        _front("saliency", "Saliency", "saliency"),
    ),
)
DENSE_TASK_SETS = {some.name: some for some in (BDD100K, CITYSCAPES, PASCAL_CONTEXT)}
