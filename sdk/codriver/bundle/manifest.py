"""manifest.json: the contract between the workshop that makes a bundle and the device that runs it.

These are its types, each field with its rule. rules.py has what must hold between fields; manifest_json.py reads the
file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codriver.config import ContextConfig, Policy
from codriver.dense.spec import DenseSpec
from codriver.engines.base import RUNTIMES, Signature, Tensor
from codriver.files.decode import FieldRule, encode, rule
from codriver.finder_graph import BINS_X, BINS_Y, HEIGHT_PX, PIXELS, PRESENCE, WIDTH_PX, points_of
from codriver.tasks import CROPS, GROUPS, JOINTS, TASK_SETS, VIEWS, Task

SCHEMAS = (3, 4, 5)  # 4 where an encoder is in parts, 5 where a fuser is: a codriver of before cannot read them
MANIFEST_NAME = "manifest.json"
ROLES = ("encoder", "fuser", "finder", "dense")  # of a variant's graphs
PART = "encoder-"  # and the group, of whose streams it takes one
REST = "fuser-pooled"  # of a fuser without the pooling
POOLED = {"image": "maps", "joints": "vectors"}  # kind of streams -> its input for their means and maxima


def finder_signature(*, gesture: bool) -> Signature:
    """The in-car frame -> logits of P points along x and along y, and of what is present."""
    points = points_of(gesture=gesture)
    return Signature(
        inputs={PIXELS: Tensor("uint8", (1, HEIGHT_PX, WIDTH_PX, 3))},
        outputs={
            "x": Tensor("float32", (1, points, BINS_X)),
            "y": Tensor("float32", (1, points, BINS_Y)),
            "presence": Tensor("float32", (1, len(PRESENCE))),
        },
    )


def weights_of(graph: str) -> str | None:
    """Where the weights of a graph lie: an IR's in the .bin beside its .xml, an ONNX file's in itself."""
    return f"{graph.removesuffix('.xml')}.bin" if graph.endswith(".xml") else None


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One question that the bundle answers."""

    name: str
    kind: str = rule("classification", choices=("classification",))
    labels: tuple[str, ...]  # in the order of the logits
    needs_any: tuple[str, ...]  # views of which at least one must be fresh
    hold_s: float = rule(0.0, low=0)  # a view whose newest filled slot is this old is still fresh; 0: only the newest
    temperature: float = rule(1.0, low=0.01, high=100)  # divides logits, so that probabilities mean what they say
    unknown_below: float = rule(0.0, low=0, high=1)  # the answer is "unknown" while no class is this likely


def size_key(stream: Mapping[str, Any]) -> str:
    return "points" if stream.get("kind") == "joints" else "size_px"


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """One input of the encoder: an image (1, size_px, size_px, 3) uint8 or joints (1, points, 3) float32."""

    name: str
    kind: str = rule(choices=("image", "joints"))
    size: int = rule(low=1, high=4096, key=size_key)  # size_px of an image, points of joints
    feature: tuple[int, ...]  # shape of one encoded frame, handed in again one slot later
    slot: tuple[int, ...]  # shape of what the context remembers of one frame, and of its motion, handed in again too

    @property
    def input(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return (self.size, self.size, 3) if self.kind == "image" else (self.size, 3)

    @property
    def dtype(self) -> str:
        return "uint8" if self.kind == "image" else "float32"

    @property
    def slot_name(self) -> str:
        return f"{self.name}_slot"


@dataclass(frozen=True, kw_only=True)
class FinderSpec:
    """How the bundle's finder is used."""

    every_s: float = rule(0.2, low=0, high=10)  # between two looks; meanwhile the driver is where the last one said
    present_s: float = rule(0.4, low=0, high=10)  # a driver must be seen for so long before there is one
    absent_s: float = rule(0.4, low=0, high=10)  # and be missed for so long before there is none
    present_from: float = rule(0.95, low=0.5, high=1, absent=True)  # probability that makes a driver; below .5 none is
    mirrored: bool = False  # the driver sits on the other side than in the footage: frames are mirrored for the finder
    sure: float = rule(0.3, low=0, high=1)  # a part that the finder is less certain of is left out
    gesture: bool = rule(True, absent=True)  # whether it looks for the hands' points; manifests of before do not say

    @property
    def parts(self) -> tuple[str, ...]:
        """Of the driver, what it looks for."""
        return (*CROPS, *JOINTS) if self.gesture else (*CROPS, "posture")


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """One set of graphs, and what a machine must have to run it right."""

    name: str  # the dialect: ort-x86, ort-x86-7bit, ...
    engine: str = rule(choices=RUNTIMES, code="other-engine")  # the runtime that its graphs are made for
    requires: tuple[str, ...]  # features of the processor, see device/cpu.py; () runs anywhere
    # Graphs in the bundle; the weights of an .xml lie beside it, see `weights_of`. Encoder and fuser: with streams.
    encoder: str | None = rule(None, path=True, absent=True)
    encoders: tuple[str, ...] = rule((), path=True, absent=True)  # in its place: encoder-GROUP of one stream each
    fuser: str | None = rule(None, path=True, absent=True)
    pooled: str | None = rule(None, path=True, absent=True)  # in its place: takes means and maxima over slots
    codes: bool = rule(False, absent=True)  # features, motions and slots are 8-bit codes, of what only graphs know
    finder: str | None = rule(None, path=True, absent=True)  # in every variant of a bundle with a finder
    dense: str | None = rule(None, path=True, absent=True)  # in every variant of a bundle with maps and boxes
    versions: tuple[str, ...] = rule((), absent=True)  # of the runtime that may run it, as "10.3"; () any

    @property
    def graphs(self) -> dict[str, str]:
        """Role -> path, of those that are there; encoder-GROUP of an encoder in parts."""
        parts = {path.rpartition("/")[2].partition(".")[0]: path for path in self.encoders}
        rest = {REST: self.pooled} if self.pooled else {}
        return parts | rest | {role: path for role in ROLES if (path := getattr(self, role))}

    @property
    def kept(self) -> str:
        """The type of features, motions and slots; zero means zero."""
        return "uint8" if self.codes else "float32"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is needed to run it."""
        graphs = tuple(self.graphs.values())
        return graphs + tuple(path for path in map(weights_of, graphs) if path)


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    sha256: str = rule(pattern="[0-9a-f]{64}", expected="64 of 0-9 a-f")
    bytes: int = rule(low=0, high=2 << 30, code="file-too-big")  # ONNX's own limit


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is, needs and holds. The workshop's `seal` adds `id` and `files`."""

    id: str = ""
    name: str = rule(pattern="[a-z0-9][a-z0-9._-]{0,63}", expected="up to 64 of a-z 0-9 . _ -")
    version: int = rule(0, low=0, high=(1 << 31) - 1)  # rises with every release, so that an older one can be refused
    target: str
    created: str  # ISO 8601
    tools: Mapping[str, str]  # name -> version
    git_commit: str
    seed: int
    task_set: str = "aide"
    tasks: tuple[TaskSpec, ...]  # none: with `dense` alone
    color: str = rule("bgr", choices=("bgr", "rgb"))  # what the graphs take; frames may come in the other order
    streams: tuple[StreamSpec, ...]  # in the order of the fuser's mask
    context: ContextConfig = field(default_factory=ContextConfig)
    policy: Policy = field(default_factory=Policy)
    finder: FinderSpec | None = rule(None, absent=True)  # None: somebody else must say where the driver is
    dense: DenseSpec | None = rule(None, absent=True)  # None: no maps and no boxes
    variants: tuple[VariantSpec, ...] = rule(filled=True)  # best first
    golden: str | None = rule(None, path=True)  # golden.json in the bundle
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileSpec] = field(default_factory=dict, metadata={"rule": FieldRule(path=True)})

    @property
    def views(self) -> tuple[str, ...]:
        looked_at = {stream.name for stream in self.streams} | ({self.dense.view} if self.dense else set())
        return tuple(view for view in VIEWS if view in looked_at)

    @property
    def sizes_px(self) -> dict[str, int]:
        """Image stream -> side of the square picture that the encoder takes of it."""
        return {stream.name: stream.size for stream in self.streams if stream.kind == "image"}

    @property
    def groups(self) -> dict[str, tuple[StreamSpec, ...]]:
        """Streams that share an encoder: they are rows of one batch, in this order."""
        by_name = {stream.name: stream for stream in self.streams}
        members = {group: tuple(by_name[n] for n in names if n in by_name) for group, names in GROUPS.items()}
        return {group: some for group, some in members.items() if some}

    @property
    def encoder_signature(self) -> Signature:
        return self.encoder_signature_in("float32")

    def encoder_signature_in(self, kept: str) -> Signature:
        """By group of n streams: frames (n, H, W, 3) uint8 or (n, P, 3) float32, and what each stream's feature and
        motion were one slot earlier, (n, *feature) and (n, *slot), zeros where unknown -> features, motions, slots.

        kept: the type of what is remembered.
        """
        inputs, features, slots = {}, {}, {}
        for group, members in self.groups.items():
            n, first = len(members), members[0]
            inputs[group] = Tensor(first.dtype, (n, *first.input))
            features[group] = Tensor(kept, (n, *first.feature))
            slots[group] = Tensor(kept, (n, *first.slot))
        before = {f"{group}_before": tensor for group, tensor in features.items()}
        before |= {f"{group}_motion_before": tensor for group, tensor in slots.items()}
        outputs = {f"{group}_feature": tensor for group, tensor in features.items()}
        outputs |= {f"{group}_{what}": tensor for what in ("motion", "slot") for group, tensor in slots.items()}
        return Signature(inputs=inputs | before, outputs=outputs)

    @property
    def fuser_signature(self) -> Signature:
        """float32 (1, T, *slot) per stream and mask (1, S, T) -> float32 logits (1, K) per task."""
        slots = self.context.slots
        inputs = {s.slot_name: Tensor("float32", (1, slots, *s.slot)) for s in self.streams}
        inputs["mask"] = Tensor("float32", (1, len(self.streams), slots))
        outputs = {task.name: Tensor("float32", (1, len(task.labels))) for task in self.tasks}
        return Signature(inputs=inputs, outputs=outputs)

    @property
    def pooled_signature(self) -> Signature:
        """float32 (1, 2n, numbers) for n streams of a kind, of each mean and maximum over its slots, and mask ->
        as the fuser."""
        whole, inputs = self.fuser_signature, dict[str, Tensor]()
        for kind, name in POOLED.items():
            if slots := [stream.slot for stream in self.streams if stream.kind == kind]:
                inputs[name] = Tensor("float32", (1, 2 * len(slots), math.prod(slots[0])))
        return Signature(inputs=inputs | {"mask": whole.inputs["mask"]}, outputs=whole.outputs)

    def signature_of(self, role: str, kept: str = "float32") -> Signature:
        """role: of ROLES, encoder-GROUP or REST, of a graph that is there. kept: see VariantSpec."""
        if role.startswith(PART):
            return self.encoder_signature_in(kept).part(role.removeprefix(PART))
        if role == REST:
            return self.pooled_signature
        if role == "finder":
            return finder_signature(gesture=self.finder is None or self.finder.gesture)
        if role == "dense":
            assert self.dense is not None
            return self.dense.signature
        return self.encoder_signature_in(kept) if role == "encoder" else self.fuser_signature

    def to_json(self) -> str:
        """The text of manifest.json, always the same for the same content."""
        ordered = replace(self, files=dict(sorted(self.files.items())))
        schema = SCHEMAS[max(2 * bool(variant.pooled) or bool(variant.encoders) for variant in self.variants)]
        return json.dumps({"schema": schema} | encode(ordered), indent=1, allow_nan=False) + "\n"

    def with_id(self) -> Manifest:
        """The same manifest under its id: its name and a hash over all of it, the files' hashes included."""
        content = replace(self, id="").to_json().encode()
        return replace(self, id=f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}")


def tasks_of(manifest: Manifest) -> tuple[Task, ...]:
    """The bundle's tasks with their titles; one that this codriver does not know is titled by its name."""
    known = TASK_SETS.get(manifest.task_set)
    titles = {task.name: task.title for task in known.tasks} if known else {}
    return tuple(
        Task(
            name=spec.name,
            labels=spec.labels,
            needs_any=spec.needs_any,
            kind=spec.kind,
            title=titles.get(spec.name, spec.name.replace("_", " ").capitalize()),
        )
        for spec in manifest.tasks
    )
