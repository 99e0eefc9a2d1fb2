"""Task sets of one camera, answered by maps and boxes, in their one true order: names, classes, kinds.

codriver.dense answers them on the device.
"""

from __future__ import annotations

from codriver.tasks import Task, TaskSet


def _front(
    name: str, title: str, kind: str, labels: tuple[str, ...] = (), *, thin: bool = False, reach: float = 0.0
) -> Task:
    return Task(name=name, title=title, kind=kind, labels=labels, needs_any=("front",), thin=thin, reach=reach)


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
CITYSCAPES_SMALL = TaskSet(  # mtan's; which classes its seven hold is not public
    "cityscapes-small",
    (
        _front("semantics", "Semantics", "segmentation", tuple(f"class {k}" for k in range(7))),
        _front("inverse_depth", "Inverse depth", "inverse_depth"),
    ),
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
        _front("normals", "Surface normals", "normals"),
        _front("edges", "Edges", "edges", thin=True, reach=0.0075),
    ),
)
INDOORS = (  # NYUD-v2's 40 classes; the benchmark's own spelling
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter"),
    *("blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling"),
    *("books", "refridgerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person"),
    *("night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop"),
)
NYUDV2 = TaskSet(
    "nyudv2",
    (
        _front("semantics", "Semantics", "segmentation", INDOORS),
        _front("depth", "Depth, m", "depth"),
        _front("normals", "Normals", "normals"),
        _front("edges", "Edges", "edges", thin=True, reach=0.011),
    ),
)
DENSE_TASK_SETS = {some.name: some for some in (BDD100K, CITYSCAPES, CITYSCAPES_SMALL, NYUDV2, PASCAL_CONTEXT)}
