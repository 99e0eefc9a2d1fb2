"""UV-M3TL: eight streams in, four answers out.

    frame --encode--> feature --motion, with the feature 0.2 s before--> motion
          --along_time, with the motion 0.2 s before--> slot --fuse, 16 slots--> four answers

`encode` looks at single frames, `motion` at two features and `along_time` at two motions; all are paid once per new
frame. `fuse` reads the 16 remembered slots of each stream. Whole clips and streams share every weight and give the same
logits.

The topology of DB-SCME is the paper's figure (arXiv 2602.01594; reference: images/DB-SCME.png). Widths, encoders and
the temporal aggregation are our instantiation: the paper's are not public.

B batch · S stream · T slot · C channel · G grid cells per side · D width of DB-SCME · K classes
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from codriver.errors import ConfigError
from codriver.tasks import (
    CROPS,
    GESTURE_POINTS,
    GROUPS,
    JOINTS,
    POSTURE_POINTS,
    STREAMS,
    TASK_SETS,
    VIEW_OF,
    VIEWS,
    TaskSet,
)
from training.model.clip_rows import earlier, remembered, rows_of, split_like
from training.model.dbscme import DBSCME, DBSCMEConfig
from training.model.encoders import ImageEncoder, JointEncoder
from training.model.temporal import IMAGES, AlongTime, Gather, JointAlongTime, JointMotion, Motion

POINTS_OF = {"posture": len(POSTURE_POINTS), "gesture": len(GESTURE_POINTS)}
See = Callable[[dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]]  # UVM3TL.see, or what stands in for it
Fuse = Callable[[dict[str, Tensor], Tensor], "Fused"]  # UVM3TL.fuse, or what stands in for it
DRIVER_STREAMS = ("incar", *CROPS)
SCENE_STREAMS = ("front", "left", "right")
SHARED = {"scene": SCENE_STREAMS, "driver": DRIVER_STREAMS, "joints": JOINTS}
PLACES_OF = {group: tuple(STREAMS.index(stream) for stream in members) for group, members in SHARED.items()}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Every size of the network. `SIZES` names the ones in use."""

    task_set: str = "aide"
    view_px: int = 64  # side of a view as the encoder sees it
    crop_px: int = 64  # side of the face and body crops
    widths: tuple[int, ...] = (12, 24)  # encoder: channels after each stride-2 stage
    blocks: tuple[int, ...] = (0, 0)  # encoder: residual blocks in each stage
    feature: int = 24  # channels of an encoded frame, per cell (C)
    motion_blocks: int = 1  # residual blocks after a feature has met the one before it
    joint_feature: int = 64  # numbers of an encoded joint stream
    width: int = 48  # channels of DB-SCME (D)
    grid: int = 4  # cells per side in DB-SCME
    narrow: int = 16  # channels of the map from which a stream's vector reads where something is
    slots: int = 16  # T
    head_dropout: float = 0.1  # on the mixed embedding, before each head
    dbscme: DBSCMEConfig = field(default_factory=DBSCMEConfig)  # what the figure leaves open, and which branches are on
    streams_off: tuple[str, ...] = ()  # for ablation: always absent, and never encoded in `forward`

    def __post_init__(self) -> None:
        unknown = [stream for stream in self.streams_off if stream not in STREAMS]
        if unknown or set(self.streams_off) == set(STREAMS):
            raise ConfigError(
                f"streams_off: got {', '.join(self.streams_off)}; expected some of {', '.join(STREAMS)}, but not all"
            )

    @property
    def stride(self) -> int:
        return 1 << len(self.widths)

    def size_px(self, stream: str) -> int:
        return self.view_px if stream in VIEWS else self.crop_px

    def feature_shape(self, stream: str) -> tuple[int, ...]:
        """Shape of one encoded frame: (C, G, G) for images, (C,) for joints."""
        if stream in JOINTS:
            return (self.joint_feature,)
        cells = self.size_px(stream) // self.stride
        return (self.feature, cells, cells)

    def slot_shape(self, stream: str) -> tuple[int, ...]:
        """Shape of what a slot remembers, and of a motion: (D, grid, grid) for images, (D,) for joints."""
        return (self.width,) if stream in JOINTS else (self.width, self.grid, self.grid)

    def input_shape(self, stream: str) -> tuple[int, ...]:
        """Shape of one frame as the graph takes it: (H, W, 3) uint8 BGR for images, (P, 3) float32 for joints."""
        return (POINTS_OF[stream], 3) if stream in JOINTS else (self.size_px(stream), self.size_px(stream), 3)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """What `to_dict` or JSON made of it; what a run of before did not know takes its default."""
        plain: dict[str, Any] = {k: tuple(some) if isinstance(some, list) else some for k, some in values.items()}
        return cls(**plain | {"dbscme": DBSCMEConfig.from_dict(values.get("dbscme", {}))})


SIZES = {
    "tiny": ModelConfig(view_px=32, crop_px=32, widths=(4, 8), feature=4, joint_feature=8, width=8, narrow=4),
    "small": ModelConfig(view_px=32, crop_px=32),  # demo at half the resolution, for experiments in many runs
    "demo": ModelConfig(),
    "edge": ModelConfig(
        view_px=160,
        crop_px=80,
        widths=(32, 48, 64),
        blocks=(0, 1, 2),
        feature=48,
        motion_blocks=2,
        joint_feature=128,
        width=96,
        grid=5,
        narrow=8,
    ),
}
SIZES["edge-224"] = replace(SIZES["edge"], view_px=224, crop_px=112, grid=7)  # where a camera's far pixels matter
SIZES["edge-tokens"] = replace(SIZES["edge"], dbscme=DBSCMEConfig(tokens=True))  # for ablation: not quantized


@dataclass(frozen=True)
class Fused:
    """What `fuse` returns: logits by task, and the embeddings that the loss keeps apart."""

    logits: dict[str, Tensor]  # task -> (B, K)
    specific: Tensor | None  # (B, tasks, D); None where DB-SCME has no specific branch
    shared: Tensor | None  # (B, D); None where DB-SCME has no shared branch
    guesses: dict[str, dict[str, Tensor]] | None = None  # stream -> task -> (B, T, K), in training only
    summands: Tensor | None = None  # (2, B, tasks, D) FC(F_sp), FC(F_sh) of each task, in training with both branches


class UVM3TL(nn.Module):
    """The network. Absent streams and slots are masked; a clip's logits never depend on its batch mates."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.task_set: TaskSet = TASK_SETS[config.task_set]
        self.encoders = nn.ModuleDict({group: self._encoder(group) for group in GROUPS})
        self.motions = nn.ModuleDict({group: self._motion(group) for group in GROUPS})
        along = {group: JointAlongTime if group in JOINTS else AlongTime for group in GROUPS}
        self.along_times = nn.ModuleDict({group: some(config.width) for group, some in along.items()})
        self.gather = Gather(config.width, config.grid, config.narrow)
        self.guessers = nn.ModuleDict({stream: self._guesser(stream) for stream in STREAMS})
        self.dbscme = DBSCME(
            images=len(IMAGES),
            streams=len(STREAMS),
            width=config.width,
            classes={task.name: task.classes for task in self.task_set.tasks},
            dropout=config.head_dropout,
            config=config.dbscme,
        )
        self._freeze_what_is_off()

    def _encoder(self, group: str) -> nn.Module:
        if group in JOINTS:
            return JointEncoder(POINTS_OF[group], self.config.joint_feature)
        return ImageEncoder(self.config.widths, self.config.blocks, self.config.feature)

    def _motion(self, group: str) -> nn.Module:
        if group in JOINTS:
            return JointMotion(self.config.joint_feature, self.config.width)
        cells = self.config.feature_shape(GROUPS[group][0])[-1] // 2
        halvings = round(math.log2(cells / self.config.grid))
        if cells != self.config.grid * 2**halvings:
            raise ValueError(
                f"group {group}: {cells} cells per side cannot be halved to {self.config.grid}; change a size"
            )
        return Motion(self.config.feature, self.config.width, self.config.motion_blocks, halvings, self.config.grid)

    def _guesser(self, stream: str) -> nn.ModuleDict:
        """A linear head for each task that the stream can know of: the road does not show what the driver feels."""
        numbers = math.prod(self.config.slot_shape(stream))
        known = [task for task in self.task_set.tasks if VIEW_OF[stream] in task.needs_any]
        return nn.ModuleDict({task.name: nn.Linear(numbers, task.classes) for task in known})

    def _freeze_what_is_off(self) -> None:
        """Streams that are off keep their weights, so that graphs and files have one form, but nothing trains those
        that only they use."""
        off = self.config.streams_off
        for stream in off:
            self.guessers[stream].requires_grad_(False)
        for group, members in GROUPS.items():
            if set(members) <= set(off):
                for part in (self.encoders[group], self.motions[group], self.along_times[group]):
                    part.requires_grad_(False)

    def _without_what_is_off(self, mask: Tensor) -> Tensor:
        """(B, S, T) mask in which the streams that are off are absent."""
        if not self.config.streams_off:
            return mask
        kept = [[0.0 if stream in self.config.streams_off else 1.0] for stream in STREAMS]
        return mask * mask.new_tensor(kept)

    def encode(self, frames: dict[str, Tensor]) -> dict[str, Tensor]:
        """Single frames to features, group by group (streams that share an encoder form one batch).

        frames: group -> (N, H, W, 3) uint8 BGR, or (N, P, 3) float32 for joints; N may differ between groups.
        Returns group -> (N, *feature_shape).
        """
        return {group: self.encoders[group](some) for group, some in frames.items()}

    def motion(self, features: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features and those one slot earlier (zeros where absent), by group -> group -> (N, *slot_shape)."""
        return {group: self.motions[group](some, before[group]) for group, some in features.items()}

    def along_time(self, motions: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, Tensor]:
        """Motions and those one slot earlier (zeros where there is none), by group -> group -> (N, *slot_shape)."""
        return {group: self.along_times[group](some, before[group]) for group, some in motions.items()}

    def fuse(self, slots: dict[str, Tensor], mask: Tensor) -> Fused:
        """Remembered slots to logits.

        slots: all streams -> (B, T, *slot_shape), oldest first, zeros where the mask calls them absent.
        mask: (B, S, T), 1 where the stream remembers something in the slot; see `remembered`.
        """
        if self.config.streams_off:
            mask = self._without_what_is_off(mask)
            slots = {s: some * 0.0 if s in self.config.streams_off else some for s, some in slots.items()}
        logits, specific, shared = self.dbscme(*self.gather(slots, mask), PLACES_OF)
        if not self.training:
            return Fused(logits, specific, shared)
        return Fused(logits, specific, shared, self._guesses(slots), self._summands(specific, shared))

    def _summands(self, specific: Tensor | None, shared: Tensor | None) -> Tensor | None:
        """What each task's embedding is the sum of, but for the two factors. Not part of any graph."""
        if specific is None or shared is None:
            return None
        reduced, names = self.config.dbscme.reduce, self.task_set.names
        own = [self.dbscme.specific_out[n](specific[:, k]) if reduced else specific[:, k] for k, n in enumerate(names)]
        common = [self.dbscme.shared_out[name](shared) for name in names]
        return torch.stack([torch.stack(own, dim=1), torch.stack(common, dim=1)])

    def _guesses(self, slots: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Each slot of each stream answers alone, so that none waits for the others to learn. Not part of any graph."""
        return {
            stream: {task: head(slots[stream].flatten(2)) for task, head in heads.items()}
            for stream, heads in self.guessers.items()
            if stream not in self.config.streams_off
        }

    def forward(self, frames: dict[str, Tensor], mask: Tensor) -> Fused:
        """A whole clip at once. frames: stream -> (B, T, ...) as `encode` takes them; mask: (B, S, T).

        Only frames that the mask calls present are encoded: absent ones cost nothing.
        """
        return self.clip(frames, mask, self.see)

    def see(self, frames: dict[str, Tensor], rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """Frames, each encoded once, to slots, by group. rows: see `rows_of`. Returns group -> (M, *slot_shape)."""
        motions = self.moved(frames, rows)
        return self.along_time(motions, {g: earlier(some, rows[g][2]) for g, some in motions.items()})

    def moved(self, frames: dict[str, Tensor], rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first half of `see`: frames to motions."""
        features = self.encode(frames)
        return self.motion(*({g: some[rows[g][k]] for g, some in features.items()} for k in (0, 1)))

    def recall(self, motions: dict[str, Tensor], rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """The second half of `see`: a motion in place of each frame (zeros where it has none) to slots."""
        now = {g: some[rows[g][0]] for g, some in motions.items()}
        return self.along_time(now, {g: earlier(some, rows[g][2]) for g, some in now.items()})

    def rest(self) -> None:
        """What sees frames learns no more; what reads motions does."""
        for part in (self.encoders, self.motions):
            part.eval().requires_grad_(False)

    def clip(self, frames: dict[str, Tensor], mask: Tensor, see: See, fuse: Fuse | None = None) -> Fused:
        """`forward` by other means: what takes and returns what `see` and `fuse` do, for example quantized graphs."""
        return (fuse or self.fuse)(*self.slots_of(frames, mask, see))

    def slots_of(self, frames: dict[str, Tensor], mask: Tensor, see: See) -> tuple[dict[str, Tensor], Tensor]:
        """What `fuse` takes of a whole clip: slots, zeros where absent, and where they are."""
        mask = self._without_what_is_off(mask)
        where = {stream: mask[:, index] > 0 for index, stream in enumerate(STREAMS)}  # (B, T) each
        kept = remembered(mask)
        moved = {stream: kept[:, index] > 0 for index, stream in enumerate(STREAMS)}
        groups = {group: members for group, members in GROUPS.items() if any(moved[s].any() for s in members)}
        seen = see(
            {group: torch.cat([frames[s][where[s]] for s in members]) for group, members in groups.items()},
            {group: rows_of(members, where, moved) for group, members in groups.items()},
        )
        slots = {s: mask.new_zeros((*mask[:, 0].shape, *self.config.slot_shape(s))) for s in STREAMS}
        for group, members in groups.items():
            for s, part in zip(members, split_like(seen[group], members, moved), strict=True):
                slots[s][moved[s]] = part.float()
        return slots, kept
