"""How a bundle's dense graph is used, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codriver.arrays import Arrays
from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.engines.base import Signature, Tensor
from codriver.files.decode import Fault, rule
from codriver.tasks import VIEWS, Task

PIXELS = "pixels"  # the graph's one input
STRIDE = 4  # maps leave the graph at a quarter of its size
BOX_STRIDES = (8, 16, 32)  # of a detection's three maps
BOX_CHANNELS = 5  # of each: logit, then left, top, right, bottom in units of the stride


@dataclass(frozen=True, kw_only=True)
class DenseSpec:
    task_set: str = rule(choices=tuple(DENSE_TASK_SETS))
    tasks: tuple[str, ...] = rule(filled=True)  # of the set, in its order
    view: str = rule("front", choices=VIEWS)  # that it looks at
    height_px: int = rule(low=32, high=4096)  # of the graph's picture
    width_px: int = rule(low=32, high=4096)
    every_s: float = rule(0.0, low=0, high=10)  # between two pictures that it looks at; 0: every one
    hold_s: float = rule(0.5, low=0, high=10)  # an answer about an older picture is no answer
    least_score: float = rule(0.05, low=0.001, high=1)  # of a box

    @property
    def asked(self) -> tuple[Task, ...]:
        return tuple(DENSE_TASK_SETS[self.task_set][name] for name in self.tasks)

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """Output -> its shape (1, channels, H/stride, W/stride): a map by the task's name, a detection's three."""
        shapes: dict[str, tuple[int, ...]] = {}
        for task in self.asked:
            for name, stride in outputs_of(task).items():
                shapes[name] = (1, channels(task), self.height_px // stride, self.width_px // stride)
        return shapes

    @property
    def signature(self) -> Signature:
        """The picture (1, H, W, 3) uint8 -> float32 maps, see `outputs`."""
        picture = Tensor("uint8", (1, self.height_px, self.width_px, 3))
        outputs = {name: Tensor("float32", shape) for name, shape in self.outputs.items()}
        return Signature(inputs={PIXELS: picture}, outputs=outputs)

    def told(self) -> str:
        """For people."""
        often = f"every {self.every_s:g} s" if self.every_s else "every frame"
        return f"maps and boxes of {self.view}, {self.width_px}x{self.height_px}, {often}, set {self.task_set}"

    def check(self) -> None:
        """Raise a Fault unless the fields fit together."""
        names = DENSE_TASK_SETS[self.task_set].names
        if list(self.tasks) != [name for name in names if name in self.tasks]:
            raise Fault("dense", f"has tasks {', '.join(self.tasks)}, expected, in order, of {', '.join(names)}")
        if self.height_px % BOX_STRIDES[-1] or self.width_px % BOX_STRIDES[-1]:
            raise Fault("dense", f"is {self.width_px}x{self.height_px} pixels, expected multiples of {BOX_STRIDES[-1]}")


def outputs_of(task: Task) -> dict[str, int]:
    """Output -> stride."""
    if task.kind == "detection":
        return {f"{task.name}_{stride}": stride for stride in BOX_STRIDES}
    return {task.name: STRIDE}


def channels(task: Task) -> int:
    return {"segmentation": task.classes, "detection": BOX_CHANNELS, "normals": 3}.get(task.kind, 1)


class NoGraph:
    """Stands for the engines that a bundle of one camera has none for: takes anything, gives nothing."""

    def infer(self, inputs: Arrays) -> Arrays:
        return {}

    def close(self) -> None: ...


NO_GRAPH = NoGraph()
