"""UV-M3TL on maps: one picture in, maps and boxes out. Our instantiation throughout; the branches are DB-SCME's own.

    picture -> encoder -> three streams at stride 8 (detail, middle, context) -> DB-SCME on maps -> heads

The three streams stand where scene, driver and joints stand in the four-camera model. Only convolutions, ReLU, nearest
enlargement and addition outside DB-SCME's attention: these stay INT8 in the runtimes.

B batch · D width of DB-SCME · H W the network's picture
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.dense.spec import BOX_CHANNELS
from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.errors import ConfigError
from codriver.tasks import Task, TaskSet
from training.dense.kinds import depth, detection, disparity, edges, inverse_depth, normals, saliency, segmentation
from training.model.dbscme import DBSCMEConfig, SharedBranch, SpecificBranch
from training.model.encoders import ResidualBlock, conv_bn_relu

Outputs = dict[str, Any]  # task -> a map (B, channels, H/4, W/4), or a detection's maps by stride


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    task_set: str = "bdd100k"
    height: int = 96  # of the network's picture; both are multiples of 32 times `pool`
    width: int = 160
    widths: tuple[int, ...] = (8, 16, 24, 32, 48)  # channels of the encoder at strides 2 to 32
    blocks: tuple[int, ...] = (0, 0, 1, 1, 0)  # residual blocks there
    channels: int = 24  # D
    pool: int = 4  # attention's keys and values are means over so many cells a side
    decoder: int = 16  # channels of a map's head
    tower: int = 1  # convolutions before the boxes
    tasks: tuple[str, ...] = ()  # these alone; empty: all of the set
    dbscme: DBSCMEConfig = field(default_factory=DBSCMEConfig)

    @property
    def chosen(self) -> TaskSet:
        whole = DENSE_TASK_SETS[self.task_set]
        wanted = self.tasks or whole.names
        return TaskSet(whole.name, tuple(whole[name] for name in wanted))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DenseConfig:
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain | {"dbscme": DBSCMEConfig.from_dict(values.get("dbscme", {}))})


DENSE_SIZES = {
    "toy": DenseConfig(),  # trains in minutes on two cores
    "edge": DenseConfig(
        height=384,
        width=640,
        widths=(32, 48, 64, 128, 192),
        blocks=(0, 1, 2, 2, 1),
        channels=64,
        pool=8,
        decoder=32,
        tower=2,
    ),
}


SHAPES = {  # height, width where pictures are less wide, or show small things
    ("cityscapes-small", "toy"): (128, 256),
    ("cityscapes-small", "edge"): (128, 256),
    ("nyudv2", "toy"): (96, 128),
    ("nyudv2", "edge"): (448, 576),
    ("pascal-context", "toy"): (128, 160),
}


def sized(size: str, task_set: str, tasks: tuple[str, ...] = ()) -> DenseConfig:
    """The network of a size for a benchmark, or for some of its tasks."""
    config = replace(DENSE_SIZES[size], task_set=task_set, tasks=tasks)
    height, width = SHAPES.get((task_set, size), (config.height, config.width))
    return replace(config, height=height, width=width)


@dataclass(frozen=True)
class DenseAnswers:
    """Outputs, and the pooled embeddings that AFD-Loss keeps apart."""

    outputs: Outputs
    specific: Tensor  # (B, tasks, D)
    shared: Tensor  # (B, D)


class Pyramid(nn.Module):
    """Picture -> map at stride 4, three streams at stride 8 (B, D, H/8, W/8), and the maps at strides 16 and 32."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        stages, inputs, d, w = [], 3, config.channels, config.widths
        for outputs, blocks in zip(w, config.blocks, strict=True):
            residual = (ResidualBlock(outputs) for _ in range(blocks))
            stages.append(nn.Sequential(conv_bn_relu(inputs, outputs, stride=2), *residual))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.level32, self.overall = nn.Conv2d(w[4], d, 1), nn.Conv2d(w[4], d, 1)
        self.level16, self.level8 = nn.Conv2d(w[3], d, 1), nn.Conv2d(w[2], d, 1)
        self.smooth16, self.smooth8 = conv_bn_relu(d, d), conv_bn_relu(d, d)
        self.detail = conv_bn_relu(w[1], d, stride=2)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        x = pixels.permute(0, 3, 1, 2).float() * (1.0 / 255.0)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        _, stride4, stride8, stride16, stride32 = maps
        overall = self.overall(stride32.mean(dim=(2, 3), keepdim=True))
        deep = torch.relu(self.level32(stride32) + overall)
        middle = self.smooth16(twice(deep) + self.level16(stride16))
        context = twice(middle)
        return stride4, [self.detail(stride4), self.smooth8(context + self.level8(stride8)), context], middle, deep


class MapHead(nn.Module):
    """(B, D, H/8, W/8) -> (B, channels of the task's kind, H/4, W/4)."""

    def __init__(self, task: Task, config: DenseConfig) -> None:
        super().__init__()
        inner = config.decoder
        self.enter, self.skip = conv_bn_relu(config.channels, inner), nn.Conv2d(config.widths[1], inner, 1)
        self.mix, self.out = conv_bn_relu(inner, inner), nn.Conv2d(inner, KINDS[task.kind].channels(task), 1)

    def forward(self, embedding: Tensor, stride4: Tensor, middle: Tensor, deep: Tensor) -> Tensor:
        return self.out(self.mix(twice(self.enter(embedding)) + self.skip(stride4)))


class BoxHead(nn.Module):
    """Maps at strides 8, 16 and 32 -> (B, 5, ...) each, by one tower."""

    def __init__(self, task: Task, config: DenseConfig) -> None:
        super().__init__()
        d = config.channels
        self.tower = nn.Sequential(*(conv_bn_relu(d, d) for _ in range(config.tower)))
        self.out = nn.Conv2d(d, BOX_CHANNELS, 1)
        with torch.no_grad():
            self.out.bias.zero_()
            self.out.bias[0] = -torch.log(torch.tensor((1 - detection.PRIOR) / detection.PRIOR))

    def forward(self, embedding: Tensor, stride4: Tensor, middle: Tensor, deep: Tensor) -> list[Tensor]:
        return [self.out(self.tower(some)) for some in (embedding, middle, deep)]


class DenseUVM3TL(nn.Module):
    """The network. A picture's answers never depend on its batch mates."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        for side in (config.height, config.width):
            if side % 32 or side // 8 % config.pool:
                raise ConfigError(
                    f"{config.width}x{config.height}: {side} is no multiple of both 32 and {8 * config.pool}; change it"
                )
        self.config, self.task_set = config, config.chosen
        d, scme = config.channels, config.dbscme
        self.pyramid = Pyramid(config)
        self.reduce = conv_bn_relu(3 * d, d, kernel=1)
        names = self.task_set.names
        self.specific = nn.ModuleDict({name: SpecificBranch(d, scme, pool=config.pool) for name in names})
        self.shared = nn.ModuleList([SharedBranch(d, scme, pool=config.pool) for _ in range(2)])
        self.specific_out = nn.ModuleDict({name: nn.Conv2d(d, d, 1) for name in names})
        self.shared_out = nn.ModuleDict({name: nn.Conv2d(d, d, 1) for name in names})
        shares = {name: nn.Parameter(torch.tensor(scme.mix_start)) for name in names}
        self.mix: nn.ParameterDict | None = nn.ParameterDict(shares)  # None: quantize.graphs.fold multiplied it in
        self.heads = nn.ModuleDict(
            {task.name: HEADS.get(task.kind, MapHead)(task, config) for task in self.task_set.tasks}
        )

    @torch.no_grad()
    def start_from(self, answers: Mapping[str, Sequence[float]]) -> None:
        """Begin at constant answers: task -> a number for each channel of its map. Boxes begin at their own PRIOR."""
        for task, values in answers.items():
            self.heads[task].out.bias.copy_(torch.tensor(values))

    def forward(self, pixels: Tensor) -> DenseAnswers:
        """pixels: (B, H, W, 3) uint8 BGR."""
        stride4, (detail, middle8, context), middle, deep = self.pyramid(pixels)
        together = self.reduce(torch.cat([detail, middle8, context], dim=1))  # F_c
        shared = self.shared[1](context, self.shared[0](detail, middle8))  # F_sh
        outputs, specific = {}, []
        for task in self.task_set.tasks:
            own = self.specific[task.name](together)  # F_sp
            parts = self.specific_out[task.name](own), self.shared_out[task.name](shared)
            share = None if self.mix is None else torch.sigmoid(self.mix[task.name])
            embedding = parts[0] + parts[1] if share is None else share * parts[0] + (1 - share) * parts[1]
            specific.append(own.mean(dim=(2, 3)))
            outputs[task.name] = self.heads[task.name](torch.relu(embedding), stride4, middle, deep)
        return DenseAnswers(outputs, torch.stack(specific, dim=1), shared.mean(dim=(2, 3)))


def twice(x: Tensor) -> Tensor:
    """Nearest enlargement: what the runtimes keep in 8 bits."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


KINDS = {
    "segmentation": segmentation,
    "disparity": disparity,
    "depth": depth,
    "inverse_depth": inverse_depth,
    "normals": normals,
    "edges": edges,
    "saliency": saliency,
    "detection": detection,
}
HEADS = {"detection": BoxHead}  # others have a MapHead
